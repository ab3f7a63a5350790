"""Where senders deliver."""

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, SecretStr

from contexten.server.dependencies import DatabaseOf, SettingsOf
from contexten.server.problems import Problem
from contexten_core.errors import MalformedPayloadError, PayloadTooLargeError
from contexten_core.events.handlers import HandlerRegistry
from contexten_core.events.receive import (
    Challenge,
    Receipt,
    ReceiptStatus,
    receive_github,
    receive_linear,
    receive_slack,
)
from contexten_core.security.encryption import Vault, open_vault
from contexten_core.settings import Settings

LARGEST_SMALL_BODY = 1024 * 1024
"""Bytes that Linear and Slack may send; neither comes near it."""

_BODY_SECONDS = 30.0


class Accepted(BaseModel):
    """The delivery is stored, and will be handled."""

    status: ReceiptStatus
    event_id: str


class NotRepeated(Accepted):
    """The delivery was stored before, or is not for us; nothing more happens, for this reason."""

    reason: str | None


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": NotRepeated, "description": "Stored before."},
    202: {"model": Accepted, "description": "Stored."},
    "4XX": {"model": Problem, "description": "Not a delivery that its sender signed, or not configured."},
    "5XX": {"model": Problem, "description": "Not stored; deliver it again."},
}

router = APIRouter(tags=["webhooks"])


@router.post("/github/events", operation_id="receive_github_event", status_code=202, responses=_RESPONSES)
@router.post("/webhooks/github", include_in_schema=False)
@router.post("/{organisation}/{repository}/github/events", include_in_schema=False)
async def receive_github_event(request: Request, settings: SettingsOf, database: DatabaseOf) -> Response:
    """Store a signed GitHub delivery, and answer once it is durable."""
    receipt = await receive_github(
        database,
        headers=dict(request.headers),
        body=await read_body(request, limit=settings.max_payload_bytes),
        secrets=_plain(settings.github_webhook_secrets),
        handlers=_handlers(request),
        vault=_vault(settings),
    )
    return _answer(receipt)


@router.post("/linear/events", operation_id="receive_linear_event", status_code=202, responses=_RESPONSES)
@router.post("/webhooks/linear", include_in_schema=False)
@router.post("/{organisation}/{repository}/linear/events", include_in_schema=False)
async def receive_linear_event(request: Request, settings: SettingsOf, database: DatabaseOf) -> Response:
    """Store a signed Linear delivery, and answer once it is durable."""
    receipt = await receive_linear(
        database,
        headers=dict(request.headers),
        body=await read_body(request, limit=LARGEST_SMALL_BODY),
        secrets=_plain(settings.linear_webhook_secrets),
        handlers=_handlers(request),
        vault=_vault(settings),
    )
    return _answer(receipt)


@router.post("/slack/events", operation_id="receive_slack_event", status_code=202, responses=_RESPONSES)
@router.post("/webhooks/slack", include_in_schema=False)
@router.post("/{organisation}/{repository}/slack/events", include_in_schema=False)
async def receive_slack_event(request: Request, settings: SettingsOf, database: DatabaseOf) -> Response:
    """Store a signed Slack delivery, and answer once it is durable; a `url_verification` gets its challenge back."""
    receipt = await receive_slack(
        database,
        headers=dict(request.headers),
        body=await read_body(request, limit=LARGEST_SMALL_BODY),
        secrets=_plain(settings.slack_signing_secrets),
        handlers=_handlers(request),
        vault=_vault(settings),
    )
    if isinstance(receipt, Challenge):
        return PlainTextResponse(receipt.text, headers={"X-Content-Type-Options": "nosniff"})
    return _answer(receipt)


async def read_body(request: Request, *, limit: int) -> bytes:
    """Read a request's body, counting as it arrives.

    Raises:
        PayloadTooLargeError: as soon as it is announced or found to be over the limit.
        MalformedPayloadError: it does not arrive in time.
    """
    error = PayloadTooLargeError(f"the body is larger than {limit} bytes", hint="no sender's own limit is larger")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise error
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise error
    except TimeoutError:
        raise MalformedPayloadError(
            f"the body did not arrive within {_BODY_SECONDS:g} s", hint="deliver it again", transient=True
        ) from None
    return bytes(body)


def _plain(secrets: Sequence[SecretStr]) -> list[bytes]:
    return [secret.get_secret_value().encode() for secret in secrets]


def _vault(settings: Settings) -> Vault | None:
    return open_vault(settings) if settings.encrypt_payloads else None


def _handlers(request: Request) -> HandlerRegistry | None:
    orchestrator = getattr(request.app.state, "orchestrator", None)
    registry: HandlerRegistry | None = getattr(orchestrator, "functions", None)
    return registry


def _answer(receipt: Receipt) -> Response:
    answer = {"status": receipt.status.value, "event_id": str(receipt.event_id)}
    if receipt.status is ReceiptStatus.ACCEPTED:
        return JSONResponse(answer, status_code=202)
    return JSONResponse({**answer, "reason": receipt.reason}, status_code=200)
