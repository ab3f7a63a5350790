"""Read what GitHub's clients send, and cut lists into pages as GitHub does."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Request, Response

from contexten.emulators.github_problems import GitHubProblem, invalid_field
from contexten.emulators.github_recorder import GitHubRecorder

MAX_PAGE = 100_000

T = TypeVar("T")


def recorder_of(request: Request) -> GitHubRecorder:
    """Give the recorder of the application that serves this request."""
    recorder = request.app.state.recorder
    assert isinstance(recorder, GitHubRecorder)
    return recorder


RecorderOf = Annotated[GitHubRecorder, Depends(recorder_of)]


def read_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise GitHubProblem(400, "Problems parsing JSON") from error
    if not isinstance(parsed, dict):
        raise GitHubProblem(400, "Body should be a JSON object")
    return parsed


def read_sha(sha: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{40}", sha) is None:
        raise GitHubProblem(422, f"No commit found for SHA: {sha}")
    return sha.lower()


def read_text(body: Mapping[str, Any], field: str, *, limit: int, resource: str) -> str | None:
    """Read a text that may be left out.

    Raises:
        GitHubProblem: 422: it is no text, or longer than `limit` characters.
    """
    value = body.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise GitHubProblem(
            422, f"Invalid request.\n\nFor 'properties/{field}', {type(value).__name__} is not a string."
        )
    if len(value) > limit:
        raise invalid_field(field, f"{field} is too long (maximum is {limit} characters)", resource=resource)
    # JSON can spell half a surrogate pair, which no answer could be encoded with.
    return value.encode("utf-8", "replace").decode("utf-8")


def api_url(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def page_of(rows: Sequence[T], request: Request, response: Response) -> list[T]:
    """Cut one page out, and set the `Link` header that leads to the others."""
    per_page = read_number(request, "per_page", default=30, largest=100)
    page = read_number(request, "page", default=1, largest=MAX_PAGE)
    last = max(1, -(-len(rows) // per_page))
    pages = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    wanted = {"prev", "first"} if page > 1 else set()
    wanted |= {"next", "last"} if page < last else set()
    base = f"{api_url(request)}{request.url.path}"
    links = [
        f'<{base}?{urlencode({"per_page": per_page, "page": number})}>; rel="{relation}"'
        for relation, number in pages.items()
        if relation in wanted
    ]
    if links:
        response.headers["Link"] = ", ".join(links)
    return list(rows[(page - 1) * per_page : page * per_page])


def read_number(request: Request, name: str, *, default: int, largest: int) -> int:
    text = request.query_params.get(name, "")
    if re.fullmatch(r"[1-9][0-9]{0,8}", text) is None:
        return default
    return min(int(text), largest)


def read_number_of(text: str) -> int:
    """Read a number from a path.

    Raises:
        GitHubProblem: 404: it is none.
    """
    if re.fullmatch(r"[1-9][0-9]{0,17}", text) is None:
        raise GitHubProblem(404, "Not Found")
    return int(text)
