"""Comments of issues and pull requests, reactions to them, and reviews."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from contexten.emulators.github_problems import GitHubProblem
from contexten.emulators.github_recorder import GitHubRecorder
from contexten.emulators.github_requests import RecorderOf, api_url, page_of, read_number_of, read_object, read_text
from contexten.emulators.recorder import Shelf
from contexten.emulators.shapes import HTML_URL, Json, node_id, timestamp, user

AUTHOR = "contexten-emulator[bot]"
MAX_BODY = 65_536
REACTIONS = frozenset({"+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"})
REVIEW_STATES = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}

router = APIRouter()


@router.get("/issues/{number}/comments")
async def list_comments(
    owner: str, repo: str, number: str, request: Request, response: Response, recorder: RecorderOf
) -> list[Json]:
    """List the comments of an issue or pull request, oldest first."""
    issue = _url(request, owner, repo, f"issues/{read_number_of(number)}")
    return page_of([comment for comment in recorder.comments if comment["issue_url"] == issue], request, response)


@router.post("/issues/{number}/comments", status_code=201)
async def create_comment(owner: str, repo: str, number: str, request: Request, recorder: RecorderOf) -> Json:
    """Comment on an issue or pull request."""
    issue = read_number_of(number)
    body = _comment_body(read_object(await request.body()))
    comment_id, moment = recorder.next_id(), _now()
    comment = {
        "id": comment_id,
        "node_id": node_id("IssueComment", comment_id),
        "url": _url(request, owner, repo, f"issues/comments/{comment_id}"),
        "html_url": f"{HTML_URL}/{owner}/{repo}/issues/{issue}#issuecomment-{comment_id}",
        "issue_url": _url(request, owner, repo, f"issues/{issue}"),
        "body": body,
        "user": user(AUTHOR, api=api_url(request)),
        "created_at": moment,
        "updated_at": moment,
        "author_association": "NONE",
        "performed_via_github_app": None,
    }
    return recorder.comments.put(comment_id, comment)


@router.get("/issues/comments/{comment_id}")
async def get_comment(owner: str, repo: str, comment_id: str, request: Request, recorder: RecorderOf) -> Json:
    """Show a comment."""
    return _find(recorder.comments, comment_id, _url(request, owner, repo, "issues/comments"))


@router.patch("/issues/comments/{comment_id}")
async def update_comment(owner: str, repo: str, comment_id: str, request: Request, recorder: RecorderOf) -> Json:
    """Change a comment."""
    comment = _find(recorder.comments, comment_id, _url(request, owner, repo, "issues/comments"))
    body = _comment_body(read_object(await request.body()))
    return recorder.comments.put(comment["id"], {**comment, "body": body, "updated_at": _now()})


@router.delete("/issues/comments/{comment_id}", status_code=204)
async def delete_comment(owner: str, repo: str, comment_id: str, request: Request, recorder: RecorderOf) -> None:
    """Remove a comment."""
    comment = _find(recorder.comments, comment_id, _url(request, owner, repo, "issues/comments"))
    recorder.comments.remove(comment["id"])


@router.post("/issues/comments/{comment_id}/reactions", status_code=201)
async def react_to_comment(
    owner: str, repo: str, comment_id: str, request: Request, response: Response, recorder: RecorderOf
) -> Json:
    """React to a comment; the same reaction again is the one that is there (200)."""
    comment = _find(recorder.comments, comment_id, _url(request, owner, repo, "issues/comments"))
    return await _react(comment["url"], request, response, recorder)


@router.get("/issues/comments/{comment_id}/reactions")
async def list_comment_reactions(
    owner: str, repo: str, comment_id: str, request: Request, response: Response, recorder: RecorderOf
) -> list[Json]:
    """List the reactions to a comment, oldest first."""
    comment = _find(recorder.comments, comment_id, _url(request, owner, repo, "issues/comments"))
    return page_of(_reactions(comment["url"], recorder), request, response)


@router.post("/issues/{number}/reactions", status_code=201)
async def react_to_issue(
    owner: str, repo: str, number: str, request: Request, response: Response, recorder: RecorderOf
) -> Json:
    """React to an issue or pull request; the same reaction again is the one that is there (200)."""
    return await _react(_url(request, owner, repo, f"issues/{read_number_of(number)}"), request, response, recorder)


@router.get("/issues/{number}/reactions")
async def list_issue_reactions(
    owner: str, repo: str, number: str, request: Request, response: Response, recorder: RecorderOf
) -> list[Json]:
    """List the reactions to an issue or pull request, oldest first."""
    about = _url(request, owner, repo, f"issues/{read_number_of(number)}")
    return page_of(_reactions(about, recorder), request, response)


@router.post("/pulls/{number}/reviews")
async def create_review(owner: str, repo: str, number: str, request: Request, recorder: RecorderOf) -> Json:
    """Review a pull request; without an `event` the review is pending."""
    pull = read_number_of(number)
    given = read_object(await request.body())
    body = read_text(given, "body", limit=MAX_BODY, resource="PullRequestReview") or ""
    event = given.get("event")
    if event is not None and event not in REVIEW_STATES:
        raise GitHubProblem(422, "Unprocessable Entity", errors=[{"message": "Variable $event was invalid"}])
    if event in {"COMMENT", "REQUEST_CHANGES"} and not body and not given.get("comments"):
        raise GitHubProblem(422, "Unprocessable Entity", errors=[{"message": "Body cannot be blank"}])
    lines = _read_lines(given.get("comments"))
    review_id = recorder.next_id()
    url, html_url = _url(request, owner, repo, f"pulls/{pull}"), f"{HTML_URL}/{owner}/{repo}/pull/{pull}"
    html_url = f"{html_url}#pullrequestreview-{review_id}"
    review = {
        "id": review_id,
        "node_id": node_id("PullRequestReview", review_id),
        "user": user(AUTHOR, api=api_url(request)),
        "body": body,
        "state": REVIEW_STATES.get(str(event), "PENDING"),
        "html_url": html_url,
        "pull_request_url": url,
        "_links": {"html": {"href": html_url}, "pull_request": {"href": url}},
        "commit_id": read_text(given, "commit_id", limit=MAX_BODY, resource="PullRequestReview"),
        "author_association": "NONE",
    }
    if event is not None:
        review["submitted_at"] = _now()
    for line in lines:
        comment_id = recorder.next_id()
        about = {"id": comment_id, "pull_request_review_id": review_id, "pull_request_url": url, "user": review["user"]}
        address = _url(request, owner, repo, f"pulls/comments/{comment_id}")
        recorder.line_comments.put(comment_id, {**line, **about, "url": address, "created_at": _now()})
    return recorder.reviews.put(review_id, review)


@router.get("/pulls/{number}/comments")
async def list_line_comments(
    owner: str, repo: str, number: str, request: Request, response: Response, recorder: RecorderOf
) -> list[Json]:
    """List the comments on lines of a pull request, oldest first."""
    pull = _url(request, owner, repo, f"pulls/{read_number_of(number)}")
    return page_of([line for line in recorder.line_comments if line["pull_request_url"] == pull], request, response)


@router.post("/pulls/comments/{comment_id}/reactions", status_code=201)
async def react_to_line_comment(
    owner: str, repo: str, comment_id: str, request: Request, response: Response, recorder: RecorderOf
) -> Json:
    """React to a comment on a line; the same reaction again is the one that is there (200)."""
    comment = _find(recorder.line_comments, comment_id, _url(request, owner, repo, "pulls/comments"))
    return await _react(comment["url"], request, response, recorder)


@router.get("/pulls/comments/{comment_id}/reactions")
async def list_line_comment_reactions(
    owner: str, repo: str, comment_id: str, request: Request, response: Response, recorder: RecorderOf
) -> list[Json]:
    """List the reactions to a comment on a line, oldest first."""
    comment = _find(recorder.line_comments, comment_id, _url(request, owner, repo, "pulls/comments"))
    return page_of(_reactions(comment["url"], recorder), request, response)


@router.get("/pulls/{number}/reviews")
async def list_reviews(
    owner: str, repo: str, number: str, request: Request, response: Response, recorder: RecorderOf
) -> list[Json]:
    """List the reviews of a pull request, oldest first."""
    pull = _url(request, owner, repo, f"pulls/{read_number_of(number)}")
    return page_of([review for review in recorder.reviews if review["pull_request_url"] == pull], request, response)


async def _react(about: str, request: Request, response: Response, recorder: GitHubRecorder) -> Json:
    content = read_object(await request.body()).get("content")
    if not isinstance(content, str) or content not in REACTIONS:
        raise GitHubProblem(
            422, "Validation Failed", errors=[{"resource": "Reaction", "code": "invalid", "field": "content"}]
        )
    for reaction in _reactions(about, recorder):
        if reaction["content"] == content:
            response.status_code = 200
            return reaction
    number = recorder.next_id()
    reaction = {
        "id": number,
        "node_id": node_id("Reaction", number),
        "user": user(AUTHOR, api=api_url(request)),
        "content": content,
        "created_at": _now(),
    }
    recorder.reactions.put(number, {"about": about, **reaction})
    return reaction


def _reactions(about: str, recorder: GitHubRecorder) -> list[Json]:
    return [
        {name: value for name, value in reaction.items() if name != "about"}
        for reaction in recorder.reactions
        if reaction["about"] == about
    ]


def _read_lines(given: Any) -> list[Json]:
    lines = [] if given is None else given
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise GitHubProblem(422, "Invalid request.\n\nFor 'properties/comments', it is not an array of objects.")
    for line in lines:
        number = line.get("line", line.get("position"))
        if not isinstance(number, int) or number < 1:
            message = "Pull request review thread line must be part of the diff"
            raise GitHubProblem(422, "Unprocessable Entity", errors=[{"message": message}])
        if not isinstance(line.get("path"), str) or not str(line.get("body") or "").strip():
            raise GitHubProblem(422, "Unprocessable Entity", errors=[{"message": "Path could not be resolved"}])
    return [{name: line[name] for name in ("path", "line", "side", "body") if name in line} for line in lines]


def _comment_body(given: Mapping[str, Any]) -> str:
    body = read_text(given, "body", limit=MAX_BODY, resource="IssueComment")
    if body is None:
        raise GitHubProblem(422, 'Invalid request.\n\n"body" wasn\'t supplied.')
    if not body.strip():
        blank = {
            "resource": "IssueComment",
            "code": "unprocessable",
            "field": "data",
            "message": "Body cannot be blank",
        }
        raise GitHubProblem(422, "Validation Failed", errors=[blank])
    return body


def _find(shelf: Shelf, number: str, place: str) -> Json:
    thing = shelf.get(read_number_of(number))
    if thing is None or not thing["url"].lower().startswith(f"{place}/".lower()):
        raise GitHubProblem(404, "Not Found")
    return thing


def _url(request: Request, owner: str, repo: str, path: str) -> str:
    return f"{api_url(request)}/repos/{owner}/{repo}/{path}".lower()


def _now() -> str:
    return timestamp(datetime.now(UTC))
