"""A stand-in for Slack's Web API: the methods that an integration like ours calls, with Slack's errors."""

import hmac
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from contexten.emulators import control
from contexten.emulators.answers import AsciiJSONResponse, read_json
from contexten.emulators.interception import CONTROL_PREFIX, Interception
from contexten.emulators.outlet import Outlet
from contexten.emulators.serving import run_app, serve_app
from contexten.emulators.shapes import Json
from contexten.emulators.slack_deliveries import SlackDelivery
from contexten.emulators.slack_methods import METHODS, SlackRefusalError
from contexten.emulators.slack_recorder import SlackRecorder

LIMITED = 429
MAX_FIELDS = 1000
DEFAULT_RETRY_AFTER = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSlack:
    """A Slack emulator that is being served: its methods are below `url`/api/."""

    url: str
    recorder: SlackRecorder


class NewDelivery(BaseModel):
    """A payload to be sent the way that Slack sends its kind: an event, an interaction or a slash command."""

    model_config = ConfigDict(extra="forbid")

    payload: dict[str, Any] = Field(min_length=1)


class Press(BaseModel):
    """That somebody presses a button of a message that was posted."""

    model_config = ConfigDict(extra="forbid")

    channel: str
    ts: str
    action_id: str
    user: str = Field(default="U123456", pattern=r"^[UW][A-Z0-9]{1,20}$")


def create_slack_emulator(
    *, required_token: str | None = None, capacity: int = 10_000, outlet: Outlet | None = None
) -> FastAPI:
    """Make the application; its memory is `app.state.recorder`.

    Args:
        required_token: the only token that is accepted; None accepts any.
        capacity: how many requests, and how many of each thing made, are kept.
        outlet: where deliveries go; without one, none can be sent.
    """
    app = FastAPI(title="Slack emulator of Contexten", openapi_url=None)
    app.state.recorder = recorder = SlackRecorder(capacity=capacity)
    app.add_middleware(Interception, recorder=recorder, headers=lambda: {"Server": "Apache"}, refusal=_refusal)
    app.include_router(control.router)

    async def call(method: str, request: Request) -> Response:
        try:
            given = _read(request.headers.get("content-type", ""), await request.body())
            given = {**dict(request.query_params), **given}
            _authorise(request, given, required_token)
            if method not in METHODS:
                raise SlackRefusalError("unknown_method")
            return AsciiJSONResponse({"ok": True, **METHODS[method](recorder, given)})
        except SlackRefusalError as refusal:
            return AsciiJSONResponse({"ok": False, "error": refusal.error})

    async def made() -> Json:
        return {"messages": list(recorder.messages), "reactions": list(recorder.reactions)}

    async def deliver(delivery: NewDelivery) -> Json:
        return control.sent_through(outlet, SlackDelivery.of_payload(delivery.payload))

    async def press(pressed: Press) -> Json:
        message = recorder.message(pressed.channel, pressed.ts)
        try:
            delivery = SlackDelivery.of_press(message or {}, pressed.action_id, user=pressed.user)
        except KeyError as error:
            raise HTTPException(404, "There is no such message, or it has no such button.") from error
        return control.sent_through(outlet, delivery)

    app.add_api_route("/api/{method}", call, methods=["GET", "POST"], response_model=None)
    app.add_api_route(f"{CONTROL_PREFIX}/made", made, methods=["GET"])
    app.add_api_route(f"{CONTROL_PREFIX}/deliveries", deliver, methods=["POST"], status_code=202)
    app.add_api_route(f"{CONTROL_PREFIX}/press", press, methods=["POST"], status_code=202)
    return app


@asynccontextmanager
async def run_slack_emulator(
    host: str = "127.0.0.1", port: int = 0, *, required_token: str | None = None
) -> AsyncIterator[RunningSlack]:
    """Serve an emulator in the running loop, on any free port unless one is given; stops within 2 s.

    Raises:
        StackError: the address cannot be listened on.
    """
    app = create_slack_emulator(required_token=required_token)
    async with serve_app(app, host=host, port=port) as url:
        yield RunningSlack(url=url, recorder=app.state.recorder)


def _read(content_type: str, body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    if content_type.startswith("application/json"):
        try:
            given = read_json(body)
        except ValueError as error:
            raise SlackRefusalError("invalid_json") from error
        if not isinstance(given, dict):
            raise SlackRefusalError("json_not_object")
        return given
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise SlackRefusalError("invalid_form_data") from error


def _authorise(request: Request, given: dict[str, Any], required: str | None) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = str(given.get("token", ""))
    if not token:
        raise SlackRefusalError("not_authed")
    if required is not None and not hmac.compare_digest(token.encode("utf-8", "replace"), required.encode()):
        raise SlackRefusalError("invalid_auth")


def _refusal(status: int, retry_after: int | None) -> Response:
    if status == LIMITED:
        after = DEFAULT_RETRY_AFTER if retry_after is None else retry_after
        return AsciiJSONResponse({"ok": False, "error": "ratelimited"}, LIMITED, headers={"Retry-After": str(after)})
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return AsciiJSONResponse({"ok": False, "error": "internal_error"}, status, headers=headers)


def main() -> int:
    """Serve an emulator as a program: `python -m contexten.emulators.slack --port N`."""
    return run_app(create_slack_emulator(), name="contexten.emulators.slack")


if __name__ == "__main__":
    sys.exit(main())
