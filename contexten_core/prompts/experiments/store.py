"""All SQL about experiments and exposures."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, String, case, cast, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.insert import insert_once
from contexten_core.db.paging import Page, page
from contexten_core.prompts.experiments.results import Tally
from contexten_core.prompts.experiments.statistics import Sums
from contexten_core.prompts.models import (
    ExperimentStatus,
    PromptExperimentModel,
    PromptExposureModel,
    PromptVersionModel,
)


async def get(session: AsyncSession, experiment_id: UUID, *, lock: bool = False) -> PromptExperimentModel | None:
    """Return an experiment. With `lock` nobody else changes it before this transaction ends; runs may still join."""
    return await session.get(
        PromptExperimentModel,
        experiment_id,
        with_for_update={"key_share": True} if lock else None,
        populate_existing=lock,
    )


async def running(session: AsyncSession, prompt_id: UUID) -> PromptExperimentModel | None:
    statement = select(PromptExperimentModel).where(
        PromptExperimentModel.prompt_id == prompt_id, PromptExperimentModel.status == ExperimentStatus.RUNNING
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def newest(session: AsyncSession, prompt_id: UUID) -> PromptExperimentModel | None:
    statement = select(PromptExperimentModel).where(PromptExperimentModel.prompt_id == prompt_id)
    order = (PromptExperimentModel.created_at.desc(), PromptExperimentModel.id.desc())
    return (await session.execute(statement.order_by(*order).limit(1))).scalar_one_or_none()


async def all_running(session: AsyncSession) -> Sequence[UUID]:
    """Return the running experiments, of which each prompt has one at most."""
    statement = select(PromptExperimentModel.id).where(PromptExperimentModel.status == ExperimentStatus.RUNNING)
    return (await session.execute(statement.order_by(PromptExperimentModel.id))).scalars().all()


async def page_experiments(
    session: AsyncSession,
    *,
    limit: int,
    cursor: str | None = None,
    prompt_id: UUID | None = None,
    status: ExperimentStatus | None = None,
) -> Page[PromptExperimentModel]:
    wanted = {"prompt_id": prompt_id, "status": status}
    filters = {column: value for column, value in wanted.items() if value is not None}
    statement = select(PromptExperimentModel).filter_by(**filters)
    return await page(session, PromptExperimentModel, statement, limit=limit, cursor=cursor)


async def known_versions(session: AsyncSession, prompt_id: UUID, versions: Sequence[int]) -> set[int]:
    """Return those of the versions that the prompt has."""
    statement = select(PromptVersionModel.version).where(
        PromptVersionModel.prompt_id == prompt_id, PromptVersionModel.version.in_(versions)
    )
    return set((await session.execute(statement)).scalars())


async def exposure_of(session: AsyncSession, run_id: UUID) -> PromptExposureModel | None:
    statement = select(PromptExposureModel).where(PromptExposureModel.run_id == run_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def last_exposure(
    session: AsyncSession, experiment_id: UUID, subject: str, versions: Sequence[int]
) -> PromptExposureModel | None:
    """Return a subject's last exposure of an experiment, of those to the given versions."""
    statement = (
        select(PromptExposureModel)
        .where(
            PromptExposureModel.experiment_id == experiment_id,
            PromptExposureModel.subject == subject,
            PromptExposureModel.version.in_(versions),
        )
        .order_by(PromptExposureModel.created_at.desc(), PromptExposureModel.id)
        .limit(1)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def add_exposure(session: AsyncSession, **values: Any) -> bool:
    """Store that a run was given a version, unless it has an exposure already; returns whether it is new."""
    row = {"id": uuid4(), "name": f"version {values['version']}", **values}
    return await insert_once(session, PromptExposureModel, row, unique=("run_id",)) is not None


async def delete_exposure(session: AsyncSession, run_id: UUID) -> None:
    await session.execute(delete(PromptExposureModel).where(PromptExposureModel.run_id == run_id))


async def finish_exposure(
    session: AsyncSession, run_id: UUID, *, succeeded: bool, seconds: float, cost: float, now: datetime
) -> None:
    """Store what came of a run that has an exposure; of one that has none, or has ended, nothing."""
    await session.execute(
        update(PromptExposureModel)
        .where(PromptExposureModel.run_id == run_id, PromptExposureModel.finished_at.is_(None))
        .values(succeeded=succeeded, seconds=seconds, cost=cost, finished_at=now)
    )


async def tallies(session: AsyncSession, experiment_id: UUID) -> Mapping[int, Tally]:
    """Sum up an experiment's exposures by version: those that have ended by subject first."""
    row = PromptExposureModel
    # A run about nothing in particular is a subject of its own.
    subject = func.coalesce(row.subject, cast(row.id, String))
    by_subject = (
        select(
            row.version,
            func.count().label("samples"),
            func.sum(case((row.succeeded.is_(True), 1.0), else_=0.0)).label("successes"),
            func.sum(func.coalesce(row.seconds, 0.0)).label("seconds"),
            func.sum(func.coalesce(row.cost, 0.0)).label("cost"),
        )
        .where(row.experiment_id == experiment_id, row.finished_at.is_not(None))
        .group_by(row.version, subject)
        .subquery()
    )
    samples, successes, seconds = by_subject.c.samples, by_subject.c.successes, by_subject.c.seconds
    ended = select(
        by_subject.c.version,
        func.count(),
        func.sum(samples),
        func.sum(samples * samples),
        func.sum(by_subject.c.cost),
        *_powers(successes, samples),
        *_powers(seconds, samples),
    ).group_by(by_subject.c.version)
    chosen = select(row.version, func.count()).where(row.experiment_id == experiment_id).group_by(row.version)
    exposures = dict((await session.execute(chosen)).tuples().all())
    found = {version: Tally(exposures=count) for version, count in exposures.items()}
    for version, subjects, size, sizes, cost, *figures in await session.execute(ended):
        of_successes, of_seconds = (
            Sums(subjects, int(size), float(total), float(squares), float(products), float(sizes))
            for total, squares, products in (figures[:3], figures[3:])
        )
        found[version] = Tally(exposures.get(version, 0), of_successes, of_seconds, float(cost))
    return found


def _powers(figure: ColumnElement[Any], samples: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    return func.sum(figure), func.sum(figure * figure), func.sum(figure * samples)
