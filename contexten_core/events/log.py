"""Store an event that did not come over a webhook."""

from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import BaseModel, utc_now
from contexten_core.errors import InvalidInputError
from contexten_core.events.inputs import EventLog
from contexten_core.events.models import EventModel
from contexten_core.events.normalise_any import normalise
from contexten_core.projects.models import ProjectModel
from contexten_core.security.text import one_line
from contexten_core.tasks.models import TaskModel

_TITLE_LENGTH = 300


async def log_event(session: AsyncSession, data: EventLog) -> EventModel:
    """Store an event, with a title from its type and payload when it has none.

    A pending event is handled like a delivery; one that is logged with another status is a record only.

    Raises:
        InvalidInputError: the project or task does not exist.
    """
    await _must_exist(session, ProjectModel, "project_id", data.project_id)
    await _must_exist(session, TaskModel, "task_id", data.task_id)
    said = normalise(data.provider, data.event_type, data.payload)
    title = data.title or one_line(f"{said.name}: {said.title}" if said.title else said.name, _TITLE_LENGTH)
    columns = data.columns() | {"name": data.name or data.event_type, "title": title}
    defaults = {"payload": {}, "provider": data.provider, "available_at": utc_now(), "digest": uuid4().hex}
    event = EventModel(id=uuid4(), **(defaults | columns))
    session.add(event)
    await session.flush()
    return event


async def _must_exist(session: AsyncSession, model: type[BaseModel], field: str, row_id: UUID | None) -> None:
    if row_id is not None and await session.get(model, row_id) is None:
        raise InvalidInputError(f"{field}: there is no {row_id}", fields={field: f"there is no {row_id}"})
