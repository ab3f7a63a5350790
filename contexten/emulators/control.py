"""The emulator's own routes, under `/_emulator`: what arrived, and what is to go wrong next."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request

from contexten.emulators.deliveries import Delivery
from contexten.emulators.interception import CONTROL_PREFIX
from contexten.emulators.outlet import Outlet
from contexten.emulators.recorder import Fault, Recorder
from contexten_core.errors import ConfigurationError

router = APIRouter(prefix=CONTROL_PREFIX)


def recorder_of(request: Request) -> Recorder:
    """Give the recorder of the application that serves this request."""
    recorder = request.app.state.recorder
    assert isinstance(recorder, Recorder)
    return recorder


RecorderOf = Annotated[Recorder, Depends(recorder_of)]


@router.get("/requests")
async def list_requests(recorder: RecorderOf) -> dict[str, Any]:
    """List everything received, oldest first."""
    return {"requests": [asdict(request) for request in recorder.requests], "forgotten": recorder.forgotten_requests}


@router.delete("/requests", status_code=204)
async def reset(recorder: RecorderOf) -> None:
    """Forget requests, waiting faults, and what was made."""
    recorder.reset()


@router.post("/faults", status_code=201)
async def queue_fault(fault: Fault, recorder: RecorderOf) -> dict[str, int]:
    """Let the next matching requests go wrong."""
    try:
        recorder.queue_fault(fault)
    except ConfigurationError as error:
        raise HTTPException(422, f"{error.message} {error.hint}") from error
    return {"queued": fault.times}


def sent_through(outlet: Outlet | None, delivery: Delivery) -> dict[str, str]:
    """Send a delivery, and give its id.

    Raises:
        HTTPException: 409: the emulator was not told where to send to.
    """
    if outlet is None:
        raise HTTPException(409, "The emulator was started without an address to send to (--to).")
    return {"delivery_id": outlet.send(delivery).delivery.delivery_id}
