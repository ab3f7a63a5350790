"""Events of our own (`task_completed`, ...): written in the transaction of the change that they tell of."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.events.models import EventModel, EventProvider, EventStatus

TASK_CREATED = "task_created"
TASK_UPDATED = "task_updated"
TASK_COMPLETED = "task_completed"
TASK_FAILED = "task_failed"
PROJECT_CREATED = "project_created"
PERFORMANCE_ALERT = "performance_alert"


async def emit(
    session: AsyncSession,
    event_type: str,
    data: Mapping[str, Any],
    *,
    held_by: str | None = None,
    project_id: UUID | None = None,
    task_id: UUID | None = None,
) -> EventModel:
    """Add one event of provider `system` to the caller's transaction.

    An application that serves picks it up and runs the functions registered for it. With `held_by` none does: the
    process of that name queues its own functions for it in the same transaction.
    """
    event = EventModel(
        id=uuid4(),
        name=event_type,
        title=_title(event_type, data),
        event_type=event_type,
        provider=EventProvider.SYSTEM,
        status=EventStatus.PROCESSING if held_by else EventStatus.PENDING,
        payload=dict(data),
        digest=uuid4().hex,
        available_at=utc_now(),
        lease_owner=held_by,
        project_id=project_id,
        task_id=task_id,
    )
    session.add(event)
    await session.flush()
    return event


def _title(event_type: str, data: Mapping[str, Any]) -> str:
    about = next(
        (data[key] for key in ("title", "name", "task_id", "project_id") if isinstance(data.get(key), str)), ""
    )
    return f"{event_type.replace('_', ' ')} {about}".strip()[:500]
