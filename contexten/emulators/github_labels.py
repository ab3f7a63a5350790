"""Labels of issues and pull requests."""

from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from contexten.emulators.github_problems import GitHubProblem, invalid_field
from contexten.emulators.github_requests import RecorderOf, api_url, page_of, read_number_of, read_object
from contexten.emulators.shapes import Json, node_id, stable_id

RESOURCE = "Label"
MAX_NAME = 50
MAX_LABELS = 100

router = APIRouter()


@router.get("/issues/{number}/labels")
async def list_labels(
    owner: str, repo: str, number: str, request: Request, response: Response, recorder: RecorderOf
) -> list[Json]:
    """List the labels of an issue or pull request."""
    names = _names(recorder.labels.get(_issue(owner, repo, number)))
    return page_of([_label(owner, repo, name, request) for name in names], request, response)


@router.post("/issues/{number}/labels")
async def add_labels(owner: str, repo: str, number: str, request: Request, recorder: RecorderOf) -> list[Json]:
    """Put labels on; those that are there stay, and names ignore case."""
    issue = _issue(owner, repo, number)
    given = read_object(await request.body()).get("labels")
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise GitHubProblem(422, "Invalid request.\n\nFor 'properties/labels', it is not an array of strings.")
    names = _names(recorder.labels.get(issue))
    for name in given:
        if not name.strip() or len(name) > MAX_NAME:
            raise invalid_field("name", f"name is too long (maximum is {MAX_NAME} characters)", resource=RESOURCE)
        if name.lower() not in {known.lower() for known in names}:
            names.append(name)
    if len(names) > MAX_LABELS:
        raise invalid_field("labels", f"no more than {MAX_LABELS} labels", resource="Issue")
    recorder.labels.put(issue, {"issue": issue, "names": names})
    return [_label(owner, repo, name, request) for name in names]


@router.delete("/issues/{number}/labels")
async def remove_labels(owner: str, repo: str, number: str, recorder: RecorderOf) -> Response:
    """Take all labels off."""
    recorder.labels.remove(_issue(owner, repo, number))
    return Response(status_code=204)


@router.delete("/issues/{number}/labels/{name:path}")
async def remove_label(
    owner: str, repo: str, number: str, name: str, request: Request, recorder: RecorderOf
) -> list[Json]:
    """Take a label off."""
    issue = _issue(owner, repo, number)
    names = _names(recorder.labels.get(issue))
    left = [known for known in names if known.lower() != name.lower()]
    if len(left) == len(names):
        raise GitHubProblem(404, "Label does not exist")
    recorder.labels.put(issue, {"issue": issue, "names": left})
    return [_label(owner, repo, known, request) for known in left]


def _issue(owner: str, repo: str, number: str) -> str:
    return f"{owner}/{repo}#{read_number_of(number)}".lower()


def _names(thing: Json | None) -> list[str]:
    return [] if thing is None else list(thing["names"])


def _label(owner: str, repo: str, name: str, request: Request) -> Json:
    number = stable_id(RESOURCE, f"{owner}/{repo}:{name}")
    return {
        "id": number,
        "node_id": node_id(RESOURCE, number),
        "url": f"{api_url(request)}/repos/{owner}/{repo}/labels/{quote(name)}",
        "name": name,
        "color": "ededed",
        "default": False,
        "description": None,
        "archived_at": None,
        "archived_by": None,
    }
