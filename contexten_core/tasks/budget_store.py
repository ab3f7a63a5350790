"""All SQL about what a project has used up, and about how the last runs of a subject ended."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.analytics.models import AnalyticsEventType, AnalyticsModel
from contexten_core.events.models import Conclusion, EffectStatus, OutboxModel, RunModel, RunStatus
from contexten_core.learning.models import LearningModel
from contexten_core.projects.models import ProjectModel
from contexten_core.tasks.models import TaskModel


@dataclass(frozen=True, slots=True)
class Tried:
    """How an earlier run ended.

    Attributes:
        fingerprint: its failure's; None when it did not fail.
        change: what tells the change of the code that it proposed from another; None when it proposed none.
    """

    commit: str | None
    fingerprint: str | None
    change: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What runs took: seconds by the wall clock, tokens of models in and out, and US dollars."""

    seconds: float = 0.0
    tokens: float = 0.0
    dollars: float = 0.0


_COST = AnalyticsModel.event_data
_SECONDS = AnalyticsModel.duration_ms / 1000
_TOKENS = func.coalesce(_COST[("cost", "tokens_in")].as_float(), 0.0) + func.coalesce(
    _COST[("cost", "tokens_out")].as_float(), 0.0
)
_DOLLARS = func.coalesce(_COST[("cost", "dollars")].as_float(), 0.0)
_IS_OUTCOME = and_(
    AnalyticsModel.component == "tasks",
    AnalyticsModel.event_type.in_((AnalyticsEventType.TASK_COMPLETED, AnalyticsEventType.TASK_FAILED)),
)


async def hold_project(session: AsyncSession, project_id: UUID) -> None:
    """Let nobody else who asks for this go on before this transaction ends; what refers to the project may."""
    await session.execute(select(ProjectModel.id).where(ProjectModel.id == project_id).with_for_update(key_share=True))


async def taken_since(session: AsyncSession, project_id: UUID, since: datetime) -> Taken:
    """Return what the runs of a project that have ended since then took together."""
    sums = (func.coalesce(func.sum(part), 0.0) for part in (_SECONDS, _TOKENS, _DOLLARS))
    statement = select(*sums).where(
        AnalyticsModel.project_id == project_id, AnalyticsModel.created_at >= since, _IS_OUTCOME
    )
    return Taken(*map(float, (await session.execute(statement)).one()))


async def newest_taken(
    session: AsyncSession, *, prompt_id: UUID, version: int, since: datetime, limit: int
) -> Sequence[Taken]:
    """Return what each of the newest runs of a version of a prompt took; those that could not be done do not count."""
    newest = (
        select(RunModel.task_id)
        .where(
            RunModel.prompt_id == prompt_id,
            RunModel.prompt_version == version,
            RunModel.conclusion.in_((Conclusion.SUCCESS, Conclusion.FAILURE)),
            RunModel.created_at >= since,
        )
        .order_by(RunModel.created_at.desc(), RunModel.id)
        .limit(limit)
        .subquery()
    )
    statement = select(func.coalesce(_SECONDS, 0.0), _TOKENS, _DOLLARS)
    statement = statement.join(newest, newest.c.task_id == AnalyticsModel.task_id).where(_IS_OUTCOME).limit(limit)
    return [Taken(*map(float, row)) for row in await session.execute(statement)]


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
    session: AsyncSession, *, project_id: UUID, subject: str, slug: str, but: UUID, limit: int
) -> Sequence[Tried]:
    """Return how the newest runs ended in which a prompt was carried out for a subject, newest first."""
    fingerprint: Any = LearningModel.data["fingerprint"].as_string()
    statement = (
        select(RunModel.commit_sha, fingerprint, TaskModel.result)
        .join(LearningModel, LearningModel.task_id == RunModel.task_id)
        .join(TaskModel, TaskModel.id == RunModel.task_id)
        .where(
            RunModel.project_id == project_id,
            RunModel.subject == subject,
            LearningModel.source_operation == slug,
            RunModel.status != RunStatus.IGNORED,
            RunModel.id != but,
        )
        .order_by(RunModel.created_at.desc(), RunModel.id)
        .limit(limit)
    )
    return [Tried(commit, found, change_of(result)) for commit, found, result in await session.execute(statement)]


def change_of(result: Mapping[str, Any] | None) -> str | None:
    """Return what tells one change of the code that a task proposed from another; None when it proposed none."""
    proposals = (result or {}).get("proposals")
    diffs = [
        str(one.get("diff"))
        for one in (proposals if isinstance(proposals, list) else [])
        if isinstance(one, Mapping) and one.get("kind") == "patch"
    ]
    return sha256("\0".join(sorted(diffs)).encode("utf-8", "replace")).hexdigest() if diffs else None


async def changes_proposed(
    session: AsyncSession, *, project_id: UUID, subject: str, but: UUID, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Return the contents of the newest pull requests that other runs of a subject have opened, or are to open."""
    statement = (
        select(OutboxModel.content)
        .join(RunModel, RunModel.id == OutboxModel.run_id)
        .where(
            RunModel.project_id == project_id,
            RunModel.subject == subject,
            RunModel.id != but,
            OutboxModel.kind == "github.pull_request",
            OutboxModel.status.in_((EffectStatus.PENDING, EffectStatus.SENT)),
        )
        .order_by(OutboxModel.created_at.desc(), OutboxModel.id)
        .limit(limit)
    )
    return (await session.execute(statement)).scalars().all()
