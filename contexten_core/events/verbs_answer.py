"""How people are answered who asked for something. Pure: these only write the words.

Who may not ask gets a reaction alone, so that nobody can have us talk.
"""

from typing import Any

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import first_text, integer_at
from contexten_core.events.normalise_slack import slack_event
from contexten_core.events.verbs_do import Asked, Said
from contexten_core.security.text import one_line

_LONGEST_ANSWER = 1_000
_QUOTE = "'"
_SLACK_DONE, _SLACK_NOT = "white_check_mark", "x"
# Whatever was said, or the message whose button was pressed; a command has neither.
_MOMENTS = ("ts", "message.ts", "container.message_ts")
_THREADS = ("thread_ts", "message.thread_ts", "container.thread_ts")
_GITHUB_DONE, _GITHUB_NOT = "+1", "-1"


def effects_of(asked: Asked, said: Said) -> list[tuple[str, dict[str, Any]]]:
    """Return the effects that answer, each as its kind and content."""
    match asked.event.provider:
        case EventProvider.GITHUB:
            return _at_github(asked, said)
        case EventProvider.SLACK:
            return _at_slack(asked, said)
        case EventProvider.LINEAR:
            issue = first_text(asked.payload, ("data.issueId", "data.issue.id"))
            if issue is None or not (said.done or said.aloud):
                return []
            return [("linear.comment", {"issue_id": issue, "body": _quoted(asked, said)})]
    return []


def _at_github(asked: Asked, said: Said) -> list[tuple[str, dict[str, Any]]]:
    here = {"api_url": asked.api_url, "repository": asked.event.repository}
    comment = integer_at(asked.payload, "comment.id")
    effects: list[tuple[str, dict[str, Any]]] = []
    if comment is not None:
        kind = "issue" if asked.event.type == "issue_comment" else "review"
        reaction = {"comment_id": comment, "comment_kind": kind, "content": _GITHUB_DONE if said.done else _GITHUB_NOT}
        effects.append(("github.reaction", here | reaction))
    if said.aloud and asked.event.number is not None:
        effects.append(("github.comment", here | {"number": asked.event.number, "body": _quoted(asked, said)}))
    return effects


def _at_slack(asked: Asked, said: Said) -> list[tuple[str, dict[str, Any]]]:
    message = slack_event(asked.payload)
    channel, moment = asked.event.place, first_text(message, _MOMENTS)
    effects: list[tuple[str, dict[str, Any]]] = []
    if channel and moment:
        name = _SLACK_DONE if said.done else _SLACK_NOT
        effects.append(("slack.reaction", {"channel": channel, "ts": moment, "name": name}))
    if channel and (said.aloud or not moment) and (said.done or said.aloud):
        thread = first_text(message, (*_THREADS, *_MOMENTS))
        effects.append(("slack.message", {"channel": channel, "thread_ts": thread, "text": _quoted(asked, said)}))
    return effects


def _quoted(asked: Asked, said: Said) -> str:
    """Return what was said in a form in which nothing of it is a mention, a link or markup."""
    text = f"`{asked.verb}`: `{one_line(said.text, _LONGEST_ANSWER).replace('`', _QUOTE)}`"
    if asked.event.provider is EventProvider.SLACK:
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text
