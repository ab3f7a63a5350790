"""All SQL about prompts, their templates and their conditions."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from contexten_core.db.paging import Page, page
from contexten_core.db.shared import once
from contexten_core.prompts.models import (
    PromptConditionModel,
    PromptModel,
    PromptStatus,
    PromptTemplateModel,
    PromptType,
)

_CONDITION_ORDER = (PromptConditionModel.priority.desc(), PromptConditionModel.created_at, PromptConditionModel.id)


async def get(session: AsyncSession, prompt_id: UUID) -> PromptModel | None:
    return await session.get(PromptModel, prompt_id)


async def by_slug(session: AsyncSession, slug: str) -> PromptModel | None:
    return (await session.execute(select(PromptModel).where(PromptModel.slug == slug))).scalar_one_or_none()


async def active(session: AsyncSession) -> list[tuple[PromptModel, list[PromptConditionModel]]]:
    """Return every active prompt with its active conditions, both in a stable order."""
    prompts = (
        await session.execute(
            select(PromptModel).where(PromptModel.status == PromptStatus.ACTIVE).order_by(PromptModel.slug)
        )
    ).scalars()
    conditions = (
        await session.execute(
            select(PromptConditionModel)
            .join(PromptModel, PromptModel.id == PromptConditionModel.prompt_id)
            .where(PromptModel.status == PromptStatus.ACTIVE, PromptConditionModel.is_active)
            .order_by(*_CONDITION_ORDER)
        )
    ).scalars()
    by_prompt: dict[UUID, list[PromptConditionModel]] = defaultdict(list)
    for condition in conditions:
        by_prompt[condition.prompt_id].append(condition)
    return [(prompt, by_prompt[prompt.id]) for prompt in prompts]


async def conditions_of(session: AsyncSession, prompt_id: UUID) -> Sequence[PromptConditionModel]:
    statement = select(PromptConditionModel).where(PromptConditionModel.prompt_id == prompt_id)
    return (await session.execute(statement.order_by(*_CONDITION_ORDER))).scalars().all()


async def newest(session: AsyncSession, *, limit: int) -> Sequence[PromptModel]:
    statement = select(PromptModel).order_by(PromptModel.created_at.desc()).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def count_use(session: AsyncSession, prompt_id: UUID, *, succeeded: bool, seconds: float) -> None:
    """Add one outcome to a prompt's running figures: uses, share of successes, mean duration in seconds."""
    await session.execute(
        update(PromptModel)
        .where(PromptModel.id == prompt_id)
        .values(
            usage_count=PromptModel.usage_count + 1,
            success_rate=_running_mean(PromptModel.success_rate, float(succeeded)),
            average_response_time=_running_mean(PromptModel.average_response_time, seconds),
        )
    )


def _running_mean(column: InstrumentedAttribute[float | None], value: float) -> ColumnElement[float]:
    total = func.coalesce(column, 0.0) * PromptModel.usage_count + value
    return total / (PromptModel.usage_count + 1)


async def get_prompt(session: AsyncSession, prompt_id: UUID, *, lock: bool = False) -> PromptModel | None:
    """Return a prompt. With `lock` nobody else changes it before this transaction ends; rows may still refer to it."""
    return await session.get(PromptModel, prompt_id, with_for_update={"key_share": True} if lock else None)


async def hold_prompt(session: AsyncSession, prompt_id: UUID) -> bool:
    """Tell whether there is such a prompt, and keep it from being removed before this transaction ends."""

    async def ask() -> bool:
        statement = select(PromptModel.id).where(PromptModel.id == prompt_id)
        statement = statement.with_for_update(read=True, key_share=True)
        return (await session.execute(statement)).scalar_one_or_none() is not None

    return await once(session, PromptModel, prompt_id, ask=ask)


async def page_prompts(
    session: AsyncSession,
    *,
    limit: int,
    cursor: str | None = None,
    status: PromptStatus | None = None,
    prompt_type: PromptType | None = None,
    category: str | None = None,
) -> Page[PromptModel]:
    wanted = {"status": status, "prompt_type": prompt_type, "category": category}
    filters = {column: value for column, value in wanted.items() if value is not None}
    statement = select(PromptModel).filter_by(**filters)
    return await page(session, PromptModel, statement, limit=limit, cursor=cursor)


async def get_prompt_template(
    session: AsyncSession, template_id: UUID, *, lock: bool = False
) -> PromptTemplateModel | None:
    return await session.get(PromptTemplateModel, template_id, with_for_update={"key_share": True} if lock else None)


async def template_by_name(session: AsyncSession, prompt_id: UUID, template_name: str) -> PromptTemplateModel | None:
    statement = select(PromptTemplateModel).where(
        PromptTemplateModel.prompt_id == prompt_id, PromptTemplateModel.template_name == template_name
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def page_prompt_templates(
    session: AsyncSession, *, prompt_id: UUID, limit: int, cursor: str | None = None
) -> Page[PromptTemplateModel]:
    statement = select(PromptTemplateModel).where(PromptTemplateModel.prompt_id == prompt_id)
    return await page(session, PromptTemplateModel, statement, limit=limit, cursor=cursor)


async def get_prompt_condition(
    session: AsyncSession, condition_id: UUID, *, lock: bool = False
) -> PromptConditionModel | None:
    return await session.get(PromptConditionModel, condition_id, with_for_update={"key_share": True} if lock else None)


async def page_prompt_conditions(
    session: AsyncSession, *, prompt_id: UUID, limit: int, cursor: str | None = None
) -> Page[PromptConditionModel]:
    statement = select(PromptConditionModel).where(PromptConditionModel.prompt_id == prompt_id)
    return await page(session, PromptConditionModel, statement, limit=limit, cursor=cursor)
