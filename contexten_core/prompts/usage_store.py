"""All SQL about what came of prompts: a row for each version, project and day, and the prompt's own figures."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, CursorResult, Row, Update, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from contexten_core.db import utc_now
from contexten_core.projects.models import ProjectModel
from contexten_core.prompts.models import PromptModel, PromptTemplateModel, PromptUsageModel

_UNIQUE = ("prompt_id", "version", "project_id", "day")


async def count_prompt(session: AsyncSession, prompt_id: UUID, *, uses: int, successes: int, seconds: float) -> bool:
    """Add outcomes to a prompt's running figures; returns whether there still is such a prompt.

    The prompt is not removed before this transaction ends.
    """
    row = PromptModel
    statement = (
        update(row)
        .where(row.id == prompt_id)
        .values(
            usage_count=row.usage_count + uses,
            success_rate=_running_mean(row.success_rate, row.usage_count, successes, uses),
            average_response_time=_running_mean(row.average_response_time, row.usage_count, seconds, uses),
        )
    )
    return cast(CursorResult[Any], await session.execute(_plain(statement))).rowcount == 1


async def count_template(session: AsyncSession, prompt_id: UUID, name: str, *, uses: int, successes: int) -> None:
    """Add outcomes to the running figures of one of a prompt's templates, where it still has that."""
    row = PromptTemplateModel
    statement = (
        update(row)
        .where(row.prompt_id == prompt_id, row.template_name == name)
        .values(
            usage_count=row.usage_count + uses,
            success_rate=_running_mean(row.success_rate, row.usage_count, successes, uses),
        )
    )
    await session.execute(_plain(statement))


def _plain(statement: Update) -> Update:
    return statement.execution_options(synchronize_session=False)


def _running_mean(
    mean: InstrumentedAttribute[float | None], count: InstrumentedAttribute[int], added: float, uses: int
) -> ColumnElement[float]:
    return (func.coalesce(mean, 0.0) * count + float(added)) / (count + uses)


async def add(session: AsyncSession, **values: Any) -> None:
    """Add outcomes to the row of their prompt, version, project and day, made when they are the first."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(PromptUsageModel).values(id=uuid4(), name=f"version {values['version']}", **values)
    new, row = statement.excluded, PromptUsageModel
    added = {name: getattr(row, name) + new[name] for name in ("uses", "successes", "errors", "seconds", "cost")}
    later = case((row.last_used_at < new.last_used_at, new.last_used_at), else_=row.last_used_at)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=_UNIQUE, set_={**added, "last_used_at": later, "updated_at": utc_now()}
        )
    )


async def by_version(session: AsyncSession, prompt_id: UUID, *, since: datetime, limit: int) -> Sequence[Row[Any]]:
    return await _grouped(session, prompt_id, PromptUsageModel.version, since=since, limit=limit)


async def by_day(session: AsyncSession, prompt_id: UUID, *, since: datetime, limit: int) -> Sequence[Row[Any]]:
    return await _grouped(session, prompt_id, PromptUsageModel.day, since=since, limit=limit)


async def by_project(session: AsyncSession, prompt_id: UUID, *, since: datetime, limit: int) -> Sequence[Row[Any]]:
    return await _grouped(session, prompt_id, ProjectModel.slug, since=since, limit=limit)


async def _grouped(
    session: AsyncSession, prompt_id: UUID, key: Any, *, since: datetime, limit: int
) -> Sequence[Row[Any]]:
    """Sum up by one column: the `limit` rows that were used last."""
    row = PromptUsageModel
    statement = (
        select(
            key.label("key"),
            func.sum(row.uses).label("uses"),
            func.sum(row.successes).label("successes"),
            func.sum(row.errors).label("errors"),
            func.sum(row.seconds).label("seconds"),
            func.sum(row.cost).label("cost"),
            func.max(row.last_used_at).label("last_used_at"),
        )
        .join(ProjectModel, ProjectModel.id == row.project_id)
        .where(row.prompt_id == prompt_id, row.day >= since)
        .group_by(key)
        .order_by(func.max(row.last_used_at).desc(), key.desc())
        .limit(limit)
    )
    return (await session.execute(statement)).all()
