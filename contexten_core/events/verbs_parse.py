"""Read what people ask of us in a comment or message: `/contexten rerun`, `/approve 4d1c2b3`. Pure, never raises."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.normalise_slack import BLOCK_ACTIONS, SLASH_COMMAND

COMMAND = "/contexten"
APPROVE_BUTTON, REFUSE_BUTTON = "contexten_approve", "contexten_refuse"
"""What the buttons do that a message in Slack has while something waits for an approval."""

_APPROVE = "/approve"
_LONGEST_LINE = 300
_LONGEST_ID = 64
_MENTION = re.compile(r"<@[A-Z0-9]{1,40}(?:\|[^<>]{0,80})?>")
_LONGEST_VALUE = 200
_SHA = re.compile(r"[0-9a-f]{7,64}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MADE = frozenset({"created", "create"})


class VerbName(StrEnum):
    """What can be asked for. `help` is what is answered to anything else behind `/contexten`."""

    RERUN = "rerun"
    CANCEL = "cancel"
    APPROVE = "approve"
    REFUSE = "refuse"
    EXPLAIN = "explain"
    AUTOFIX_OFF = "autofix off"
    AUTOFIX_ON = "autofix on"
    HELP = "help"


_BUTTONS = {APPROVE_BUTTON: VerbName.APPROVE, REFUSE_BUTTON: VerbName.REFUSE}
USAGE = "rerun, cancel, approve SHA, refuse SHA, explain, autofix off, autofix on"


@dataclass(frozen=True, slots=True)
class Verb:
    """What somebody asks for.

    Attributes:
        sha: as far as it was given, of what is to be approved or refused; in lower case.
        approval: the one whose button was pressed.
    """

    name: VerbName
    sha: str | None = None
    approval: UUID | None = None

    def __str__(self) -> str:
        words = f"{COMMAND} {self.name.value}"
        return f"{words} {self.sha[:7]}" if self.sha else words


def parse(text: str | None, *, prefixed: bool = True) -> Verb | None:
    """Return what the first line of a text asks for; None when it asks for nothing.

    Args:
        prefixed: whether it has to begin with `/contexten` or `/approve`. Otherwise it was said to us alone: then only
            a line that is nothing but a verb is one, and anything else a question to be answered by a prompt.
    """
    line = (text or "")[: 4 * _LONGEST_LINE].partition("\n")[0][:_LONGEST_LINE]
    words = line.lower().replace("`", " ").split()
    match words:
        case [first, *rest] if first == COMMAND:
            return _verb(rest) or Verb(VerbName.HELP)
        case [first, *rest] if first == _APPROVE:
            return _verb(["approve", *rest])
        case [_, *_] if not prefixed:
            return _verb(words, strict=True)
    return None


def pressed(verb: Verb, value: str | None) -> Verb:
    """Return what a button of ours asks for, by its value: an approval's id and a commit."""
    approval, _, sha = (value or "")[:_LONGEST_VALUE].lower().partition(":")
    is_ours = _UUID.fullmatch(approval) and _SHA.fullmatch(sha)
    return replace(verb, sha=sha, approval=UUID(approval)) if is_ours else Verb(VerbName.HELP)


def verb_of(event: NormalisedEvent) -> Verb | None:
    """Return what an event asks of us: a comment that was just made, what was said to us in Slack, or a button.

    What a button is about is in its value, which `pressed` reads.
    """
    match event.provider:
        case EventProvider.GITHUB:
            is_said = event.type in ("issue_comment", "pull_request_review_comment") and event.action in _MADE
            return parse(event.text) if is_said else None
        case EventProvider.LINEAR:
            return parse(event.text) if event.type == "Comment" and event.action in _MADE else None
        case EventProvider.SLACK:
            return _in_slack(event)
    return None


def _in_slack(event: NormalisedEvent) -> Verb | None:
    if event.type == BLOCK_ACTIONS:
        name = _BUTTONS.get(event.action or "")
        return Verb(name) if name is not None else None
    if event.type == SLASH_COMMAND:
        is_ours = event.action in (COMMAND, _APPROVE)
        return parse(f"{event.action} {event.text or ''}") if is_ours else None
    # Slack tells of a message that mentions us twice; the other time, as a `message`, nobody need be meant.
    if event.type != "app_mention" or event.action is not None:
        return None
    return parse(_MENTION.sub(" ", (event.text or "")[: 4 * _LONGEST_LINE]).lstrip(" "), prefixed=False)


def _verb(words: list[str], *, strict: bool = False) -> Verb | None:
    match words:
        case ["rerun" | "cancel" | "explain" | "help" as name, *rest] if not (strict and rest):
            return Verb(VerbName(name))
        case ["approve" | "refuse" as name]:
            return Verb(VerbName(name))
        case ["approve" | "refuse" as name, sha, *rest] if not (strict and (rest or not _SHA.fullmatch(sha))):
            return Verb(VerbName(name), sha[:_LONGEST_ID])
        case ["autofix", "off" | "on" as how, *rest] if not (strict and rest):
            return Verb(VerbName(f"autofix {how}"))
    return None
