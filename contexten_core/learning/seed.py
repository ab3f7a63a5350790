"""The first row of learning: who takes part."""

from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.insert import insert_once
from contexten_core.learning.models import LearningModel, LearningStatus, LearningType


async def seed(session: AsyncSession, *, component: str, name: str) -> UUID | None:
    """Note that a component of this name takes part; returns the row's id, or None when that was noted before.

    Components that start at once with the same name make one row.
    """
    row_id = uuid5(NAMESPACE_URL, f"contexten:{component}:{name}")
    values = {
        "id": row_id,
        "name": name,
        "learning_type": LearningType.SYSTEM_IMPROVEMENT,
        "status": LearningStatus.PENDING,
        "data": {component: name},
        "source_component": component,
        "source_operation": "initialize",
    }
    return await insert_once(session, LearningModel, values, unique=("id",))
