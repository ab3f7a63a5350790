"""Draft pull requests with a change, made through the Git Data API: blobs, tree, commit, branch, pull request.

https://docs.github.com/en/rest/pulls/pulls
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from contexten_core.db import Database
from contexten_core.errors import OutboundError
from contexten_core.integrations.github_client import GitHubClient, GitHubRefusedError
from contexten_core.integrations.github_labels import add_labels
from contexten_core.integrations.github_marks import bears, mark_of, marked
from contexten_core.integrations.github_repository import GitHubRepository, Row, kept, repository_in
from contexten_core.integrations.github_trees import commit_of, is_change, tree_of, tree_with
from contexten_core.security.text import one_line
from contexten_core.settings import Settings

PULL_REQUEST = "github.pull_request"

_TITLE_LIMIT = 256
_EXISTS = "already exists"
_BRANCH = re.compile(r"(?:[A-Za-z0-9_-](?:\.?[A-Za-z0-9_-]){0,99}/){0,5}[A-Za-z0-9_-](?:\.?[A-Za-z0-9_-]){0,99}")


class GitHubPulls:
    """Draft pull requests, each on a branch of its own."""

    kinds = frozenset({PULL_REQUEST})

    def __init__(self, settings: Settings, database: Database, *, client: GitHubClient | None = None) -> None:  # noqa: ARG002 - as every poster is made
        self._settings = settings
        self._client = client or GitHubClient(settings)

    def unable(self, content: Mapping[str, Any]) -> str | None:
        """Return why no pull request can be made at all, or None."""
        if not content["files"]:
            return "the change is empty"
        if _BRANCH.fullmatch(content["branch"]) is None:
            return f"{content['branch'][:80]!r} is not the name of a branch of ours"
        return self._client.unable(content["api_url"])

    async def post(self, content: Mapping[str, Any], *, key: str, maybe_done: bool) -> dict[str, Any]:
        """Open a draft pull request and return its number, id and address.

        Each step that was taken before is not taken again: the branch is ours when it is this change on top of the
        base commit, and the pull request when it has our mark, also when somebody has closed it since. A branch is
        never moved.

        Raises:
            OutboundError: the branch is something else, or GitHub refused or did not answer.
        """
        repository, mark = repository_in(self._client, content), mark_of(self._settings, key)
        pull = await _find(repository, content, mark) if maybe_done else None
        if pull is None:
            await _branch(repository, content, maybe_done=maybe_done)
            pull = await _open(repository, content, mark)
        answer = kept(pull, "number")
        if labels := content.get("labels"):
            await add_labels(repository, int(answer["number"] or 0), labels)
        return answer


async def _branch(repository: GitHubRepository, content: Mapping[str, Any], *, maybe_done: bool) -> None:
    base, branch = str(content["base_commit"]), str(content["branch"])
    base_tree = await tree_of(repository, base)
    tree = await tree_with(repository, base_tree=base_tree, files=content["files"])
    if tree == base_tree:
        raise OutboundError(f"the change for {branch} changes nothing in {repository.name} at {base}")
    if maybe_done and await is_change(repository, branch=branch, tree=tree, parent=base):
        return
    commit = await commit_of(repository, message=_title(content), tree=tree, parent=base)
    try:
        await repository.make("/git/refs", {"ref": f"refs/heads/{branch}", "sha": commit})
    except GitHubRefusedError as error:
        if not _exists(error) or not await is_change(repository, branch=branch, tree=tree, parent=base):
            raise


async def _open(repository: GitHubRepository, content: Mapping[str, Any], mark: str) -> Row:
    pull = {
        "title": _title(content),
        "head": content["branch"],
        "base": content["base"],
        "body": marked(mark, content["body"]),
        "draft": True,
    }
    try:
        return await repository.make("/pulls", pull)
    except GitHubRefusedError as error:
        if not _exists(error) or (found := await _find(repository, content, mark)) is None:
            raise
        return found


async def _find(repository: GitHubRepository, content: Mapping[str, Any], mark: str) -> Row | None:
    owner = repository.name.partition("/")[0]
    query = urlencode({"head": f"{owner}:{content['branch']}", "state": "all", "per_page": 100})
    pulls = await repository.call("GET", f"/pulls?{query}")
    rows = [pull for pull in pulls if isinstance(pull, Mapping)] if isinstance(pulls, list) else []
    return next((pull for pull in rows if bears(mark, pull.get("body"))), None)


def _exists(error: GitHubRefusedError) -> bool:
    return error.answered == HTTPStatus.UNPROCESSABLE_ENTITY and _EXISTS in error.said.lower()


def _title(content: Mapping[str, Any]) -> str:
    return one_line(str(content["title"]), _TITLE_LIMIT)
