"""All SQL about what a project has used up, and about how the last runs of a subject ended."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events.models import EffectStatus, OutboxModel, RunModel, RunStatus
from contexten_core.learning.models import LearningModel
from contexten_core.prompts.models import PromptUsageModel


@dataclass(frozen=True, slots=True)
class Tried:
    """How an earlier run ended; `fingerprint` is its failure's, None when it did not fail."""

    commit: str | None
    fingerprint: str | None


async def dollars_since(session: AsyncSession, project_id: UUID, since: datetime) -> float:
    """Return what models took for a project, in US dollars, since the beginning of a day in UTC."""
    statement = select(func.coalesce(func.sum(PromptUsageModel.cost), 0.0)).where(
        PromptUsageModel.project_id == project_id, PromptUsageModel.day >= since
    )
    return float((await session.execute(statement)).scalar_one())


async def mean_dollars(session: AsyncSession, *, prompt_id: UUID, project_id: UUID, since: datetime) -> float | None:
    """Return what one run of a prompt has cost in a project, on average; None when there was none."""
    statement = select(func.sum(PromptUsageModel.cost), func.sum(PromptUsageModel.uses)).where(
        PromptUsageModel.prompt_id == prompt_id,
        PromptUsageModel.project_id == project_id,
        PromptUsageModel.day >= since,
    )
    cost, uses = (await session.execute(statement)).one()
    return float(cost) / int(uses) if uses else None


async def runs_since(session: AsyncSession, project_id: UUID, since: datetime, *, but: UUID) -> int:
    """Return how many other runs of a project were, or are being, carried out since then."""
    statement = select(func.count()).where(
        RunModel.project_id == project_id,
        RunModel.started_at >= since,
        RunModel.status != RunStatus.IGNORED,
        RunModel.probability.is_not(None),
        RunModel.id != but,
    )
    return (await session.execute(statement)).scalar_one()


async def effects_since(
    session: AsyncSession, project_id: UUID, since: datetime, *, without: Collection[str], keys: Collection[str]
) -> int:
    """Return how many effects of a project's runs were, or are to be, carried out since then.

    Args:
        without: kinds that do not count.
        keys: ends of the keys of those that do not count either.
    """
    statement = (
        select(func.count())
        .select_from(OutboxModel)
        .join(RunModel, RunModel.id == OutboxModel.run_id)
        .where(
            RunModel.project_id == project_id,
            OutboxModel.created_at >= since,
            OutboxModel.status.in_((EffectStatus.PENDING, EffectStatus.SENT)),
            OutboxModel.kind.not_in(without),
            *(~OutboxModel.effect_key.endswith(key, autoescape=True) for key in keys),
        )
    )
    return (await session.execute(statement)).scalar_one()


async def newest_tries(
    session: AsyncSession, *, project_id: UUID, subject: str, prompt_id: UUID, but: UUID, limit: int
) -> Sequence[Tried]:
    """Return how the newest runs ended in which a prompt was carried out for a subject, newest first."""
    fingerprint: Any = LearningModel.data["fingerprint"].as_string()
    statement = (
        select(RunModel.commit_sha, fingerprint)
        .join(LearningModel, LearningModel.task_id == RunModel.task_id)
        .where(
            RunModel.project_id == project_id,
            RunModel.subject == subject,
            RunModel.prompt_id == prompt_id,
            RunModel.status != RunStatus.IGNORED,
            RunModel.id != but,
        )
        .order_by(RunModel.created_at.desc(), RunModel.id)
        .limit(limit)
    )
    return [Tried(commit, found) for commit, found in await session.execute(statement)]
