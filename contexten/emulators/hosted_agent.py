"""A stand-in for a hosted agent behind the protocol of docs/reference/hosted-agents.md, which does what it is told to.

`POST /v1/jobs` starts a job, `GET /v1/jobs/ID` tells of it, `DELETE /v1/jobs/ID` cancels it.
"""

import secrets
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from contexten.emulators import control
from contexten.emulators.answers import AsciiJSONResponse, read_json
from contexten.emulators.interception import CONTROL_PREFIX, Interception
from contexten.emulators.recorder import Recorder, Shelf
from contexten.emulators.serving import run_app, serve_app
from contexten.emulators.shapes import Json

MOST_WORKS = 1_000
_NOT_OVER = ("queued", "running")
_LONGEST_TEXT = 8 * 1024 * 1024
_TOKEN = "hosted-agent-emulator-token"  # noqa: S105 - of a stand-in


class Work(BaseModel):
    """How the next job goes.

    Attributes:
        polls: how often it is still running when it is asked about; its log grows by a line each time.
        status: how it ends: `done`, `failed` or `cancelled`.
        answer: what it gives when it is done.
        reason: why it failed or was cancelled.
        cost: what it took.
        retry_after: the header that its answers have while it is not over.
        nonsense: what is answered instead when it would be over, whatever that is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    polls: int = Field(default=0, ge=0, le=100_000)
    status: str = Field(default="done", max_length=100)
    answer: dict[str, Any] | None = None
    reason: str | None = None
    cost: dict[str, Any] | None = None
    retry_after: str | None = Field(default="0", max_length=100)
    nonsense: str | None = Field(default=None, max_length=_LONGEST_TEXT)


DONE = Work(answer={"succeeded": True, "summary": "Done."})


class Agent:
    """The jobs of a hosted agent, each started once for its key."""

    def __init__(self, *, token: str, jobs: Shelf) -> None:
        self.token = token
        self._waiting: deque[Work] = deque(maxlen=MOST_WORKS)
        self._works: dict[str, Work] = {}
        self._jobs = jobs

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs held, oldest first: `id`, `key`, `status`, what was asked for, and how often it was asked about."""
        return list(self._jobs)

    def queue(self, *works: Work) -> None:
        """Have the next jobs go like this; when nothing is left they are done at once."""
        self._waiting.extend(works)

    def start(self, key: str, asked: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Return the job of a key, and whether it is new."""
        found = next((job for job in self._jobs if job["key"] == key), None)
        if found is not None:
            return found, False
        job_id = secrets.token_hex(8)
        self._works = {one["id"]: self._works[one["id"]] for one in self._jobs}
        self._works[job_id] = self._waiting.popleft() if self._waiting else DONE
        job = {"id": job_id, "key": key, "status": "queued", "asked": asked, "polls": 0, "log": ""}
        return self._jobs.put(job_id, job), True

    def look(self, job: dict[str, Any]) -> None:
        """Let the job go on by one step."""
        work = self._works[job["id"]]
        if job["status"] in _NOT_OVER:
            job["polls"] += 1
            job["log"] += f"step {job['polls']}\n"
            job["status"] = "running" if job["polls"] <= work.polls else work.status

    def cancel(self, job: dict[str, Any]) -> None:
        """End a job that is not over."""
        if job["status"] in _NOT_OVER:
            job["status"] = "cancelled"

    def find(self, job_id: str) -> dict[str, Any] | None:
        return self._jobs.get(job_id)

    def work_of(self, job: dict[str, Any]) -> Work:
        return self._works[job["id"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningAgent:
    """An emulator that is being served; `url` is what belongs into HOSTED_AGENTS."""

    url: str
    agent: Agent
    recorder: Recorder


def create_hosted_agent_emulator(*, token: str = _TOKEN, capacity: int = 1_000) -> FastAPI:
    """Make the application; its jobs are `app.state.agent`, its memory `app.state.recorder`."""
    app = FastAPI(title="Hosted agent emulator of Contexten", openapi_url=None)
    app.state.recorder = recorder = Recorder(capacity=capacity)
    app.state.agent = agent = Agent(token=token, jobs=recorder.shelf())
    app.add_middleware(Interception, recorder=recorder, headers=dict, refusal=_refusal)
    app.include_router(control.router)

    routes = _Routes(agent)

    async def queue(work: Work) -> Json:
        agent.queue(work)
        return {"queued": 1}

    async def jobs() -> Json:
        return {"jobs": agent.jobs}

    app.add_api_route("/v1/jobs", routes.start, methods=["POST"], response_model=None)
    app.add_api_route("/v1/jobs/{job_id}", routes.look, methods=["GET"], response_model=None)
    app.add_api_route("/v1/jobs/{job_id}", routes.cancel, methods=["DELETE"], response_model=None)
    app.add_api_route(f"{CONTROL_PREFIX}/works", queue, methods=["POST"], status_code=201)
    app.add_api_route(f"{CONTROL_PREFIX}/jobs", jobs, methods=["GET"])
    return app


class _Routes:
    """The protocol, over the jobs of an agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def start(self, request: Request) -> Response:
        if not self._is_known(request):
            return _refusal(401, None)
        try:
            asked = read_json(await request.body())
        except ValueError:
            asked = None
        key = request.headers.get("idempotency-key")
        if not isinstance(asked, dict) or not isinstance(asked.get("instruction"), str) or not key:
            return _refusal(422, None)
        job, is_new = self._agent.start(key, asked)
        return _tell(self._agent, job, 201 if is_new else 200)

    async def look(self, request: Request, job_id: str) -> Response:
        return self._answer(request, job_id, self._agent.look)

    async def cancel(self, request: Request, job_id: str) -> Response:
        return self._answer(request, job_id, self._agent.cancel)

    def _answer(self, request: Request, job_id: str, change: Callable[[dict[str, Any]], None]) -> Response:
        if not self._is_known(request):
            return _refusal(401, None)
        job = self._agent.find(job_id)
        if job is None:
            return _refusal(404, None)
        change(job)
        return _tell(self._agent, job, 200)

    def _is_known(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").encode()
        return secrets.compare_digest(given, f"Bearer {self._agent.token}".encode())


@asynccontextmanager
async def run_hosted_agent_emulator(
    host: str = "127.0.0.1", port: int = 0, *, token: str = _TOKEN
) -> AsyncIterator[RunningAgent]:
    """Serve an emulator in the running loop, on any free port unless one is given; stops within 2 s.

    Raises:
        StackError: the address cannot be listened on.
    """
    app = create_hosted_agent_emulator(token=token)
    async with serve_app(app, host=host, port=port) as url:
        yield RunningAgent(url=f"{url}/v1", agent=app.state.agent, recorder=app.state.recorder)


def _tell(agent: Agent, job: dict[str, Any], status: int) -> Response:
    work = agent.work_of(job)
    is_over = job["status"] not in _NOT_OVER
    if is_over and work.nonsense is not None:
        return Response(work.nonsense, status, media_type="application/json")
    said = {"id": job["id"], "status": job["status"], "log": job["log"]}
    if work.cost is not None:
        said["cost"] = work.cost
    if is_over:
        said |= {"answer": work.answer if job["status"] == "done" else None, "reason": work.reason}
    response = AsciiJSONResponse(said, status)
    if not is_over and work.retry_after is not None:
        response.headers["Retry-After"] = work.retry_after
    return response


def _refusal(status: int, retry_after: int | None) -> Response:
    response = AsciiJSONResponse({"error": f"Emulated {status}"}, status)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


if __name__ == "__main__":
    sys.exit(run_app(create_hosted_agent_emulator(), name="contexten.emulators.hosted_agent"))
