"""Check runs of commits, which only a GitHub App can make.

https://docs.github.com/en/rest/checks/runs
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from contexten_core.db import Database
from contexten_core.integrations.github_client import GitHubClient, GitHubRefusedError
from contexten_core.integrations.github_repository import GitHubRepository, Row, kept, repository_in
from contexten_core.integrations.posts import Posts
from contexten_core.security.text import shorten
from contexten_core.settings import Settings

CHECK_RUN = "github.check_run"

_PERSONAL = ("ghp_", "github_pat_", "gho_")
_TITLE_LIMIT = 255
_SUMMARY_LIMIT = 65_535


class GitHubChecks:
    """One check run for each commit, name and `external_id`, which is updated as things go on."""

    kinds = frozenset({CHECK_RUN})

    def __init__(self, settings: Settings, database: Database, *, client: GitHubClient | None = None) -> None:
        self._settings = settings
        self._client = client or GitHubClient(settings)
        self._posts = Posts(database)

    def unable(self, content: Mapping[str, Any]) -> str | None:
        """Return why no check run can be made at all, or None."""
        token = self._settings.github_token
        at_ours = content["api_url"] == self._settings.github_api_url
        if at_ours and token is not None and token.get_secret_value().startswith(_PERSONAL):
            return "only a GitHub App makes check runs; set GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY, and no token"
        return self._client.unable(content["api_url"])

    async def post(
        self,
        content: Mapping[str, Any],
        *,
        key: str,
        maybe_done: bool,  # noqa: ARG002 - it is looked up whenever its id is not known
    ) -> dict[str, Any]:
        """Make a check run, or update the one that is there; return its id and address.

        Raises:
            OutboundError: GitHub refused, or did not answer.
        """
        repository = repository_in(self._client, content)
        name = ":".join(
            [CHECK_RUN, repository.name.lower(), *(str(content[part]) for part in ("sha", "name", "external_id"))]
        )
        post = await self._posts.take(name, effect=key)
        number = None if post.external_id is None else int(post.external_id)
        if number is None and (found := await self._find(repository, content)) is not None:
            number = kept(found)["id"]
        run = None if number is None else await self._update(repository, number, content)
        if run is None:
            made = {**_fields(content), "head_sha": content["sha"], "external_id": str(content["external_id"])}
            run = await repository.make("/check-runs", made)
        answer = kept(run, "status", "conclusion")
        await self._posts.keep(name, external_id=str(answer["id"]), url=answer["html_url"], effect=key)
        return answer

    async def _find(self, repository: GitHubRepository, content: Mapping[str, Any]) -> Row | None:
        query = urlencode({"check_name": content["name"], "filter": "all", "per_page": 100})
        answer = await repository.get(f"/commits/{quote(str(content['sha']), safe='')}/check-runs?{query}")
        runs, wanted = answer.get("check_runs"), str(content["external_id"])
        rows = [run for run in runs if isinstance(run, Mapping)] if isinstance(runs, list) else []
        return next((run for run in rows if run.get("external_id") == wanted), None)

    async def _update(self, repository: GitHubRepository, number: int, content: Mapping[str, Any]) -> Row | None:
        try:
            return await repository.change(f"/check-runs/{number}", _fields(content))
        except GitHubRefusedError as error:
            if error.answered == HTTPStatus.NOT_FOUND:
                return None
            raise


def _fields(content: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": content["name"],
        "status": content["status"],
        "output": {
            "title": shorten(str(content["title"]), _TITLE_LIMIT),
            "summary": shorten(str(content["summary"]), _SUMMARY_LIMIT),
        },
    }
    for optional in ("conclusion", "details_url"):
        if content.get(optional) is not None:
            fields[optional] = content[optional]
    return fields
