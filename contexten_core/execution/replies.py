"""A text as the answer that a prompt allows, where somebody else than a model says what is proposed."""

import re
from collections.abc import Mapping

from contexten_core.execution.proposals import Comment, Message, Proposal, Review, TicketUpdate
from contexten_core.security.text import clean_text

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def replies(text: str, outputs: Mapping[str, int]) -> tuple[Proposal, ...]:
    """Return a text as what the prompt allows of a comment, a review, a ticket's comment and a message.

    A comment, a review and a ticket's comment would say the same at the same place, so the first that is allowed is
    taken. None of them, or an empty text, is nothing.
    """
    if not text.strip():
        return ()
    found: list[Proposal] = []
    if outputs.get("comment", 0) > 0:
        found.append(Comment(text))
    elif outputs.get("review", 0) > 0:
        found.append(Review(text))
    elif outputs.get("ticket_update", 0) > 0:
        found.append(TicketUpdate(comment=text))
    if outputs.get("message", 0) > 0:
        found.append(Message(text))
    return tuple(found)


def final_words(output: str, limit: int) -> str:
    """Return the end of what a program printed, as whole lines without what only a terminal understands."""
    text = _ESCAPES.sub("", clean_text(output[-4 * limit :]))
    # A line that was written over and over again, such as a bar of progress, shows its last state.
    lines = [_CONTROLS.sub("", line.rstrip("\r").rpartition("\r")[2]).rstrip() for line in text.split("\n")]
    kept: list[str] = []
    left = limit
    for line in reversed("\n".join(lines).strip().split("\n")):
        left -= len(line) + 1
        if left < 0 and kept:
            break
        kept.append(line[-limit:])
    return "\n".join(reversed(kept)).strip()
