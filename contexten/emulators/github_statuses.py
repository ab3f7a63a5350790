"""Commit statuses: create one, list them, combine them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from contexten.emulators.github_problems import GitHubProblem, invalid_field
from contexten.emulators.github_recorder import CommitState, GitHubRecorder, RecordedStatus
from contexten.emulators.github_requests import RecorderOf, api_url, page_of, read_object, read_sha, read_text
from contexten.emulators.shapes import Json, node_id, repository, timestamp, user

CREATOR = "contexten-emulator[bot]"
MAX_DESCRIPTION = 140
MAX_CONTEXT = 255
MAX_TARGET_URL = 2048
MAX_PER_CONTEXT = 1000
RESOURCE = "Status"

router = APIRouter()


@router.post("/statuses/{sha}", status_code=201)
async def create_status(owner: str, repo: str, sha: str, request: Request, recorder: RecorderOf) -> Json:
    """Create a commit status."""
    body = read_object(await request.body())
    full_name = f"{owner}/{repo}"
    sha = read_sha(sha)
    state = _read_state(body)
    description = read_text(body, "description", limit=MAX_DESCRIPTION, resource=RESOURCE)
    target_url = read_text(body, "target_url", limit=MAX_TARGET_URL, resource=RESOURCE)
    context = read_text(body, "context", limit=MAX_CONTEXT, resource=RESOURCE) or "default"
    if target_url and not target_url.lower().startswith(("http://", "https://")):
        raise invalid_field("target_url", "target_url must use http(s) scheme", resource=RESOURCE)
    known = recorder.statuses_of(repository=full_name, sha=sha)
    if sum(status.context == context for status in known) >= MAX_PER_CONTEXT:
        message = "This SHA and context has reached the maximum number of statuses."
        raise invalid_field("context", message, resource=RESOURCE)
    status = recorder.record_status(
        repository=full_name,
        sha=sha,
        state=state,
        description=description,
        target_url=target_url,
        context=context,
    )
    return {**_simple_status(status, api=api_url(request)), "creator": user(CREATOR, api=api_url(request))}


@router.get("/commits/{ref:path}/statuses")
async def list_statuses(
    owner: str, repo: str, ref: str, request: Request, response: Response, recorder: RecorderOf
) -> list[Json]:
    """List the statuses of a commit, newest first."""
    statuses = recorder.statuses_of(repository=f"{owner}/{repo}", sha=read_sha(ref))
    api = api_url(request)
    creator = user(CREATOR, api=api)
    page = page_of(statuses, request, response)
    return [{**_simple_status(status, api=api), "creator": creator} for status in page]


@router.get("/commits/{ref:path}/status")
async def combine_statuses(
    owner: str, repo: str, ref: str, request: Request, response: Response, recorder: RecorderOf
) -> Json:
    """Combine the newest status of each context into one state."""
    full_name, sha, api = f"{owner}/{repo}", read_sha(ref), api_url(request)
    latest = _latest_per_context(recorder, full_name=full_name, sha=sha)
    commit_url = f"{api}/repos/{full_name}/commits/{sha}"
    return {
        "state": _combined_state(status.state for status in latest),
        "statuses": [_simple_status(status, api=api) for status in page_of(latest, request, response)],
        "sha": sha,
        "total_count": len(latest),
        "repository": repository(full_name, default_branch="main", at=datetime.now(UTC), api=api),
        "commit_url": commit_url,
        "url": f"{commit_url}/status",
    }


def _latest_per_context(recorder: GitHubRecorder, *, full_name: str, sha: str) -> list[RecordedStatus]:
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


def _read_state(body: dict[str, Any]) -> CommitState:
    if "state" not in body:
        raise GitHubProblem(422, 'Invalid request.\n\n"state" wasn\'t supplied.')
    try:
        return CommitState(body["state"])
    except ValueError as error:
        raise invalid_field("state", "state is not included in the list", resource=RESOURCE) from error
