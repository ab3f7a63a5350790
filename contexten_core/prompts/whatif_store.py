"""SQL of replays: the runs that reached selection, with what their steps found out, and how many events there were."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from contexten_core.events.models import EventHandlerModel, EventModel, HandlerStatus, RunModel
from contexten_core.events.steps import Step
from contexten_core.prompts.models import PromptModel


@dataclass(frozen=True, slots=True)
class SelectedRun:
    """A run that reached selection: what its first two steps found out, and the explanation that the third stored."""

    run_id: UUID
    event_id: UUID
    created_at: datetime
    title: str
    event: dict[str, Any]
    target: dict[str, Any]
    explanation: dict[str, Any] | None


async def newest_selected(session: AsyncSession, *, before: SelectedRun | None, limit: int) -> Sequence[SelectedRun]:
    """Return runs whose selection has ended, newest first, from behind one of them on."""
    ingested, resolved, selected = (aliased(EventHandlerModel) for _ in range(3))
    statement = (
        select(
            RunModel.id,
            RunModel.event_id,
            RunModel.created_at,
            EventModel.title,
            ingested.output_data.label("event"),
            resolved.output_data.label("target"),
            RunModel.explanation,
        )
        .join(EventModel, EventModel.id == RunModel.event_id)
        .order_by(RunModel.created_at.desc(), RunModel.id.desc())
        .limit(limit)
    )
    steps = {ingested: Step.INGEST_EVENT, resolved: Step.RESOLVE_PROJECT, selected: Step.SELECT_PROMPT}
    for record, step in steps.items():
        statement = statement.join(
            record,
            and_(
                record.run_id == RunModel.id,
                record.handler_name == step.value,
                record.status == HandlerStatus.COMPLETED,
            ),
        )
    if before is not None:
        is_same_time = and_(RunModel.created_at == before.created_at, RunModel.id < before.run_id)
        statement = statement.where(or_(RunModel.created_at < before.created_at, is_same_time))
    return [SelectedRun(*row) for row in await session.execute(statement)]


async def newest_kinds(session: AsyncSession, *, limit: int) -> Sequence[dict[str, Any]]:
    """Return what the newest events said, by the records of their first step."""
    statement = (
        select(EventHandlerModel.output_data)
        .where(
            EventHandlerModel.handler_name == Step.INGEST_EVENT.value,
            EventHandlerModel.handler_type == "step",
            EventHandlerModel.status == HandlerStatus.COMPLETED,
        )
        .order_by(EventHandlerModel.started_at.desc(), EventHandlerModel.id.desc())
        .limit(limit)
    )
    return [said for said in (await session.execute(statement)).scalars() if isinstance(said, dict)]


async def prompt_ids(session: AsyncSession, *, limit: int) -> Sequence[UUID]:
    """Return the ids of prompts of whatever status, by slug."""
    statement = select(PromptModel.id).order_by(PromptModel.slug).limit(limit)
    return (await session.execute(statement)).scalars().all()
