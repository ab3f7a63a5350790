"""Commit statuses at GitHub, and how to find out whether one that we are unsure of arrived."""

from collections.abc import Mapping
from typing import Any

from contexten_core.errors import OutboundError
from contexten_core.integrations.github_client import GitHubClient
from contexten_core.integrations.statuses import COMMIT_STATUS
from contexten_core.settings import Settings

_IDENTITY = ("state", "context", "description", "target_url")
_KEPT = ("id", "url", "created_at")


class GitHubReporter:
    """Posts commit statuses, to any number of API addresses."""

    kinds = frozenset({COMMIT_STATUS})

    def __init__(self, settings: Settings, *, client: GitHubClient | None = None) -> None:
        self._client = client or GitHubClient(settings)

    def unable(self, content: Mapping[str, Any]) -> str | None:
        """Return why a status cannot be posted at all, or None."""
        return self._client.unable(content["api_url"])

    async def post(
        self,
        content: Mapping[str, Any],
        *,
        key: str = "",  # noqa: ARG002 - a status is known by what it says
        maybe_done: bool,
    ) -> dict[str, Any]:
        """Post a commit status and return what GitHub made of it.

        With `maybe_done`, an earlier try may have arrived: the status is looked up first and not posted twice. A
        status is the same when its state, context, description and link are.

        Raises:
            OutboundError: GitHub refused, or did not answer.
        """
        owner, _, name = str(content["repository"]).partition("/")
        if maybe_done and (found := await self._find(owner, name, content)) is not None:
            return found
        fields = {key: content[key] for key in _IDENTITY}
        answer = await self._client.call(
            content["api_url"], "POST", f"/repos/{owner}/{name}/statuses/{content['sha']}", json=fields
        )
        if not isinstance(answer, dict):
            raise OutboundError(f"{content['api_url']} did not answer as GitHub does to a new status", ambiguous=True)
        return {key: answer.get(key) for key in _KEPT}

    async def _find(self, owner: str, name: str, content: Mapping[str, Any]) -> dict[str, Any] | None:
        statuses = await self._client.call(
            content["api_url"], "GET", f"/repos/{owner}/{name}/commits/{content['sha']}/statuses?per_page=100"
        )
        wanted = tuple(content[key] for key in _IDENTITY)
        for status in statuses if isinstance(statuses, list) else []:
            if isinstance(status, dict) and tuple(status.get(key) for key in _IDENTITY) == wanted:
                return {key: status.get(key) for key in _KEPT}
        return None
