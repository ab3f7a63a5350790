"""Who carries out which kind of effect."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from contexten_core.db import Database
from contexten_core.integrations.github import GitHubReporter
from contexten_core.integrations.github_checks import GitHubChecks
from contexten_core.integrations.github_client import GitHubClient
from contexten_core.integrations.github_comments import GitHubComments, GitHubReactions
from contexten_core.integrations.github_labels import GitHubLabels
from contexten_core.integrations.github_pulls import GitHubPulls
from contexten_core.integrations.github_reviews import GitHubReviews
from contexten_core.integrations.linear import LinearPoster
from contexten_core.integrations.slack import SlackPoster
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


def posters_of(settings: Settings, database: Database) -> Posters:
    """Return those of every service; those that edit what they made before keep in the database which it is."""
    github = GitHubClient(settings)
    return Posters(
        [
            GitHubReporter(settings, client=github),
            GitHubComments(settings, database, client=github),
            GitHubReactions(settings, database, client=github),
            GitHubReviews(settings, database, client=github),
            GitHubLabels(settings, database, client=github),
            GitHubChecks(settings, database, client=github),
            GitHubPulls(settings, database, client=github),
            LinearPoster(settings, database),
            SlackPoster(settings, database),
        ]
    )
