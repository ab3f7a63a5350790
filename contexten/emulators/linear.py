"""A stand-in for Linear's GraphQL API: the part that an integration like ours calls, with Linear's errors."""

import hmac
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from contexten.emulators import control
from contexten.emulators.answers import AsciiJSONResponse, read_json
from contexten.emulators.clock import Clock
from contexten.emulators.graphql import GraphQLError, Operation, parse, select, validate
from contexten.emulators.interception import CONTROL_PREFIX, Interception
from contexten.emulators.linear_deliveries import LinearDelivery
from contexten.emulators.linear_fields import FIELDS, SCHEMA, LinearRefusalError
from contexten.emulators.linear_recorder import LinearRecorder
from contexten.emulators.outlet import Outlet
from contexten.emulators.serving import run_app, serve_app
from contexten.emulators.shapes import Json

HOURLY_REQUESTS = 2500
HOURLY_COMPLEXITY = 250_000
HOUR = 3600
LIMITED = 429
KEY_PREFIX = "lin_api_"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningLinear:
    """A Linear emulator that is being served: its API is at `url`/graphql."""

    url: str
    recorder: LinearRecorder


class NewIssue(BaseModel):
    """An issue to be there: `ENG-<number>`."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(ge=1, le=1_000_000)
    title: str = Field(min_length=1, max_length=1000)


class NewDelivery(BaseModel):
    """A webhook to be sent."""

    model_config = ConfigDict(extra="forbid")

    payload: dict[str, Any]


def create_linear_emulator(
    *,
    required_key: str | None = None,
    capacity: int = 10_000,
    hourly_requests: int | None = None,
    clock: Clock | None = None,
    outlet: Outlet | None = None,
) -> FastAPI:
    """Make the application; its memory is `app.state.recorder`.

    Args:
        required_key: the only API key (given bare) or OAuth token (as Bearer) that is accepted; None accepts any.
        capacity: how many requests, and how many of each thing made, are kept.
        hourly_requests: refuses what is above it; 2,500 are counted, and more are not refused, when left out.
        clock: by which the hour passes.
        outlet: where webhooks go; without one, none can be sent.
    """
    app = FastAPI(title="Linear emulator of Contexten", openapi_url=None)
    app.state.recorder = recorder = LinearRecorder(capacity=capacity)
    budget = _Budget(clock or Clock(), limit=hourly_requests)
    app.add_middleware(Interception, recorder=recorder, headers=budget.headers, refusal=_refusal, admit=budget.refuse)
    app.include_router(control.router)

    async def answer(request: Request) -> Response:
        return _authorise(request, required_key) or _answer(await request.body(), recorder)

    async def add_issue(issue: NewIssue) -> Json:
        return {"identifier": recorder.add_issue(issue.number, issue.title)["identifier"]}

    async def made() -> Json:
        return {kind: list(getattr(recorder, kind)) for kind in ("issues", "comments", "reactions")}

    async def deliver(delivery: NewDelivery) -> Json:
        return control.sent_through(outlet, LinearDelivery(payload=delivery.payload))

    app.add_api_route("/graphql", answer, methods=["POST"], response_model=None)
    app.add_api_route(f"{CONTROL_PREFIX}/issues", add_issue, methods=["POST"], status_code=201)
    app.add_api_route(f"{CONTROL_PREFIX}/made", made, methods=["GET"])
    app.add_api_route(f"{CONTROL_PREFIX}/deliveries", deliver, methods=["POST"], status_code=202)
    return app


@asynccontextmanager
async def run_linear_emulator(
    host: str = "127.0.0.1", port: int = 0, *, required_key: str | None = None, hourly_requests: int | None = None
) -> AsyncIterator[RunningLinear]:
    """Serve an emulator in the running loop, on any free port unless one is given; stops within 2 s.

    Raises:
        StackError: the address cannot be listened on.
    """
    app = create_linear_emulator(required_key=required_key, hourly_requests=hourly_requests)
    async with serve_app(app, host=host, port=port) as url:
        yield RunningLinear(url=url, recorder=app.state.recorder)


def _answer(body: bytes, recorder: LinearRecorder) -> Response:
    try:
        given = _read(body)
        operation = parse(given["query"], variables=given["variables"], operation_name=given["operationName"])
        return _carry_out(operation, recorder)
    except GraphQLError as error:
        return _error(400, error.message, kind="graphql error", code=error.code)


def _carry_out(operation: Operation, recorder: LinearRecorder) -> Response:
    kind = operation.kind.capitalize()
    validate(operation.fields, SCHEMA, kind=kind)
    data: dict[str, Any] = {}
    for selected in operation.fields:
        if selected.name == "__typename":
            data[selected.alias] = kind
            continue
        try:
            value = FIELDS[operation.kind][selected.name](recorder, selected.arguments)
        except LinearRefusalError as refusal:
            path = [selected.alias]
            return _error(200, refusal.message, kind="invalid input", code="INPUT_ERROR", path=path)
        data[selected.alias] = select(value, selected)
    return AsciiJSONResponse({"data": data})


def _read(body: bytes) -> dict[str, Any]:
    try:
        given = read_json(body)
    except ValueError as error:
        raise GraphQLError("The body is not JSON.", code="BAD_REQUEST") from error
    query = given.get("query") if isinstance(given, dict) else None
    if not isinstance(query, str) or not query.strip():
        raise GraphQLError("GraphQL operations must contain a non-empty `query`.", code="BAD_REQUEST")
    variables, name = given.get("variables"), given.get("operationName")
    if not isinstance(variables, Mapping | None) or not isinstance(name, str | None):
        raise GraphQLError("`variables` must be an object and `operationName` a string.", code="BAD_REQUEST")
    return {"query": query, "variables": variables or {}, "operationName": name}


def _authorise(request: Request, required: str | None) -> Response | None:
    given = request.headers.get("authorization", "")
    scheme, _, token = given.rpartition(" ")
    if token.startswith(KEY_PREFIX) and scheme.lower() == "bearer":
        message = "It looks like you're trying to use an API key as a Bearer token. Remove the Bearer prefix."
        return _error(400, message, kind="authentication error", code="AUTHENTICATION_ERROR")
    if not token or (required is not None and not hmac.compare_digest(token.encode(), required.encode())):
        message = "Authentication required, not authenticated"
        return _error(401, message, kind="authentication error", code="AUTHENTICATION_ERROR")
    return None


def _error(status: int, message: str, *, kind: str, code: str, path: list[str] | None = None) -> Response:
    extensions = {"type": kind, "code": code, "userError": kind == "invalid input", "userPresentableMessage": message}
    error: dict[str, Any] = {"message": message, "extensions": extensions}
    return AsciiJSONResponse({"errors": [error | ({"path": path} if path else {})], "data": None}, status)


def _refusal(status: int, retry_after: int | None) -> Response:
    if status == LIMITED:
        # Linear says so with 400.
        response = _error(400, "Rate limit exceeded", kind="ratelimited", code="RATELIMITED")
    else:
        response = _error(status, "Internal server error", kind="internal error", code="INTERNAL_SERVER_ERROR")
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


class _Budget:
    """The hourly budget of requests and complexity; each request counts as ten points of the latter."""

    def __init__(self, clock: Clock, *, limit: int | None) -> None:
        self._clock = clock
        self._limit = limit or HOURLY_REQUESTS
        self._enforced = limit is not None
        self._used = 0
        self._resets_at = 0.0

    def refuse(self, _path: str) -> Response | None:
        now = self._clock.now().timestamp()
        if now >= self._resets_at:
            self._resets_at, self._used = now + HOUR, 0
        if self._used >= self._limit and self._enforced:
            return _refusal(LIMITED, None)
        self._used = min(self._used + 1, self._limit)
        return None

    def headers(self) -> Mapping[str, str]:
        reset = str(int(self._resets_at * 1000))
        return {
            "X-RateLimit-Requests-Limit": str(self._limit),
            "X-RateLimit-Requests-Remaining": str(self._limit - self._used),
            "X-RateLimit-Requests-Reset": reset,
            "X-Complexity": "10",
            "X-RateLimit-Complexity-Limit": str(HOURLY_COMPLEXITY),
            "X-RateLimit-Complexity-Remaining": str(HOURLY_COMPLEXITY - 10 * self._used),
            "X-RateLimit-Complexity-Reset": reset,
        }


def main() -> int:
    """Serve an emulator as a program: `python -m contexten.emulators.linear --port N`."""
    return run_app(create_linear_emulator(), name="contexten.emulators.linear")


if __name__ == "__main__":
    sys.exit(main())
