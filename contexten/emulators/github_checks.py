"""Check runs: create, update, show, list for a commit."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from contexten.emulators.github_problems import GitHubProblem, invalid_field
from contexten.emulators.github_recorder import GitHubRecorder
from contexten.emulators.github_requests import (
    RecorderOf,
    api_url,
    page_of,
    read_number_of,
    read_object,
    read_sha,
    read_text,
)
from contexten.emulators.shapes import HTML_URL, Json, node_id, stable_id, timestamp

RESOURCE = "CheckRun"
STATUSES = frozenset({"queued", "in_progress", "completed", "waiting", "requested", "pending"})
CONCLUSIONS = frozenset(
    {"success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required", "stale"}
)
MAX_NAME = 255
MAX_TEXT = 65_535
MAX_ANNOTATIONS = 50
PERSONAL = ("ghp_", "github_pat_", "gho_")

router = APIRouter()


@router.post("/check-runs", status_code=201)
async def create_check_run(owner: str, repo: str, request: Request, recorder: RecorderOf) -> Json:
    """Create a check run."""
    _only_apps(request)
    body = read_object(await request.body())
    name, sha = read_text(body, "name", limit=MAX_NAME, resource=RESOURCE), body.get("head_sha")
    for field, value in (("name", name), ("head_sha", sha)):
        if not value:
            raise GitHubProblem(422, f'Invalid request.\n\n"{field}" wasn\'t supplied.')
    sha = read_sha(str(sha))
    number, api = recorder.next_id(), api_url(request)
    url = f"{api}/repos/{owner}/{repo}/check-runs/{number}"
    run: Json = {
        "id": number,
        "name": name,
        "node_id": node_id(RESOURCE, number),
        "head_sha": sha,
        "external_id": "",
        "url": url,
        "html_url": f"{HTML_URL}/{owner}/{repo}/runs/{number}",
        "details_url": None,
        "status": "queued",
        "conclusion": None,
        "started_at": _now(),
        "completed_at": None,
        "output": {
            "title": None,
            "summary": None,
            "text": None,
            "annotations_count": 0,
            "annotations_url": f"{url}/annotations",
        },
        "check_suite": {"id": stable_id("CheckSuite", f"{owner}/{repo}@{sha}")},
        "app": None,
        "pull_requests": [],
    }
    return recorder.check_runs.put(number, _changed(run, body))


@router.patch("/check-runs/{check_run_id}")
async def update_check_run(owner: str, repo: str, check_run_id: str, request: Request, recorder: RecorderOf) -> Json:
    """Change a check run."""
    _only_apps(request)
    run = _find(owner, repo, check_run_id, recorder)
    return recorder.check_runs.put(run["id"], _changed(run, read_object(await request.body())))


@router.get("/check-runs/{check_run_id}")
async def get_check_run(owner: str, repo: str, check_run_id: str, recorder: RecorderOf) -> Json:
    """Show a check run."""
    return _find(owner, repo, check_run_id, recorder)


@router.get("/commits/{ref:path}/check-runs")
async def list_check_runs(
    owner: str, repo: str, ref: str, request: Request, response: Response, recorder: RecorderOf
) -> Json:
    """List the check runs of a commit, newest first; of those with one name the newest, unless `filter=all`."""
    sha, query = read_sha(ref), request.query_params
    found = [
        run
        for run in reversed(list(recorder.check_runs))
        if run["head_sha"] == sha
        and _is_in(run, owner, repo)
        and query.get("check_name") in {None, run["name"]}
        and query.get("status") in {None, run["status"]}
    ]
    if query.get("filter") != "all":
        newest: dict[str, Json] = {}
        for run in found:
            newest.setdefault(run["name"], run)
        found = list(newest.values())
    return {"total_count": len(found), "check_runs": page_of(found, request, response)}


def _changed(run: Json, body: Mapping[str, Any]) -> Json:
    changed = dict(run)
    for field, limit in (("name", MAX_NAME), ("details_url", MAX_TEXT), ("external_id", MAX_TEXT)):
        if (text := read_text(body, field, limit=limit, resource=RESOURCE)) is not None:
            changed[field] = text
    for field, known in (("status", STATUSES), ("conclusion", CONCLUSIONS)):
        if (value := read_text(body, field, limit=MAX_NAME, resource=RESOURCE)) is not None:
            if value not in known:
                raise invalid_field(field, f"{field} is not included in the list", resource=RESOURCE)
            changed[field] = value
    if body.get("conclusion") is not None:
        changed["status"] = "completed"
        changed["completed_at"] = _now()
    if changed["status"] == "completed" and changed["conclusion"] is None:
        raise invalid_field("conclusion", "conclusion is required when status is completed", resource=RESOURCE)
    if changed["status"] != "completed":
        changed |= {"conclusion": None, "completed_at": None}
    if body.get("output") is not None:
        changed["output"] = _output(changed["output"], body["output"])
    return changed


def _output(before: Json, given: Any) -> Json:
    if not isinstance(given, dict):
        raise GitHubProblem(422, "Invalid request.\n\nFor 'properties/output', it is not an object.")
    output = dict(before)
    for field in ("title", "summary", "text"):
        text = read_text(given, field, limit=MAX_TEXT, resource=RESOURCE)
        if text is None and field == "summary":
            raise GitHubProblem(422, 'Invalid request.\n\n"summary" wasn\'t supplied.')
        output[field] = text if text is not None else output[field]
    annotations = given.get("annotations", [])
    if not isinstance(annotations, list) or len(annotations) > MAX_ANNOTATIONS:
        raise invalid_field("annotations", f"no more than {MAX_ANNOTATIONS} annotations", resource=RESOURCE)
    output["annotations_count"] += len(annotations)
    return output


def _find(owner: str, repo: str, number: str, recorder: GitHubRecorder) -> Json:
    run = recorder.check_runs.get(read_number_of(number))
    if run is None or not _is_in(run, owner, repo):
        raise GitHubProblem(404, "Not Found")
    return run


def _is_in(thing: Json, owner: str, repo: str) -> bool:
    return f"/repos/{owner}/{repo}/".lower() in thing["url"].lower()


def _only_apps(request: Request) -> None:
    _, _, token = request.headers.get("authorization", "").partition(" ")
    if token.startswith(PERSONAL):
        raise GitHubProblem(403, "You must authenticate via a GitHub App.")


def _now() -> str:
    return timestamp(datetime.now(UTC))
