"""All SQL about versions of prompts, their labels, their history, and the catalogue."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.insert import insert_once
from contexten_core.db.paging import Page, page
from contexten_core.inputs import LARGEST_COUNT
from contexten_core.prompts.models import (
    PromptCatalogueModel,
    PromptChangeModel,
    PromptConditionModel,
    PromptLabelModel,
    PromptModel,
    PromptTemplateModel,
    PromptVersionModel,
)

_CATALOGUE = "prompts"


async def lock_catalogue(session: AsyncSession) -> PromptCatalogueModel:
    """Return the catalogue's one row; nobody else changes any prompt before this transaction ends."""
    statement = (
        select(PromptCatalogueModel)
        .where(PromptCatalogueModel.name == _CATALOGUE)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    catalogue = (await session.execute(statement)).scalar_one_or_none()
    if catalogue is None:
        values = {"id": uuid4(), "name": _CATALOGUE, "revision": 0, "deletions": 0}
        await insert_once(session, PromptCatalogueModel, values, unique=("name",))
        catalogue = (await session.execute(statement)).scalar_one()
    return catalogue


async def catalogue(session: AsyncSession) -> PromptCatalogueModel:
    """Return the catalogue's one row as it is."""
    statement = select(PromptCatalogueModel).where(PromptCatalogueModel.name == _CATALOGUE)
    return (await session.execute(statement)).scalar_one()


async def prompt_by_slug(session: AsyncSession, slug: str) -> PromptModel | None:
    """Return a prompt as it is now, not as this session may have read it before."""
    statement = select(PromptModel).where(PromptModel.slug == slug)
    statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
    return (await session.execute(statement)).scalar_one_or_none()


async def templates_in_order(session: AsyncSession, prompt_id: UUID) -> Sequence[PromptTemplateModel]:
    """Return a prompt's templates in the order in which they were given."""
    statement = select(PromptTemplateModel).where(PromptTemplateModel.prompt_id == prompt_id)
    statement = statement.order_by(PromptTemplateModel.created_at, PromptTemplateModel.id)
    return (await session.execute(statement.execution_options(populate_existing=True))).scalars().all()


async def conditions_in_order(session: AsyncSession, prompt_id: UUID) -> Sequence[PromptConditionModel]:
    """Return a prompt's conditions, also those that are not active, in the order in which they were given."""
    statement = select(PromptConditionModel).where(PromptConditionModel.prompt_id == prompt_id)
    statement = statement.order_by(PromptConditionModel.created_at, PromptConditionModel.id)
    return (await session.execute(statement.execution_options(populate_existing=True))).scalars().all()


async def version(session: AsyncSession, prompt_id: UUID, number: int) -> PromptVersionModel | None:
    if not 0 < number <= LARGEST_COUNT:
        return None
    statement = select(PromptVersionModel).where(
        PromptVersionModel.prompt_id == prompt_id, PromptVersionModel.version == number
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def page_versions(
    session: AsyncSession, *, prompt_id: UUID, limit: int, cursor: str | None
) -> Page[PromptVersionModel]:
    statement = select(PromptVersionModel).where(PromptVersionModel.prompt_id == prompt_id)
    return await page(session, PromptVersionModel, statement, limit=limit, cursor=cursor)


async def label(session: AsyncSession, prompt_id: UUID, name: str) -> PromptLabelModel | None:
    statement = select(PromptLabelModel).where(PromptLabelModel.prompt_id == prompt_id, PromptLabelModel.label == name)
    return (await session.execute(statement.execution_options(populate_existing=True))).scalar_one_or_none()


async def labels(session: AsyncSession, prompt_id: UUID) -> Sequence[PromptLabelModel]:
    statement = select(PromptLabelModel).where(PromptLabelModel.prompt_id == prompt_id)
    return (await session.execute(statement.order_by(PromptLabelModel.label))).scalars().all()


async def delete_label(session: AsyncSession, row: PromptLabelModel) -> None:
    await session.execute(delete(PromptLabelModel).where(PromptLabelModel.id == row.id))


async def add_change(session: AsyncSession, **values: Any) -> PromptChangeModel:
    row = PromptChangeModel(id=uuid4(), **values)
    session.add(row)
    await session.flush()
    return row


async def page_changes(
    session: AsyncSession, *, slug: str | None, limit: int, cursor: str | None
) -> Page[PromptChangeModel]:
    """Page through changes; of a slug also those that its prompt went through under another."""
    statement = select(PromptChangeModel)
    if slug is not None:
        prompt_id = select(PromptModel.id).where(PromptModel.slug == slug).scalar_subquery()
        statement = statement.where(or_(PromptChangeModel.slug == slug, PromptChangeModel.prompt_id == prompt_id))
    return await page(session, PromptChangeModel, statement, limit=limit, cursor=cursor)
