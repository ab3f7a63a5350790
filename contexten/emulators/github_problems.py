"""How GitHub says no."""

from collections.abc import Mapping, Sequence

from fastapi import Request
from fastapi.responses import JSONResponse

DOCUMENTATION = "https://docs.github.com/rest"


class GitHubProblem(Exception):  # noqa: N818 - it is an answer, and becomes one in `answer_problem`
    """A request that GitHub would refuse, as raised inside a route."""

    def __init__(self, status: int, message: str, *, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


def invalid_field(field: str, message: str, *, resource: str) -> GitHubProblem:
    """Give the refusal for a field whose value is not acceptable."""
    detail = {"resource": resource, "code": "custom", "field": field, "message": message}
    return GitHubProblem(422, "Validation Failed", errors=[detail])


async def answer_problem(_request: Request, problem: Exception) -> JSONResponse:
    """Turn a `GitHubProblem` into GitHub's answer."""
    assert isinstance(problem, GitHubProblem)
    return problem_response(problem.status, problem.message, errors=problem.errors)


def problem_response(
    status: int,
    message: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    content: dict[str, object] = {"message": message, "documentation_url": DOCUMENTATION, "status": f"{status:d}"}
    if errors:
        content["errors"] = [dict(error) for error in errors]
    return JSONResponse(content, status, headers=headers)
