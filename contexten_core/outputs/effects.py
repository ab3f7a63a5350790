"""Accepted proposals as effects, which leave through the outbox: each once, those about one thing in their order."""

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from contexten_core.events.claim import RunRef
from contexten_core.events.models import EventProvider
from contexten_core.execution.proposals import Comment, Labels, Message, Patch, Review, TicketUpdate
from contexten_core.integrations.statuses import Effect
from contexten_core.outputs.check import Accepted
from contexten_core.outputs.place import Place
from contexten_core.settings import Settings

COMMENT = "github.comment"
REVIEW = "github.review"
LABELS = "github.labels"
PULL_REQUEST = "github.pull_request"
TICKET_COMMENT = "linear.comment"
TICKET_STATE = "linear.state"
MESSAGE = "slack.message"

_NOT_IN_BRANCHES = re.compile(r"[^a-z0-9]+")
_LONGEST_SLUG = 60


def effects_of(
    settings: Settings, run: RunRef, accepted: Sequence[Accepted], place: Place, *, prompt: str
) -> list[Effect]:
    """Return what is to be done at the services for proposals that were accepted.

    The n-th effect of a kind has the key `RUN:KIND:N`, the same however often it is asked for.

    Args:
        prompt: the prompt's slug, which branches are named by.
    """
    counts: Counter[str] = Counter()
    effects: list[Effect] = []
    for item in accepted:
        for kind, content in _contents(settings, run, item, place, prompt, counts):
            effects.append(
                Effect(
                    kind=kind,
                    effect_key=f"{run.run_id}:{kind}:{counts[kind]}",
                    stream=_stream(kind, place),
                    position=len(effects),
                    content=content,
                    run_id=run.run_id,
                )
            )
            counts[kind] += 1
    return effects


def _contents(
    settings: Settings, run: RunRef, item: Accepted, place: Place, prompt: str, counts: Counter[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    here = {"api_url": place.api_url or settings.github_api_url, "repository": place.repository}
    match item.proposal:
        case Comment(body=body) if place.provider is EventProvider.GITHUB:
            yield COMMENT, {**here, "number": place.number, "body": body}
        case Comment(body=body):
            yield TICKET_COMMENT, {"issue_id": place.issue_id, "body": body}
        case Review(body=body, comments=comments):
            lines = [{"path": comment.path, "line": comment.line, "body": comment.body} for comment in comments]
            yield REVIEW, {**here, "number": place.number, "commit": place.commit, "body": body, "comments": lines}
        case Labels(add=add, remove=remove):
            yield LABELS, {**here, "number": place.number, "add": list(add), "remove": list(remove)}
        case Patch(title=title, body=body):
            yield (
                PULL_REQUEST,
                {
                    **here,
                    "base": place.branch,
                    "base_commit": place.commit,
                    "branch": _branch(run, prompt, counts[PULL_REQUEST]),
                    "title": title,
                    "body": body,
                    "files": {
                        path: None if content is None else b64encode(content).decode()
                        for path, content in item.files.items()
                    },
                    "labels": [],
                },
            )
        case TicketUpdate(comment=comment, state=state):
            if comment is not None:
                yield TICKET_COMMENT, {"issue_id": place.issue_id, "body": comment}
            if state is not None:
                yield TICKET_STATE, {"issue_id": place.issue_id, "state": state}
        case Message(text=text):
            post = f"{run.run_id}:{MESSAGE}:{counts[MESSAGE]}"
            yield MESSAGE, {"channel": place.channel, "thread_ts": place.thread, "text": text, "post": post}


def _branch(run: RunRef, prompt: str, number: int) -> str:
    slug = _NOT_IN_BRANCHES.sub("-", prompt.lower())[:_LONGEST_SLUG].strip("-") or "run"
    return f"contexten/{slug}/{run.run_id.hex}-{number}"


def _stream(kind: str, place: Place) -> str:
    """Return what effects wait for each other on: the one thing that they are about."""
    service = kind.partition(".")[0]
    if service == "linear":
        return f"linear:{place.issue_id}"
    if service == "slack":
        return f"slack:{place.channel}/{place.thread}"
    repository = (place.repository or "").lower()
    return f"github:{repository}#{place.number}" if place.number is not None else f"github:{repository}@{place.branch}"
