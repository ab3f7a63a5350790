"""The emulator's own routes, under `/_emulator`: what arrived, and what is to go wrong next."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request

from contexten.emulators.interception import CONTROL_PREFIX
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
    """Forget requests, statuses and waiting faults."""
    recorder.reset()


@router.get("/statuses")
async def list_statuses(recorder: RecorderOf) -> dict[str, Any]:
    """List the commit statuses created, oldest first."""
    return {"statuses": [asdict(status) for status in recorder.statuses]}


@router.post("/faults", status_code=201)
async def queue_fault(fault: Fault, recorder: RecorderOf) -> dict[str, int]:
    """Let the next matching requests go wrong."""
    try:
        recorder.queue_fault(fault)
    except ConfigurationError as error:
        raise HTTPException(422, f"{error.message} {error.hint}") from error
    return {"queued": fault.times}
