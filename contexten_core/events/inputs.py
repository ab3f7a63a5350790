"""What an event may be logged with."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator

from contexten_core.events.models import EventPriority, EventProvider, EventStatus
from contexten_core.inputs import Count, JSONObject, Line, Moment, Name, RowInput


class EventLog(RowInput):
    """An event that somebody reports in words of their own. Without a title one is derived from type and payload."""

    event_type: Annotated[Name, Field(max_length=200)]
    provider: EventProvider = EventProvider.USER
    name: Name | None = None
    title: Name | None = None
    status: EventStatus = EventStatus.PENDING
    priority: EventPriority = EventPriority.MEDIUM
    payload: JSONObject = Field(default_factory=dict)
    headers: JSONObject | None = None
    external_id: Line | None = None
    processed_at: Moment | None = None
    max_retries: Annotated[Count, Field(le=20)] = 3
    source_url: Line | None = None
    source_user: Line | None = None
    source_repository: Line | None = None
    project_id: UUID | None = None
    task_id: UUID | None = None

    @model_validator(mode="after")
    def _not_ours(self) -> Self:
        if self.status in (EventStatus.PROCESSING, EventStatus.RETRYING):
            raise ValueError(f"an event is not logged as {self.status.value}: that is for whoever handles it")
        return self
