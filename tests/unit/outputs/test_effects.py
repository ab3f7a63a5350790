"""Accepted proposals as what is put into the outbox."""

from base64 import b64decode
from dataclasses import replace
from uuid import UUID

from contexten_core.events.claim import RunRef
from contexten_core.events.models import EventProvider
from contexten_core.execution.proposals import (
    Comment,
    Labels,
    LineComment,
    Message,
    Patch,
    Proposal,
    Review,
    TicketUpdate,
)
from contexten_core.outputs.check import check
from contexten_core.outputs.effects import effects_of
from contexten_core.outputs.place import Place
from contexten_core.prompts.spec import OutputSpec, OutputType
from contexten_core.settings import Settings

RUN = RunRef(UUID(int=5), UUID(int=6), 1, "run", 1)
PULL_REQUEST = Place(EventProvider.GITHUB, "Acme/Shop", number=7, is_pull_request=True, commit="c" * 40, branch="fix")
TICKET = Place(EventProvider.LINEAR, "Acme/Shop", commit="c" * 40, branch="main", issue_id="i-1")
THREAD = Place(EventProvider.SLACK, "Acme/Shop", commit="c" * 40, branch="main", channel="C1", thread="1.0")
ALL = {kind: OutputSpec(most=5) for kind in OutputType}
DIFF = "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-old\n+new\n"


def effects(place: Place, *proposals: Proposal) -> list[tuple[str, str, str, int, dict[str, object]]]:
    checked = check(proposals, ALL, place, redact=str, read={"a.txt": b"old\n"}.get)
    assert checked.refused == ()
    made = effects_of(Settings(), RUN, checked.accepted, place, prompt="Review: it")
    assert {effect.run_id for effect in made} == {RUN.run_id}
    return [(e.kind, e.effect_key, e.stream, e.position, dict(e.content)) for e in made]


def test_what_is_about_one_pull_request_is_done_in_order_and_under_keys_that_stay() -> None:
    review = Review("Fine.", (LineComment("a.txt", 1, "Here"),))
    made = effects(PULL_REQUEST, Comment("One"), review, Comment("Two"), Labels(("bug",), ("ok",)))

    key, here = str(RUN.run_id), {"api_url": "https://api.github.com", "repository": "Acme/Shop", "number": 7}
    stream = "github:acme/shop#7"
    lines = [{"path": "a.txt", "line": 1, "body": "Here"}]
    assert made == [
        ("github.comment", f"{key}:github.comment:0", stream, 0, {**here, "body": "One"}),
        (
            "github.review",
            f"{key}:github.review:0",
            stream,
            1,
            {**here, "commit": "c" * 40, "body": "Fine.", "comments": lines},
        ),
        ("github.comment", f"{key}:github.comment:1", stream, 2, {**here, "body": "Two"}),
        ("github.labels", f"{key}:github.labels:0", stream, 3, {**here, "add": ["bug"], "remove": ["ok"]}),
    ]


def test_a_patch_becomes_a_pull_request_against_the_branch_with_whole_files() -> None:
    [(kind, _, stream, _, content)] = effects(replace(PULL_REQUEST, number=None), Patch(DIFF, "Fix it", "Why"))

    assert (kind, stream) == ("github.pull_request", "github:acme/shop@fix")
    files = content.pop("files")
    assert isinstance(files, dict)
    assert {path: b64decode(data) for path, data in files.items()} == {"a.txt": b"new\n"}
    assert content == {
        "api_url": "https://api.github.com",
        "repository": "Acme/Shop",
        "base": "fix",
        "base_commit": "c" * 40,
        "branch": f"contexten/review-it/{RUN.run_id.hex}-0",
        "title": "Fix it",
        "body": "Why",
        "labels": [],
    }


def test_a_ticket_is_commented_on_and_moved() -> None:
    made = effects(TICKET, TicketUpdate("Done", "In Review"), Comment("More"))

    assert [(kind, stream, content) for kind, _, stream, _, content in made] == [
        ("linear.comment", "linear:i-1", {"issue_id": "i-1", "body": "Done"}),
        ("linear.state", "linear:i-1", {"issue_id": "i-1", "state": "In Review"}),
        ("linear.comment", "linear:i-1", {"issue_id": "i-1", "body": "More"}),
    ]
    assert made[2][1] == f"{RUN.run_id}:linear.comment:1"


def test_a_thread_is_answered() -> None:
    [(kind, key, stream, _, content)] = effects(THREAD, Message("Hi"))

    assert (kind, stream) == ("slack.message", "slack:C1/1.0")
    assert content == {"channel": "C1", "thread_ts": "1.0", "text": "Hi", "post": key}
