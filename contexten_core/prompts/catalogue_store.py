"""All SQL of the catalogue: what has changed since, and the versions that events are answered with."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.shared import once
from contexten_core.prompts.index.index import LivePrompt
from contexten_core.prompts.models import (
    ExperimentStatus,
    PromptCatalogueModel,
    PromptExperimentModel,
    PromptLabelModel,
    PromptModel,
    PromptStatus,
    PromptVersionModel,
)
from contexten_core.prompts.spec import LIVE, PromptSpec, spec_of

CATALOGUE = "prompts"
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Revision:
    """How often anything about any prompt has changed, and how many prompts were removed."""

    revision: int = 0
    deletions: int = 0


async def current_revision(session: AsyncSession) -> Revision:
    async def ask() -> Revision:
        statement = select(PromptCatalogueModel.revision, PromptCatalogueModel.deletions)
        row = (await session.execute(statement.where(PromptCatalogueModel.name == CATALOGUE))).one_or_none()
        return Revision() if row is None else Revision(row.revision, row.deletions)

    return await once(session, PromptCatalogueModel, ask=ask)


async def changed_since(session: AsyncSession, revision: int) -> list[tuple[UUID, bool]]:
    """Return the prompts that were changed after a revision, and whether each is active."""
    statement = select(PromptModel.id, PromptModel.status).where(PromptModel.revision > revision)
    rows = await session.execute(statement)
    return [(prompt_id, status is PromptStatus.ACTIVE) for prompt_id, status in rows]


async def active_ids(session: AsyncSession) -> list[UUID]:
    statement = select(PromptModel.id).where(PromptModel.status == PromptStatus.ACTIVE)
    return list((await session.execute(statement)).scalars())


async def live_prompts(session: AsyncSession, prompt_ids: Sequence[UUID]) -> list[LivePrompt]:
    """Return these prompts by the version that is labelled live, or else by their newest."""
    found: list[LivePrompt] = []
    for start in range(0, len(prompt_ids), _AT_ONCE):
        found += await _live_prompts(session, prompt_ids[start : start + _AT_ONCE])
    return found


async def _live_prompts(session: AsyncSession, prompt_ids: Sequence[UUID]) -> list[LivePrompt]:
    label = and_(PromptLabelModel.prompt_id == PromptModel.id, PromptLabelModel.label == LIVE)
    version = and_(
        PromptVersionModel.prompt_id == PromptModel.id,
        PromptVersionModel.version == func.coalesce(PromptLabelModel.version, PromptModel.version),
    )
    experiment = and_(
        PromptExperimentModel.prompt_id == PromptModel.id, PromptExperimentModel.status == ExperimentStatus.RUNNING
    )
    statement = (
        select(
            PromptModel.id,
            PromptModel.slug,
            PromptModel.status,
            PromptVersionModel.version,
            PromptVersionModel.content,
            PromptExperimentModel.id.label("experiment_id"),
        )
        .outerjoin(PromptLabelModel, label)
        .join(PromptVersionModel, version)
        .outerjoin(PromptExperimentModel, experiment)
        .where(PromptModel.id.in_(prompt_ids))
    )
    return [
        LivePrompt(
            prompt_id=row.id,
            version=row.version,
            spec=spec_of(row.slug, row.content),
            status=row.status,
            experiment_id=row.experiment_id,
        )
        for row in await session.execute(statement)
    ]


async def version_spec(session: AsyncSession, live: LivePrompt, version: int) -> PromptSpec | None:
    """Return what another version of a prompt says, if it has that version."""
    statement = select(PromptVersionModel.content).where(
        PromptVersionModel.prompt_id == live.prompt_id, PromptVersionModel.version == version
    )
    content = (await session.execute(statement)).scalar_one_or_none()
    return None if content is None else spec_of(live.spec.slug, content)
