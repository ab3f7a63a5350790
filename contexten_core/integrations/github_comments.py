"""Comments at GitHub, the one comment that is edited, and reactions.

https://docs.github.com/en/rest/issues/comments and https://docs.github.com/en/rest/reactions/reactions
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from contexten_core.db import Database
from contexten_core.integrations.github_client import GitHubClient, GitHubRefusedError
from contexten_core.integrations.github_marks import bears, mark_of, marked
from contexten_core.integrations.github_repository import GitHubRepository, Row, kept, repository_in
from contexten_core.integrations.posts import Posts
from contexten_core.settings import Settings

COMMENT = "github.comment"
STICKY = "github.sticky"
REACTION = "github.reaction"

_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_REACTION_PLACES = {"issue": "/issues/comments", "review": "/pulls/comments"}


class GitHubComments:
    """Comments on issues and pull requests: each once, or the one that says how things stand now."""

    kinds = frozenset({COMMENT, STICKY})

    def __init__(self, settings: Settings, database: Database, *, client: GitHubClient | None = None) -> None:
        self._settings = settings
        self._client = client or GitHubClient(settings)
        self._posts = Posts(database)

    def unable(self, content: Mapping[str, Any]) -> str | None:
        """Return why a comment cannot be made at all, or None."""
        if not str(content["body"]).strip():
            return "the comment is empty"
        return self._client.unable(content["api_url"])

    async def post(self, content: Mapping[str, Any], *, key: str, maybe_done: bool) -> dict[str, Any]:
        """Make a comment, or edit the one of `post`; return its id and address.

        With `maybe_done` a comment is looked up by its mark first. The one that is edited is looked up whenever its id
        is not known, and made again when somebody deleted it.

        Raises:
            OutboundError: GitHub refused, or did not answer.
        """
        repository = repository_in(self._client, content)
        if "post" in content:
            return await self._stick(repository, content, key)
        comments, mark = _comments_of(content), mark_of(self._settings, key)
        found = await repository.newest(comments, lambda row: bears(mark, row.get("body"))) if maybe_done else None
        return kept(found or await repository.make(comments, {"body": marked(mark, content["body"])}))

    async def _stick(self, repository: GitHubRepository, content: Mapping[str, Any], key: str) -> dict[str, Any]:
        name = str(content["post"])
        post = await self._posts.take(name, effect=key)
        if post.external_id is not None:
            body = marked(mark_of(self._settings, post.mark_key), content["body"])
            if (edited := await self._edit(repository, post.external_id, body)) is not None:
                return await self._keep(name, edited, key)
            # Where we may no longer look, everything seems gone; then this raises, and nothing is forgotten.
            await repository.call("GET", f"{_comments_of(content)}?per_page=1")
            await self._posts.drop(name, external_id=post.external_id)
            post = await self._posts.take(name, effect=key)
        mark = mark_of(self._settings, post.mark_key)
        body = marked(mark, content["body"])
        # The oldest with the mark is ours: a copy can only be newer.
        found = await repository.oldest(_comments_of(content), lambda row: bears(mark, row.get("body")))
        comment = None if found is None else await self._edit(repository, kept(found)["id"], body)
        return await self._keep(name, comment or await repository.make(_comments_of(content), {"body": body}), key)

    async def _edit(self, repository: GitHubRepository, comment: str | int, body: str) -> Row | None:
        try:
            return await repository.change(f"/issues/comments/{int(comment)}", {"body": body})
        except GitHubRefusedError as error:
            if error.answered in _GONE:
                return None
            raise

    async def _keep(self, name: str, comment: Row, key: str) -> dict[str, Any]:
        answer = kept(comment)
        await self._posts.keep(name, external_id=str(answer["id"]), url=answer["html_url"], effect=key)
        return answer


class GitHubReactions:
    """Reactions to comments, issues and pull requests. GitHub itself keeps each once."""

    kinds = frozenset({REACTION})

    def __init__(self, settings: Settings, database: Database, *, client: GitHubClient | None = None) -> None:  # noqa: ARG002 - as every poster is made
        self._client = client or GitHubClient(settings)

    def unable(self, content: Mapping[str, Any]) -> str | None:
        """Return why nothing can be reacted to at all, or None."""
        return self._client.unable(content["api_url"])

    async def post(
        self,
        content: Mapping[str, Any],
        *,
        key: str,  # noqa: ARG002 - a reaction is known by its content
        maybe_done: bool,  # noqa: ARG002 - the same reaction again is the one that is there
    ) -> dict[str, Any]:
        """React, and return the reaction's id.

        Raises:
            OutboundError: GitHub refused, or did not answer.
        """
        repository = repository_in(self._client, content)
        comment = content.get("comment_id")
        if comment is None:
            path = f"/issues/{int(content['number'])}/reactions"
        else:
            path = f"{_REACTION_PLACES[content.get('comment_kind') or 'issue']}/{int(comment)}/reactions"
        return {"id": (await repository.make(path, {"content": content["content"]})).get("id")}


def _comments_of(content: Mapping[str, Any]) -> str:
    return f"/issues/{int(content['number'])}/comments"
