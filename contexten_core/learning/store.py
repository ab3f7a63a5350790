"""All SQL about what was learned."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.insert import insert_once
from contexten_core.learning.fingerprint import Fingerprint
from contexten_core.learning.models import LearningModel, LearningPatternModel, LearningType, PatternType

OUTCOME_TYPES = (LearningType.ERROR_ANALYSIS, LearningType.SUCCESS_ANALYSIS)


async def add(session: AsyncSession, **values: Any) -> LearningModel:
    row = LearningModel(id=uuid4(), **values)
    session.add(row)
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
