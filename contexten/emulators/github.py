"""A stand-in for GitHub's REST API: the part that Contexten calls, with GitHub's checks, answers and errors."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from contexten.emulators import (
    control,
    github_apps,
    github_checks,
    github_comments,
    github_control,
    github_git_data,
    github_hook_routes,
    github_labels,
    github_permissions,
    github_pulls,
    github_statuses,
)
from contexten.emulators.github_apps import AppTokens, authorise_app, authorise_request
from contexten.emulators.github_budget import HOURLY_REQUESTS, HourlyBudget
from contexten.emulators.github_hooks import GitHubHooks
from contexten.emulators.github_problems import GitHubProblem, answer_problem, problem_response
from contexten.emulators.github_recorder import GitHubRecorder
from contexten.emulators.interception import CONTROL_PREFIX, Interception
from contexten.emulators.serving import run_app, serve_app

REPOSITORY = "/repos/{owner}/{repo}"
# Those that GitHub published in 2025, and where this emulator's own deliveries come from.
HOOK_RANGES = (
    "192.30.252.0/22",
    "185.199.108.0/22",
    "140.82.112.0/20",
    "143.55.64.0/20",
    "2a0a:a440::/29",
    "2606:50c0::/32",
    "127.0.0.0/8",
    "::1/128",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningEmulator:
    """An emulator that is being served.

    Attributes:
        url: base URL of its API, without a trailing slash.
        recorder: what it has received; read it from the loop that serves it.
        hooks: through which it delivers, and what it delivered.
    """

    url: str
    recorder: GitHubRecorder
    hooks: GitHubHooks


def create_github_emulator(
    *,
    required_token: str | None = None,
    capacity: int = 10_000,
    hooks: GitHubHooks | None = None,
    hourly_requests: int | None = None,
    hook_ranges: Sequence[str] = HOOK_RANGES,
) -> FastAPI:
    """Make the application; its memory is `app.state.recorder` and `app.state.hooks`.

    Args:
        required_token: the only token accepted under `/repos`, but for those it gave to installations itself; None
            accepts every request.
        capacity: how many requests, and how many of each thing made, are kept before the oldest are forgotten.
        hooks: what it delivers through; one without hooks when left out.
        hourly_requests: refuses what is above it; 5,000 are counted, and more are not refused, when left out.
        hook_ranges: from which networks deliveries come, for `/meta`.
    """
    app = FastAPI(title="GitHub emulator of Contexten", openapi_url=None)
    app.state.recorder = recorder = GitHubRecorder(capacity=capacity)
    app.state.required_token = required_token
    app.state.hooks = hooks = hooks or GitHubHooks(capacity=capacity)
    app.state.tokens = AppTokens()
    app.state.hook_ranges = list(hook_ranges)
    app.state.budget = budget = HourlyBudget(
        clock=hooks.clock, limit=hourly_requests or HOURLY_REQUESTS, enforced=hourly_requests is not None
    )
    app.add_middleware(Interception, recorder=recorder, headers=budget.headers, refusal=_refusal, admit=budget.refuse)
    app.add_exception_handler(GitHubProblem, answer_problem)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    for prefix, router in (
        ("/app/hook", github_hook_routes.app_router),
        ("/app", github_apps.app_router),
        (REPOSITORY, github_apps.router),
    ):
        app.include_router(router, prefix=prefix, dependencies=[Depends(authorise_app)])
    for prefix, router in (
        (f"{REPOSITORY}/hooks", github_hook_routes.router),
        (REPOSITORY, github_statuses.router),
        (REPOSITORY, github_checks.router),
        (REPOSITORY, github_comments.router),
        (REPOSITORY, github_labels.router),
        (REPOSITORY, github_git_data.router),
        (REPOSITORY, github_pulls.router),
        (REPOSITORY, github_permissions.router),
    ):
        app.include_router(router, prefix=prefix, dependencies=[Depends(authorise_request)])
    app.include_router(control.router)
    app.include_router(github_control.router)
    app.include_router(github_permissions.control_router)
    app.add_api_route("/meta", _meta, methods=["GET"])
    app.add_api_route("/rate_limit", _rate_limit, methods=["GET"])
    app.add_api_route("/", _describe, methods=["GET"])
    return app


@asynccontextmanager
async def run_emulator(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    required_token: str | None = None,
    capacity: int = 10_000,
    hooks: GitHubHooks | None = None,
    hourly_requests: int | None = None,
) -> AsyncIterator[RunningEmulator]:
    """Serve an emulator in the running loop, on any free port unless one is given; stops within 2 s.

    See `create_github_emulator` for the other arguments.

    Raises:
        StackError: the address cannot be listened on.
    """
    app = create_github_emulator(
        required_token=required_token, capacity=capacity, hooks=hooks, hourly_requests=hourly_requests
    )
    try:
        async with serve_app(app, host=host, port=port) as url:
            yield RunningEmulator(url=url, recorder=app.state.recorder, hooks=app.state.hooks)
    finally:
        await app.state.hooks.sender.aclose()


async def _meta(request: Request) -> dict[str, Any]:
    return {"verifiable_password_authentication": False, "hooks": request.app.state.hook_ranges}


async def _rate_limit(request: Request) -> Any:
    budget: HourlyBudget = request.app.state.budget
    return budget.report()


async def _describe(request: Request) -> dict[str, str]:
    base = str(request.base_url)
    return {
        "name": "GitHub emulator of Contexten",
        "commit_statuses_url": f"{base}repos/{{owner}}/{{repo}}/commits/{{ref}}/statuses",
        "requests_url": f"{base}_emulator/requests",
        "statuses_url": f"{base}_emulator/statuses",
        "deliveries_url": f"{base}_emulator/deliveries",
        "faults_url": f"{base}_emulator/faults",
    }


async def _answer_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if request.url.path.startswith(CONTROL_PREFIX):
        return JSONResponse({"detail": error.detail}, error.status_code)
    # GitHub answers 404 to a method that a path does not have, too.
    status = HTTPStatus.NOT_FOUND if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else error.status_code
    return problem_response(status, "Not Found" if status == HTTPStatus.NOT_FOUND else str(error.detail))


def _refusal(status: int, retry_after: int | None) -> JSONResponse:
    messages = {
        403: "API rate limit exceeded",
        408: "The request did not arrive in time.",
        413: "The request is too large.",
        429: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        500: "Server Error",
        502: "Server Error",
        503: "Service Unavailable",
    }
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if status == HTTPStatus.FORBIDDEN:
        headers["X-RateLimit-Remaining"] = "0"
    return problem_response(status, messages.get(status, "Refused by a fault"), headers=headers)


def main() -> int:
    """Serve an emulator as a program: `python -m contexten.emulators.github --port N`."""
    return run_app(create_github_emulator(), name="contexten.emulators.github")


if __name__ == "__main__":
    sys.exit(main())
