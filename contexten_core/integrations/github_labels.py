"""Labels of issues and pull requests.

https://docs.github.com/en/rest/issues/labels
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from contexten_core.db import Database
from contexten_core.integrations.github_client import GitHubClient, GitHubRefusedError
from contexten_core.integrations.github_repository import GitHubRepository, repository_in
from contexten_core.settings import Settings

LABELS = "github.labels"

_LONGEST = 50
_NOT_THERE = "label does not exist"
# In the path of a removal these would name all labels of the issue.
_PATHS = frozenset({".", ".."})


class GitHubLabels:
    """Puts labels on and takes them off; doing so again changes nothing."""

    kinds = frozenset({LABELS})

    def __init__(self, settings: Settings, database: Database, *, client: GitHubClient | None = None) -> None:  # noqa: ARG002 - as every poster is made
        self._client = client or GitHubClient(settings)

    def unable(self, content: Mapping[str, Any]) -> str | None:
        """Return why no label can be changed at all, or None."""
        for name in (*_names(content, "add"), *_names(content, "remove")):
            if not name.strip() or len(name) > _LONGEST or name in _PATHS:
                return f"{name[:80]!r} is not the name of a label"
        return self._client.unable(content["api_url"])

    async def post(
        self,
        content: Mapping[str, Any],
        *,
        key: str,  # noqa: ARG002 - a label is known by its name
        maybe_done: bool,  # noqa: ARG002 - the same labels again are those that are there
    ) -> dict[str, Any]:
        """Put labels on, then take others off; return those that were put on.

        Raises:
            OutboundError: GitHub refused, or did not answer.
        """
        repository, number = repository_in(self._client, content), int(content["number"])
        added = _names(content, "add")
        await add_labels(repository, number, added)
        for name in _names(content, "remove"):
            await _remove(repository, number, name)
        return {"added": added}


async def add_labels(repository: GitHubRepository, number: int, names: Iterable[str]) -> None:
    """Put labels on an issue or pull request; those that it has stay.

    Raises:
        OutboundError: GitHub refused, or did not answer.
    """
    if given := list(names):
        await repository.call("POST", f"/issues/{number}/labels", {"labels": given})


async def _remove(repository: GitHubRepository, number: int, name: str) -> None:
    try:
        await repository.call("DELETE", f"/issues/{number}/labels/{quote(name, safe='')}")
    except GitHubRefusedError as error:
        if error.answered != HTTPStatus.NOT_FOUND or _NOT_THERE not in error.said.lower():
            raise


def _names(content: Mapping[str, Any], field: str) -> list[str]:
    return [str(name) for name in content.get(field) or ()]
