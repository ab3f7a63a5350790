"""The GitHub emulator's own routes: what was made and delivered, and deliveries to make."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from contexten.emulators.github_hook_routes import HooksOf
from contexten.emulators.github_requests import RecorderOf
from contexten.emulators.interception import CONTROL_PREFIX

router = APIRouter(prefix=CONTROL_PREFIX)


class Event(BaseModel):
    """An event that is to go through every hook that wants it."""

    model_config = ConfigDict(extra="forbid")

    event: str = Field(min_length=1, max_length=100)
    payload: dict[str, Any]


@router.get("/statuses")
async def list_statuses(recorder: RecorderOf) -> dict[str, Any]:
    """List the commit statuses created, oldest first."""
    return {"statuses": [asdict(status) for status in recorder.statuses]}


@router.get("/made")
async def list_made(recorder: RecorderOf) -> dict[str, Any]:
    """List the check runs, comments, pull requests and so on, oldest first."""
    return {
        "check_runs": list(recorder.check_runs),
        "comments": list(recorder.comments),
        "reactions": list(recorder.reactions),
        "reviews": list(recorder.reviews),
        "line_comments": list(recorder.line_comments),
        "labels": list(recorder.labels),
        "pulls": list(recorder.pulls),
        "refs": list(recorder.refs),
    }


@router.post("/deliveries", status_code=202)
async def deliver(event: Event, hooks: HooksOf) -> dict[str, Any]:
    """Send an event through every hook that wants it."""
    sent = hooks.deliver(event.event, event.payload)
    return {"guid": sent[0].delivery.delivery_id if sent else None, "hooks": len(sent)}
