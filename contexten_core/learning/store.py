"""All SQL about what was learned."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import String, Subquery, func, select, type_coerce, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.insert import insert_once
from contexten_core.db.paging import Page, page
from contexten_core.db.shared import once
from contexten_core.learning.fingerprint import Fingerprint
from contexten_core.learning.models import (
    LearningFeedbackModel,
    LearningModel,
    LearningPatternModel,
    LearningStatus,
    LearningType,
    PatternType,
)
from contexten_core.tasks.models import TaskModel

OUTCOME_TYPES = (LearningType.ERROR_ANALYSIS, LearningType.SUCCESS_ANALYSIS)


async def add(session: AsyncSession, **values: Any) -> LearningModel:
    row = LearningModel(id=uuid4(), **values)
    session.add(row)
    # What refers to it is written by statements of its own.
    await session.flush()
    return row


async def observe_pattern(
    session: AsyncSession, *, fingerprint: Fingerprint, kind: str, seen_in: str, learning_id: UUID, now: datetime
) -> LearningPatternModel:
    """Count one more occurrence of a failure, making its pattern when it is new; returns the pattern, locked."""
    await insert_once(
        session,
        LearningPatternModel,
        {
            "id": uuid4(),
            "name": fingerprint.title,
            "pattern_name": fingerprint.title,
            "pattern_type": PatternType.ERROR_PATTERN,
            "pattern_definition": {"kind": kind, "text": fingerprint.normalised},
            "fingerprint": fingerprint.digest,
            "first_observed_at": now,
            "last_observed_at": now,
            "contexts": [],
            "learning_id": learning_id,
        },
        unique=("fingerprint",),
    )
    statement = (
        select(LearningPatternModel)
        .where(LearningPatternModel.fingerprint == fingerprint.digest)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    pattern = (await session.execute(statement)).scalar_one()
    pattern.occurrence_count += 1
    pattern.last_observed_at = now
    if seen_in not in (pattern.contexts or []):
        pattern.contexts = [*(pattern.contexts or []), seen_in][-20:]
    return pattern


async def patterns(session: AsyncSession, *, limit: int) -> Sequence[LearningPatternModel]:
    statement = select(LearningPatternModel).order_by(LearningPatternModel.last_observed_at.desc()).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def newest_outcomes(session: AsyncSession, *, limit: int) -> Sequence[LearningModel]:
    statement = (
        select(LearningModel)
        .where(LearningModel.learning_type.in_(OUTCOME_TYPES))
        .order_by(LearningModel.created_at.desc(), LearningModel.id)
        .limit(limit)
    )
    return (await session.execute(statement)).scalars().all()


async def clusters(session: AsyncSession, *, limit: int) -> Sequence[LearningModel]:
    statement = (
        select(LearningModel)
        .where(LearningModel.learning_type == LearningType.PATTERN_RECOGNITION)
        .order_by(LearningModel.created_at.desc(), LearningModel.id)
        .limit(limit)
    )
    return (await session.execute(statement)).scalars().all()


async def learning_result(session: AsyncSession, flow_run_id: UUID) -> dict[str, Any] | None:
    """Return what the learning flow run of that id found."""
    statement = (
        select(LearningModel.data)
        .where(
            LearningModel.learning_type == LearningType.SYSTEM_IMPROVEMENT,
            LearningModel.source_operation == "learn",
            LearningModel.source_data["flow_run_id"].as_string() == str(flow_run_id),
        )
        .order_by(LearningModel.created_at.desc())
        .limit(1)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def count_outcomes(session: AsyncSession, *, task_type: str, newest: int) -> dict[LearningType, int]:
    """Return how many tasks of a type succeeded and failed, of the `newest` outcomes of tasks of all types.

    An outcome that does not say the type itself has that of its task.
    """

    async def ask() -> dict[LearningType, int]:
        recent = union_all(*(select(_newest_of(kind, limit=newest)) for kind in OUTCOME_TYPES)).subquery()
        counted = select(recent).order_by(recent.c.created_at.desc()).limit(newest).subquery()
        statement = (
            select(counted.c.learning_type, func.count())
            .outerjoin(TaskModel, TaskModel.id == counted.c.task_id)
            .where(func.coalesce(counted.c.task_type, type_coerce(TaskModel.task_type, String)) == task_type)
            .group_by(counted.c.learning_type)
        )
        return dict((await session.execute(statement)).tuples().all())

    return await once(session, LearningModel, task_type, newest, ask=ask)


def _newest_of(kind: LearningType, *, limit: int) -> Subquery:
    task_type = LearningModel.data["task_type"].as_string().label("task_type")
    statement = select(LearningModel.learning_type, LearningModel.task_id, LearningModel.created_at, task_type)
    statement = statement.where(LearningModel.learning_type == kind)
    return statement.order_by(LearningModel.created_at.desc()).limit(limit).subquery()


async def get_learning(session: AsyncSession, learning_id: UUID, *, lock: bool = False) -> LearningModel | None:
    """Return something that was learned. With `lock` nobody else changes it before this transaction ends."""
    return await session.get(LearningModel, learning_id, with_for_update={"key_share": True} if lock else None)


async def hold_learning(session: AsyncSession, learning_id: UUID) -> bool:
    """Tell whether there is such a row, and keep it from being removed before this transaction ends."""
    statement = select(LearningModel.id).where(LearningModel.id == learning_id)
    statement = statement.with_for_update(read=True, key_share=True)
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def page_learning(
    session: AsyncSession,
    *,
    limit: int,
    cursor: str | None = None,
    learning_type: LearningType | None = None,
    status: LearningStatus | None = None,
    project_id: UUID | None = None,
) -> Page[LearningModel]:
    wanted = {"learning_type": learning_type, "status": status, "project_id": project_id}
    filters = {column: value for column, value in wanted.items() if value is not None}
    return await page(session, LearningModel, select(LearningModel).filter_by(**filters), limit=limit, cursor=cursor)


async def get_learning_pattern(session: AsyncSession, pattern_id: UUID) -> LearningPatternModel | None:
    return await session.get(LearningPatternModel, pattern_id)


async def page_patterns(
    session: AsyncSession, *, limit: int, cursor: str | None = None, pattern_type: PatternType | None = None
) -> Page[LearningPatternModel]:
    statement = select(LearningPatternModel)
    if pattern_type is not None:
        statement = statement.where(LearningPatternModel.pattern_type == pattern_type)
    return await page(session, LearningPatternModel, statement, limit=limit, cursor=cursor)


async def get_learning_feedback(
    session: AsyncSession, feedback_id: UUID, *, lock: bool = False
) -> LearningFeedbackModel | None:
    return await session.get(LearningFeedbackModel, feedback_id, with_for_update={"key_share": True} if lock else None)


async def page_feedback(
    session: AsyncSession,
    *,
    limit: int,
    cursor: str | None = None,
    learning_id: UUID | None = None,
    is_processed: bool | None = None,
) -> Page[LearningFeedbackModel]:
    wanted = {"learning_id": learning_id, "is_processed": is_processed}
    filters = {column: value for column, value in wanted.items() if value is not None}
    statement = select(LearningFeedbackModel).filter_by(**filters)
    return await page(session, LearningFeedbackModel, statement, limit=limit, cursor=cursor)
