"""Where senders deliver."""

import asyncio
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel

from contexten.server.gate import Gate
from contexten.server.problems import Problem
from contexten_core.db import utc_now
from contexten_core.errors import ContextenError, MalformedPayloadError, PayloadTooLargeError
from contexten_core.events.delivery import Challenge, Receipt, ReceiptStatus
from contexten_core.events.intake import Intake
from contexten_core.events.models import EventProvider
from contexten_core.events.receive import read_delivery, require_configured
from contexten_core.settings import Settings

LARGEST_SMALL_BODY = 1024 * 1024
"""Bytes that any sender but GitHub may send; none comes near it."""

_HASHED_AT_ONCE = 256 * 1024
_LONGEST_LENGTH = 18


class Accepted(BaseModel):
    """The delivery is stored, and will be handled; with a reason, it waits for a person first."""

    status: ReceiptStatus
    event_id: str
    reason: str | None = None


class NotRepeated(Accepted):
    """The delivery was stored before, or is not for us; nothing more happens, for this reason."""


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": NotRepeated, "description": "Stored before."},
    202: {"model": Accepted, "description": "Stored."},
    "4XX": {"model": Problem, "description": "Not a delivery that its sender signed, not configured, or too many."},
    "5XX": {"model": Problem, "description": "Not stored; deliver it again."},
}

router = APIRouter(tags=["webhooks"])


@router.post("/github/events", operation_id="receive_github_event", status_code=202, responses=_RESPONSES)
@router.post("/webhooks/github", include_in_schema=False)
@router.post("/{organisation}/{repository}/github/events", include_in_schema=False)
async def receive_github_event(request: Request) -> Response:
    """Store a signed GitHub delivery, and answer once it is durable."""
    return await receive(request, EventProvider.GITHUB, app=request.app)


@router.post("/linear/events", operation_id="receive_linear_event", status_code=202, responses=_RESPONSES)
@router.post("/webhooks/linear", include_in_schema=False)
@router.post("/{organisation}/{repository}/linear/events", include_in_schema=False)
async def receive_linear_event(request: Request) -> Response:
    """Store a signed Linear delivery, and answer once it is durable."""
    return await receive(request, EventProvider.LINEAR, app=request.app)


@router.post("/slack/events", operation_id="receive_slack_event", status_code=202, responses=_RESPONSES)
@router.post("/webhooks/slack", include_in_schema=False)
@router.post("/{organisation}/{repository}/slack/events", include_in_schema=False)
async def receive_slack_event(request: Request) -> Response:
    """Store a signed Slack delivery, and answer once it is durable; a `url_verification` gets its challenge back."""
    return await receive(request, EventProvider.SLACK, app=request.app)


@router.post("/deployments/events", operation_id="receive_deployment_event", status_code=202, responses=_RESPONSES)
@router.post("/webhooks/deployments", include_in_schema=False)
@router.post("/webhooks/deployment", include_in_schema=False)
@router.post("/{organisation}/{repository}/deployments/events", include_in_schema=False)
@router.post("/{organisation}/{repository}/deployment/events", include_in_schema=False)
async def receive_deployment_event(request: Request) -> Response:
    """Store an event of one of the configured sources, and answer once it is durable."""
    return await receive(request, EventProvider.DEPLOYMENT, app=request.app)


async def receive(request: Request, provider: EventProvider, *, app: FastAPI) -> Response:
    """Let a delivery in, read and verify it, make it durable, and return the answer to it.

    Args:
        app: whose settings, gate and intake count; it need not be the one that the request came to.

    Raises:
        ContextenError: it was refused, which the intake has counted, or could not be kept.
    """
    settings: Settings = app.state.settings
    gate: Gate = app.state.gate
    intake: Intake = app.state.orchestrator.intake
    try:
        await gate.admit(request, provider)
        require_configured(provider, settings)
        return await _keep(request, provider, settings=settings, intake=intake)
    except ContextenError as error:
        intake.refuse(
            provider=provider.value,
            code=error.code,
            reason=error.message,
            address=gate.name_of(request),
            headers=request.headers,
        )
        raise


async def _keep(request: Request, provider: EventProvider, *, settings: Settings, intake: Intake) -> Response:
    limit = settings.max_payload_bytes if provider is EventProvider.GITHUB else LARGEST_SMALL_BODY
    body = await read_body(request, limit=limit, seconds=settings.webhook_body_seconds)
    read = partial(read_delivery, provider, headers=request.headers, body=body, settings=settings, now=utc_now())
    # Each secret is tried, so that a body may have to be hashed very often before it is read.
    is_quick = len(body) * (1 + len(settings.github_scoped_secrets)) <= _HASHED_AT_ONCE
    delivery = read() if is_quick else await asyncio.to_thread(read)
    if isinstance(delivery, Challenge):
        return PlainTextResponse(delivery.text, headers={"X-Content-Type-Options": "nosniff"})
    return _answer(await intake.keep(delivery))


async def read_body(request: Request, *, limit: int, seconds: float) -> bytes:
    """Read a request's body, counting as it arrives.

    Raises:
        PayloadTooLargeError: as soon as it is announced or found to be over the limit.
        MalformedPayloadError: it does not arrive in time.
    """
    error = PayloadTooLargeError(f"the body is larger than {limit} bytes", hint="no sender's own limit is larger")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > _LONGEST_LENGTH or int(announced) > limit):
        raise error
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise error
    except TimeoutError:
        raise MalformedPayloadError(
            f"the body did not arrive within {seconds:g} s", hint="deliver it again", transient=True
        ) from None
    return bytes(body)


def _answer(receipt: Receipt) -> Response:
    answer: dict[str, str | None] = {"status": receipt.status.value, "event_id": str(receipt.event_id)}
    is_accepted = receipt.status is ReceiptStatus.ACCEPTED
    if receipt.reason is not None or not is_accepted:
        answer["reason"] = receipt.reason
    return JSONResponse(answer, status_code=202 if is_accepted else 200)
