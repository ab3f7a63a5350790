"""Who carries out which kind of effect."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from contexten_core.integrations.github import GitHubReporter
from contexten_core.settings import Settings


class Poster(Protocol):
    """Carries out effects of some kinds at one service."""

    @property
    def kinds(self) -> frozenset[str]: ...

    def unable(self, content: Mapping[str, Any]) -> str | None:
        """Return why an effect cannot be carried out at all, or None."""

    async def post(self, content: Mapping[str, Any], *, key: str, maybe_done: bool) -> dict[str, Any]:
        """Carry an effect out and return what the service made of it.

        Args:
            key: the effect's key, by which it can be found again.
            maybe_done: an earlier try may have arrived: look it up, and do not do it twice.

        Raises:
            OutboundError: the service refused, or did not answer.
        """


class Posters:
    """The poster of each kind of effect."""

    def __init__(self, posters: Sequence[Poster]) -> None:
        self._by_kind = {kind: poster for poster in posters for kind in poster.kinds}

    def of(self, kind: str) -> Poster | None:
        return self._by_kind.get(kind)


def posters_of(settings: Settings) -> Posters:
    """Return those of every service."""
    return Posters([GitHubReporter(settings)])
