"""A stand-in for GitHub's REST API: the part that Contexten calls, with GitHub's checks, answers and errors."""

import hmac
import itertools
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from contexten.emulators import control, github_statuses
from contexten.emulators.github_problems import GitHubProblem, answer_problem, problem_response
from contexten.emulators.interception import CONTROL_PREFIX, Interception
from contexten.emulators.recorder import Recorder
from contexten.emulators.serving import run_app, serve_app

HOURLY_REQUESTS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningEmulator:
    """An emulator that is being served.

    Attributes:
        url: base URL of its API, without a trailing slash.
        recorder: what it has received; read it from the loop that serves it.
    """

    url: str
    recorder: Recorder


def create_github_emulator(*, required_token: str | None = None, capacity: int = 10_000) -> FastAPI:
    """Make the application; its memory is `app.state.recorder`.

    Args:
        required_token: the only token accepted under `/repos`; None accepts every request.
        capacity: how many requests, and how many statuses, are kept before the oldest are forgotten.
    """
    app = FastAPI(title="GitHub emulator of Contexten", openapi_url=None)
    app.state.recorder = recorder = Recorder(capacity=capacity)
    app.state.required_token = required_token
    app.add_middleware(Interception, recorder=recorder, headers=_AnswerHeaders(), refusal=_refusal)
    app.add_exception_handler(GitHubProblem, answer_problem)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.include_router(control.router)
    app.include_router(github_statuses.router, dependencies=[Depends(_authorise)])
    app.add_api_route("/", _describe, methods=["GET"])
    return app


@asynccontextmanager
async def run_emulator(
    host: str = "127.0.0.1", port: int = 0, *, required_token: str | None = None, capacity: int = 10_000
) -> AsyncIterator[RunningEmulator]:
    """Serve an emulator in the running loop, on any free port unless one is given; stops within 2 s.

    Raises:
        StackError: the address cannot be listened on.
    """
    app = create_github_emulator(required_token=required_token, capacity=capacity)
    async with serve_app(app, host=host, port=port) as url:
        yield RunningEmulator(url=url, recorder=app.state.recorder)


async def _describe(request: Request) -> dict[str, str]:
    base = str(request.base_url)
    return {
        "name": "GitHub emulator of Contexten",
        "commit_statuses_url": f"{base}repos/{{owner}}/{{repo}}/commits/{{ref}}/statuses",
        "requests_url": f"{base}_emulator/requests",
        "statuses_url": f"{base}_emulator/statuses",
        "faults_url": f"{base}_emulator/faults",
    }


def _authorise(request: Request) -> None:
    required = request.app.state.required_token
    if required is None:
        return
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not token:
        raise GitHubProblem(401, "Requires authentication")
    if scheme.lower() not in {"bearer", "token"} or not hmac.compare_digest(token.encode(), required.encode()):
        raise GitHubProblem(401, "Bad credentials")


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


class _AnswerHeaders:
    """The headers of every answer; the hourly budget is counted, never enforced (ask for a fault instead)."""

    def __init__(self) -> None:
        self._resets_at = 0
        self._counter = itertools.count(1)

    def __call__(self) -> dict[str, str]:
        now = int(time.time())
        if now >= self._resets_at:
            self._resets_at = now + 3600
            self._counter = itertools.count(1)
        used = min(next(self._counter), HOURLY_REQUESTS)
        return {
            "Server": "github.com",
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Api-Version-Selected": "2022-11-28",
            "X-GitHub-Request-Id": ":".join(secrets.token_hex(size).upper() for size in (2, 3, 4, 4, 4)),
            "X-RateLimit-Limit": str(HOURLY_REQUESTS),
            "X-RateLimit-Remaining": str(HOURLY_REQUESTS - used),
            "X-RateLimit-Reset": str(self._resets_at),
            "X-RateLimit-Used": str(used),
            "X-RateLimit-Resource": "core",
        }


def main() -> int:
    """Serve an emulator as a program: `python -m contexten.emulators.github --port N`."""
    return run_app(create_github_emulator(), name="contexten.emulators.github")


if __name__ == "__main__":
    sys.exit(main())
