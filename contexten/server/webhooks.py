"""Where senders deliver."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from contexten.server.dependencies import DatabaseOf, SettingsOf
from contexten_core.errors import PayloadTooLargeError
from contexten_core.events.receive import ReceiptStatus, receive_github

router = APIRouter(tags=["webhooks"])


@router.post("/github/events")
@router.post("/webhooks/github", include_in_schema=False)
@router.post("/{organisation}/{repository}/github/events", include_in_schema=False)
async def github_events(request: Request, settings: SettingsOf, database: DatabaseOf) -> Response:
    """Store a signed GitHub delivery, and answer once it is durable."""
    receipt = await receive_github(
        database,
        headers=dict(request.headers),
        body=await read_body(request, limit=settings.max_payload_bytes),
        secrets=[secret.get_secret_value().encode() for secret in settings.github_webhook_secrets],
    )
    answer = {"status": receipt.status.value, "event_id": str(receipt.event_id)}
    if receipt.status is ReceiptStatus.ACCEPTED:
        return JSONResponse(answer, status_code=202)
    return JSONResponse({**answer, "reason": receipt.reason}, status_code=200)


async def read_body(request: Request, *, limit: int) -> bytes:
    """Read a request's body, counting as it arrives.

    Raises:
        PayloadTooLargeError: as soon as it is announced or found to be over the limit.
    """
    error = PayloadTooLargeError(f"the body is larger than {limit} bytes", hint="no sender's own limit is larger")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise error
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise error
    return bytes(body)
