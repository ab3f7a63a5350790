"""One repository at GitHub, as the posters call it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contexten_core.errors import OutboundError
from contexten_core.integrations.github_client import GitHubClient

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}")
_DOTS = frozenset({".", ".."})
_PER_PAGE = 100
# GitHub takes no more than 2,500 comments on one issue, so this is all of them.
_MOST_PAGES = 26

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GitHubRepository:
    """A repository, and the client that reaches it.

    Every call raises OutboundError: GitHub refused, or did not answer.
    """

    client: GitHubClient
    api_url: str
    name: str

    async def call(self, method: str, path: str, json: Any = None) -> Any:
        """Call a method of the API below the repository's address."""
        return await self.client.call(self.api_url, method, f"/repos/{self.name}{path}", json)

    async def get(self, path: str) -> Row:
        """Return the object that is there."""
        return self._object(await self.call("GET", path), path)

    async def make(self, path: str, json: Any) -> Row:
        """Have something made and return it."""
        return self._object(await self.call("POST", path, json), path)

    async def change(self, path: str, json: Any) -> Row:
        """Have something changed and return it."""
        return self._object(await self.call("PATCH", path, json), path)

    async def newest(self, path: str, is_it: Callable[[Row], bool]) -> Row | None:
        """Return the newest row of a list that fits; the list has the oldest first, as comments have."""
        rows, last = await self._page(path, 1)
        for number in range(last, max(1, last - _MOST_PAGES), -1):
            later, _ = await self._page(path, number)
            if (found := next(filter(is_it, reversed(later)), None)) is not None:
                return found
        return next(filter(is_it, reversed(rows)), None)

    async def oldest(self, path: str, is_it: Callable[[Row], bool]) -> Row | None:
        """Return the oldest row that fits."""
        last = 1
        for number in range(1, _MOST_PAGES + 1):
            rows, last = await self._page(path, number)
            if (found := next(filter(is_it, rows), None)) is not None:
                return found
            if number >= last:
                break
        return None

    async def _page(self, path: str, number: int) -> tuple[list[Row], int]:
        whole = f"/repos/{self.name}{path}?per_page={_PER_PAGE}&page={number}"
        rows, last = await self.client.page(self.api_url, whole)
        if not isinstance(rows, list):
            raise OutboundError(f"{self.api_url} did not answer {path} as GitHub does")
        return [row for row in rows if isinstance(row, Mapping)], last or number

    def _object(self, answer: Any, path: str) -> Row:
        if not isinstance(answer, Mapping):
            raise OutboundError(f"{self.api_url} did not answer {path} as GitHub does", ambiguous=True)
        return answer


def repository_in(client: GitHubClient, content: Mapping[str, Any]) -> GitHubRepository:
    """Return the repository that an effect is about.

    Raises:
        OutboundError: its name is none.
    """
    name = str(content["repository"])
    if _NAME.fullmatch(name) is None or _DOTS & set(name.split("/")):
        raise OutboundError(f"{name[:120]!r} is not the name of a repository", hint="write owner/name")
    return GitHubRepository(client, content["api_url"], name)


def kept(answer: Row, *fields: str) -> dict[str, Any]:
    """Return what of an answer is kept with the effect: its `id`, where people see it, and these fields.

    Raises:
        OutboundError: it has no `id`.
    """
    if not isinstance(answer.get("id"), int):
        raise OutboundError("GitHub answered without an id", hint="is GITHUB_API_URL a GitHub API?", ambiguous=True)
    return {field: answer.get(field) for field in ("id", "html_url", *fields)}
