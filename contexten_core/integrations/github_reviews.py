"""Reviews of pull requests, which neither approve nor refuse.

https://docs.github.com/en/rest/pulls/reviews
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from contexten_core.db import Database
from contexten_core.integrations.github_client import GitHubClient, GitHubRefusedError
from contexten_core.integrations.github_marks import BODY_LIMIT, bears, mark_of, marked, unmarked
from contexten_core.integrations.github_repository import kept, repository_in
from contexten_core.settings import Settings

REVIEW = "github.review"

_ROOM_FOR_MARK = 400


class GitHubReviews:
    """Reviews with comments on lines."""

    kinds = frozenset({REVIEW})

    def __init__(self, settings: Settings, database: Database, *, client: GitHubClient | None = None) -> None:  # noqa: ARG002 - as every poster is made
        self._settings = settings
        self._client = client or GitHubClient(settings)

    def unable(self, content: Mapping[str, Any]) -> str | None:
        """Return why nothing can be reviewed at all, or None."""
        if not str(content["body"]).strip() and not content.get("comments"):
            return "the review is empty"
        return self._client.unable(content["api_url"])

    async def post(self, content: Mapping[str, Any], *, key: str, maybe_done: bool) -> dict[str, Any]:
        """Review a pull request and return the review's id and address; with `maybe_done` it is looked up first.

        GitHub refuses a review as a whole when one of its lines is not part of the change. What was to be said of the
        lines is then said in the review's text.

        Raises:
            OutboundError: GitHub refused, or did not answer.
        """
        repository = repository_in(self._client, content)
        reviews, mark = f"/pulls/{int(content['number'])}/reviews", mark_of(self._settings, key)
        if maybe_done and (found := await repository.newest(reviews, lambda row: bears(mark, row.get("body")))):
            return kept(found, "state")
        lines = [_line(comment) for comment in content.get("comments") or ()]
        review = {"commit_id": content["commit"], "event": "COMMENT", "body": marked(mark, content["body"])}
        try:
            return kept(await repository.make(reviews, {**review, "comments": lines} if lines else review), "state")
        except GitHubRefusedError as error:
            if error.answered != HTTPStatus.UNPROCESSABLE_ENTITY or not lines:
                raise
        review["body"] = marked(mark, _in_text(content["body"], lines))
        return kept(await repository.make(reviews, review), "state")


def _line(comment: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "path": comment["path"],
        "line": comment["line"],
        "side": "RIGHT",
        "body": unmarked(comment["body"]),
    }


def _in_text(body: str, lines: Iterable[Mapping[str, Any]]) -> str:
    """Return a body with what was to be said of lines under it; a comment is cut nowhere, but may be left out."""
    parts, left_out = [body], 0
    room = BODY_LIMIT - _ROOM_FOR_MARK - len(body)
    for line in lines:
        path = str(line["path"]).replace("`", "'").replace("\n", " ")
        part = f"`{path}:{int(line['line'])}`\n\n{line['body']}"
        if len(part) + 2 > room:
            left_out += 1
            continue
        parts.append(part)
        room -= len(part) + 2
    if left_out:
        parts.append(f"{left_out} comments on lines did not fit here.")
    return "\n\n".join(part for part in parts if part.strip())
