"""What an event means for others of its subject: whether their runs wait for one another, and who gives way. Pure.

A push to a branch or a pull request makes the run of an earlier one pointless. Comments, reviews and messages must all
be handled, one after another. What people ask of us, `/contexten cancel` say, waits for nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contexten_core.events.models import EventPriority, EventProvider
from contexten_core.events.normalise import NormalisedEvent, dig, text_at
from contexten_core.events.verbs_parse import verb_of

HEAD_STARTS = {
    EventPriority.CRITICAL: timedelta(minutes=10),
    EventPriority.HIGH: timedelta(minutes=1),
    EventPriority.MEDIUM: timedelta(),
    EventPriority.LOW: -timedelta(minutes=1),
}
"""How much earlier than it came an event counts as having come. So what waits long enough passes what is urgent."""

_NEW_CODE = frozenset({"opened", "synchronize", "reopened"})
_SAID = frozenset(
    {
        "issue_comment",
        "pull_request_review",
        "pull_request_review_comment",
        "discussion_comment",
        "app_mention",
        "message",
        "Comment",
    }
)
_MERE = frozenset({"status", "check_run", "check_suite", "workflow_run", "workflow_job", "deployment_status"})
_LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Standing:
    """How an event stands to others.

    Attributes:
        lane: what its runs follow one another on; None where they need not.
        supersedes: whether it makes the runs of earlier events of its lane pointless that do so too.
        happened_at: when, by its sender's clock, as far as it tells; deliveries may come in another order.
        priority: how urgent it is.
    """

    lane: str | None
    supersedes: bool
    happened_at: datetime | None
    priority: EventPriority


def standing_of(event: NormalisedEvent, payload: Mapping[str, Any]) -> Standing:
    """Return how an event stands to others of its subject."""
    if event.own or not payload:
        return Standing(None, supersedes=False, happened_at=None, priority=EventPriority.LOW)
    if not event.from_bot and verb_of(event) is not None:
        return Standing(None, supersedes=False, happened_at=None, priority=EventPriority.CRITICAL)
    supersedes = _brings_code(event)
    return Standing(
        lane=None if event.subject is None else f"{event.provider.value}:{event.subject.lower()}",
        supersedes=supersedes,
        happened_at=_happened_at(event, payload) if supersedes else None,
        priority=_priority(event),
    )


def is_older(one: tuple[datetime | None, datetime], other: tuple[datetime | None, datetime]) -> bool:
    """Tell which of two events came first; each is given as when it happened, if that is known, and when it arrived."""
    if one[0] is not None and other[0] is not None and one[0] != other[0]:
        return one[0] < other[0]
    return one[1] < other[1]


def _brings_code(event: NormalisedEvent) -> bool:
    if event.provider is not EventProvider.GITHUB or event.subject is None:
        return False
    if event.type == "push":
        return event.branch is not None and not event.deleted
    return event.type == "pull_request" and event.action in _NEW_CODE


def _priority(event: NormalisedEvent) -> EventPriority:
    if event.type in _MERE or event.from_bot:
        return EventPriority.LOW
    return EventPriority.HIGH if event.type in _SAID else EventPriority.MEDIUM


def _happened_at(event: NormalisedEvent, payload: Mapping[str, Any]) -> datetime | None:
    if event.type == "push":
        # A number of seconds in a push, unlike in every other event.
        value = dig(payload, "repository.pushed_at")
        is_time = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LATEST
        return datetime.fromtimestamp(value, UTC) if is_time else None
    try:
        moment = datetime.fromisoformat(text_at(payload, "pull_request.updated_at") or "")
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None
