"""SQL of what people ask for: the runs and events of a subject, and whether fixes are wanted there."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events.models import RunModel, RunStatus
from contexten_core.projects.models import ProjectConfigModel

APPROVERS = "approvers"
"""Settings of a project of this type, `slack` and `linear`, list the ids of who may ask for something there."""

AUTOFIX = "autofix"
OFF, ON = "off", "on"


async def runs_of(
    session: AsyncSession, *, project_id: UUID, subject: str, but: UUID, limit: int
) -> Sequence[RunModel]:
    """Return the newest runs of a subject for which a prompt was selected, newest first."""
    statement = select(RunModel).where(
        RunModel.project_id == project_id,
        RunModel.subject == subject,
        RunModel.id != but,
        RunModel.probability.is_not(None) | RunModel.status.in_((RunStatus.COMPLETED, RunStatus.FAILED)),
    )
    statement = statement.order_by(RunModel.created_at.desc(), RunModel.id).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def autofix(session: AsyncSession, subject: str) -> str | None:
    """Return what was last said about fixes for a subject: `off`, `on`, or None."""
    statement = (
        select(ProjectConfigModel.config_value)
        .where(
            ProjectConfigModel.config_type == AUTOFIX,
            ProjectConfigModel.config_key == subject,
            ProjectConfigModel.is_active,
        )
        .order_by(ProjectConfigModel.updated_at.desc())
        .limit(1)
    )
    found = (await session.execute(statement)).scalar_one_or_none()
    return found if isinstance(found, str) else None
