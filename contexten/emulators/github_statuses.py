"""Commit statuses: create one, list them, combine them."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from contexten.emulators.control import RecorderOf
from contexten.emulators.github_problems import GitHubProblem, invalid_field
from contexten.emulators.recorder import CommitState, RecordedStatus, Recorder
from contexten.emulators.shapes import Json, node_id, repository, timestamp, user

CREATOR = "contexten-emulator[bot]"
MAX_DESCRIPTION = 140
MAX_CONTEXT = 255
MAX_TARGET_URL = 2048
MAX_PER_CONTEXT = 1000
MAX_PAGE = 100_000

router = APIRouter(prefix="/repos/{owner}/{repo}")


@router.post("/statuses/{sha}", status_code=201)
async def create_status(owner: str, repo: str, sha: str, request: Request, recorder: RecorderOf) -> Json:
    """Create a commit status."""
    body = _read_object(await request.body())
    full_name = f"{owner}/{repo}"
    sha = _read_sha(sha)
    state = _read_state(body)
    description = _read_text(body, "description", limit=MAX_DESCRIPTION)
    target_url = _read_text(body, "target_url", limit=MAX_TARGET_URL)
    context = _read_text(body, "context", limit=MAX_CONTEXT) or "default"
    if target_url and not target_url.lower().startswith(("http://", "https://")):
        raise invalid_field("target_url", "target_url must use http(s) scheme", resource="Status")
    known = recorder.statuses_of(repository=full_name, sha=sha)
    if sum(status.context == context for status in known) >= MAX_PER_CONTEXT:
        message = "This SHA and context has reached the maximum number of statuses."
        raise invalid_field("context", message, resource="Status")
    status = recorder.record_status(
        repository=full_name,
        sha=sha,
        state=state,
        description=description,
        target_url=target_url,
        context=context,
    )
    return {**_simple_status(status, api=_api(request)), "creator": user(CREATOR, api=_api(request))}


@router.get("/commits/{ref:path}/statuses")
async def list_statuses(
    owner: str, repo: str, ref: str, request: Request, response: Response, recorder: RecorderOf
) -> list[Json]:
    """List the statuses of a commit, newest first."""
    statuses = recorder.statuses_of(repository=f"{owner}/{repo}", sha=_read_sha(ref))
    api = _api(request)
    creator = user(CREATOR, api=api)
    page = _page(statuses, request, response)
    return [{**_simple_status(status, api=api), "creator": creator} for status in page]


@router.get("/commits/{ref:path}/status")
async def combine_statuses(
    owner: str, repo: str, ref: str, request: Request, response: Response, recorder: RecorderOf
) -> Json:
    """Combine the newest status of each context into one state."""
    full_name, sha, api = f"{owner}/{repo}", _read_sha(ref), _api(request)
    latest = _latest_per_context(recorder, full_name=full_name, sha=sha)
    commit_url = f"{api}/repos/{full_name}/commits/{sha}"
    return {
        "state": _combined_state(status.state for status in latest),
        "statuses": [_simple_status(status, api=api) for status in _page(latest, request, response)],
        "sha": sha,
        "total_count": len(latest),
        "repository": repository(full_name, default_branch="main", at=datetime.now(UTC), api=api),
        "commit_url": commit_url,
        "url": f"{commit_url}/status",
    }


def _latest_per_context(recorder: Recorder, *, full_name: str, sha: str) -> list[RecordedStatus]:
    latest: dict[str, RecordedStatus] = {}
    for status in recorder.statuses_of(repository=full_name, sha=sha):
        latest.setdefault(status.context, status)
    return list(latest.values())


def _combined_state(states: Iterable[CommitState]) -> CommitState:
    found = set(states)
    if found & {CommitState.ERROR, CommitState.FAILURE}:
        return CommitState.FAILURE
    if not found or CommitState.PENDING in found:
        return CommitState.PENDING
    return CommitState.SUCCESS


def _simple_status(status: RecordedStatus, *, api: str) -> Json:
    moment = timestamp(status.created_at)
    return {
        "url": f"{api}/repos/{status.repository}/statuses/{status.sha}",
        "avatar_url": user(CREATOR)["avatar_url"],
        "id": status.id,
        "node_id": node_id("StatusContext", status.id),
        "state": status.state,
        "description": status.description,
        "target_url": status.target_url,
        "context": status.context,
        "created_at": moment,
        "updated_at": moment,
    }


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise GitHubProblem(400, "Problems parsing JSON") from error
    if not isinstance(parsed, dict):
        raise GitHubProblem(400, "Body should be a JSON object")
    return parsed


def _read_sha(sha: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{40}", sha) is None:
        raise GitHubProblem(422, f"No commit found for SHA: {sha}")
    return sha.lower()


def _read_state(body: dict[str, Any]) -> CommitState:
    if "state" not in body:
        raise GitHubProblem(422, 'Invalid request.\n\n"state" wasn\'t supplied.')
    try:
        return CommitState(body["state"])
    except ValueError as error:
        raise invalid_field("state", "state is not included in the list", resource="Status") from error


def _read_text(body: dict[str, Any], field: str, *, limit: int) -> str | None:
    value = body.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise GitHubProblem(
            422, f"Invalid request.\n\nFor 'properties/{field}', {type(value).__name__} is not a string."
        )
    if len(value) > limit:
        raise invalid_field(field, f"{field} is too long (maximum is {limit} characters)", resource="Status")
    # JSON can spell half a surrogate pair, which no answer could be encoded with.
    return value.encode("utf-8", "replace").decode("utf-8")


def _api(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _page(statuses: list[RecordedStatus], request: Request, response: Response) -> list[RecordedStatus]:
    """Cut one page out, and set the `Link` header that leads to the others."""
    per_page = _read_number(request, "per_page", default=30, largest=100)
    page = _read_number(request, "page", default=1, largest=MAX_PAGE)
    last = max(1, -(-len(statuses) // per_page))
    pages = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    wanted = {"prev", "first"} if page > 1 else set()
    wanted |= {"next", "last"} if page < last else set()
    base = f"{_api(request)}{request.url.path}"
    links = [
        f'<{base}?{urlencode({"per_page": per_page, "page": number})}>; rel="{relation}"'
        for relation, number in pages.items()
        if relation in wanted
    ]
    if links:
        response.headers["Link"] = ", ".join(links)
    return statuses[(page - 1) * per_page : page * per_page]


def _read_number(request: Request, name: str, *, default: int, largest: int) -> int:
    text = request.query_params.get(name, "")
    if re.fullmatch(r"[1-9][0-9]{0,8}", text) is None:
        return default
    return min(int(text), largest)
