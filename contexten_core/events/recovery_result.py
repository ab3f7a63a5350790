"""What a run of the recovery found, and what it leaves for the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class HookRecovery:
    """What one webhook's deliveries are like.

    Attributes:
        hook: which webhook: the API's address, and the repository and the hook's id, or the App's.
        seen: deliveries that were looked at in this run; those of earlier runs are not looked at again.
        held: of these, those that GitHub believes to have failed although we hold them: we answered too late.
        missing: deliveries of the last three days without a success that we do not hold, also of earlier runs.
        requested: of the missing, those that GitHub was asked for in this run.
        given_up: of the missing, those that it was asked for as often as it is.
        left: the other missing ones: asked for a short while ago, or left for the next run.
        complete: whether everything was looked at, back to three days ago or to the last complete run.
        note: what kept this run from doing more.
    """

    hook: str
    seen: int = 0
    held: int = 0
    missing: int = 0
    requested: int = 0
    given_up: int = 0
    left: int = 0
    complete: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Where nothing could be looked at, and why."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecoveryResult:
    """One run of the recovery: sums over its hooks, and each of them. `reason` says why nothing was done at all."""

    seen: int = 0
    held: int = 0
    missing: int = 0
    requested: int = 0
    given_up: int = 0
    left: int = 0
    requests: int = 0
    hooks: list[HookRecovery] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    reason: str | None = None

    @classmethod
    def of(cls, hooks: Sequence[HookRecovery], skipped: Sequence[Skipped], *, requests: int) -> Self:
        sums = {name: sum(getattr(hook, name) for hook in hooks) for name in _SUMMED}
        return cls(**sums, requests=requests, hooks=list(hooks), skipped=list(skipped))


_SUMMED = ("seen", "held", "missing", "requested", "given_up", "left")


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far one hook's deliveries are known.

    Attributes:
        looked_at: when it was looked at last.
        known_until: everything up to here was seen; None when nothing was.
        top: when an unfinished look began to go back, and
        cursor: how far it came.
    """

    looked_at: datetime
    known_until: datetime | None = None
    top: datetime | None = None
    cursor: str | None = None


@dataclass(slots=True)
class Memory:
    """What one run leaves for the next.

    Attributes:
        bookmarks: by hook.
        looked_at: when each repository, or the App, was looked at last.
        waits: until when an address with its authentication is to be left alone.
    """

    bookmarks: dict[str, Bookmark] = field(default_factory=dict)
    looked_at: dict[str, datetime] = field(default_factory=dict)
    waits: dict[str, datetime] = field(default_factory=dict)

    def as_dict(self, *, since: datetime) -> dict[str, Any]:
        """Return it as JSON's types, without what was not looked at since then."""
        kept = Memory(
            bookmarks={hook: mark for hook, mark in self.bookmarks.items() if mark.looked_at >= since},
            looked_at={name: at for name, at in self.looked_at.items() if at >= since},
            waits={name: at for name, at in self.waits.items() if at >= since},
        )
        plain: dict[str, Any] = _MEMORY.dump_python(kept, mode="json")
        return plain

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "Memory":
        return _MEMORY.validate_python(given)


_MEMORY = TypeAdapter(Memory)
