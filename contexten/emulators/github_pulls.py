"""Pull requests: open one, show, list, change."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from contexten.emulators.github_comments import AUTHOR
from contexten.emulators.github_git_data import commit_at
from contexten.emulators.github_payloads import pull_request_payload
from contexten.emulators.github_problems import GitHubProblem, invalid_field
from contexten.emulators.github_recorder import GitHubRecorder
from contexten.emulators.github_requests import (
    RecorderOf,
    api_url,
    page_of,
    read_number_of,
    read_object,
    read_text,
)
from contexten.emulators.shapes import Json, timestamp

RESOURCE = "PullRequest"
MAX_TITLE = 256
MAX_BODY = 65_536
NO_BASE = "0" * 40
STATES = frozenset({"open", "closed"})

router = APIRouter(prefix="/pulls")


@router.post("", status_code=201)
async def create_pull(owner: str, repo: str, request: Request, recorder: RecorderOf) -> Json:
    """Open a pull request from a branch of the same repository."""
    body = read_object(await request.body())
    title, head, base = (
        read_text(body, field, limit=MAX_TITLE, resource=RESOURCE) for field in ("title", "head", "base")
    )
    text = read_text(body, "body", limit=MAX_BODY, resource=RESOURCE)
    for field, value in (("title", title), ("head", head), ("base", base)):
        if not value:
            raise GitHubProblem(422, f'Invalid request.\n\n"{field}" wasn\'t supplied.')
    branch = str(head).removeprefix(f"{owner}:")
    commit = commit_at(recorder, owner, repo, branch)
    if commit is None:
        raise GitHubProblem(
            422, "Validation Failed", errors=[{"resource": RESOURCE, "field": "head", "code": "invalid"}]
        )
    label = f"{owner}:{branch}"
    for pull in _pulls(owner, repo, recorder):
        if pull["state"] == "open" and pull["head"]["label"] == label and pull["base"]["ref"] == base:
            message = f"A pull request already exists for {label}."
            raise GitHubProblem(
                422, "Validation Failed", errors=[{"resource": RESOURCE, "code": "custom", "message": message}]
            )
    number = recorder.next_id()
    payload = pull_request_payload(
        f"{owner}/{repo}",
        number=number,
        action="opened",
        title=str(title),
        sender=AUTHOR,
        head_ref=branch,
        head_sha=commit,
        base_ref=str(base),
        base_sha=commit_at(recorder, owner, repo, str(base)) or NO_BASE,
        draft=body.get("draft") is True,
    )
    shown = payload["pull_request"]
    shown |= {"url": f"{api_url(request)}/repos/{owner}/{repo}/pulls/{number}", "body": text}
    return recorder.pulls.put(number, shown)


@router.get("")
async def list_pulls(owner: str, repo: str, request: Request, response: Response, recorder: RecorderOf) -> list[Json]:
    """List pull requests, newest first: the open ones, unless `state` is `closed` or `all`."""
    query = request.query_params
    state, head, base = query.get("state", "open"), query.get("head"), query.get("base")
    found = [
        pull
        for pull in reversed(_pulls(owner, repo, recorder))
        if state in {"all", pull["state"]}
        and (head is None or pull["head"]["label"].lower() == head.lower())
        and base in {None, pull["base"]["ref"]}
    ]
    return page_of(found, request, response)


@router.get("/{number}")
async def get_pull(owner: str, repo: str, number: str, recorder: RecorderOf) -> Json:
    """Show a pull request."""
    return _find(owner, repo, number, recorder)


@router.patch("/{number}")
async def update_pull(owner: str, repo: str, number: str, request: Request, recorder: RecorderOf) -> Json:
    """Change a pull request's title or text, close it or open it again."""
    pull, body = dict(_find(owner, repo, number, recorder)), read_object(await request.body())
    for field, limit in (("title", MAX_TITLE), ("body", MAX_BODY), ("state", MAX_TITLE)):
        if (text := read_text(body, field, limit=limit, resource=RESOURCE)) is not None:
            pull[field] = text
    if pull["state"] not in STATES:
        raise invalid_field("state", "state is not included in the list", resource=RESOURCE)
    moment = timestamp(datetime.now(UTC))
    pull |= {"updated_at": moment, "closed_at": None if pull["state"] == "open" else moment}
    return recorder.pulls.put(pull["number"], pull)


def _pulls(owner: str, repo: str, recorder: GitHubRecorder) -> list[Json]:
    end = f"{owner}/{repo}".lower()
    return [pull for pull in recorder.pulls if pull["base"]["repo"]["full_name"].lower() == end]


def _find(owner: str, repo: str, number: str, recorder: GitHubRecorder) -> Json:
    wanted = read_number_of(number)
    pull: Any = next((pull for pull in _pulls(owner, repo, recorder) if pull["number"] == wanted), None)
    if pull is None:
        raise GitHubProblem(404, "Not Found")
    return dict(pull)
