"""All SQL about which of our runs a Prefect flow run carries out."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events.models import EventModel, EventStatus, RunModel, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedRun:
    """One of our runs, with the flow run that carries it out and the hold on its event."""

    run_id: UUID
    event_id: UUID
    flow_run_id: UUID
    status: RunStatus
    reason: str | None
    superseded_by: UUID | None
    is_processing: bool
    lease_owner: str | None
    lease_epoch: int
    lease_expires_at: datetime | None

    @property
    def is_live(self) -> bool:
        return self.status is RunStatus.RUNNING

    def is_held(self, now: datetime) -> bool:
        """Tell whether a worker has it."""
        return self.is_processing and self.lease_expires_at is not None and self.lease_expires_at > now


async def carried_by(session: AsyncSession, flow_run_ids: Collection[UUID]) -> dict[UUID, list[CarriedRun]]:
    """Return our runs that these flow runs carry out; a flow run for a whole backlog has many."""
    found: dict[UUID, list[CarriedRun]] = {}
    for run in await _read(session, RunModel.flow_run_id.in_(flow_run_ids), limit=None):
        found.setdefault(run.flow_run_id, []).append(run)
    return found


async def to_be_cancelled(session: AsyncSession, *, limit: int) -> list[CarriedRun]:
    """Return runs in progress that somebody wants cancelled."""
    wanted = (RunModel.status == RunStatus.RUNNING) & RunModel.cancel_requested_at.is_not(None)
    return await _read(session, wanted & RunModel.flow_run_id.is_not(None), limit=limit)


async def _read(session: AsyncSession, wanted: ColumnElement[bool], *, limit: int | None) -> list[CarriedRun]:
    # Columns and no models: an event can hold 25 MB.
    statement = (
        select(
            RunModel.id,
            RunModel.event_id,
            RunModel.flow_run_id,
            RunModel.status,
            RunModel.reason,
            RunModel.cancel_reason,
            RunModel.superseded_by,
            EventModel.status,
            EventModel.lease_owner,
            EventModel.lease_epoch,
            EventModel.lease_expires_at,
        )
        .join(EventModel, EventModel.id == RunModel.event_id)
        .where(wanted)
        .order_by(RunModel.created_at, RunModel.id)
        .limit(limit)
    )
    return [
        CarriedRun(
            run_id=run_id,
            event_id=event_id,
            flow_run_id=flow_run_id,
            status=status,
            reason=cancel_reason if status is RunStatus.RUNNING else reason,
            superseded_by=superseded_by,
            is_processing=event_status is EventStatus.PROCESSING,
            lease_owner=owner,
            lease_epoch=epoch,
            lease_expires_at=expires_at,
        )
        for (
            run_id,
            event_id,
            flow_run_id,
            status,
            reason,
            cancel_reason,
            superseded_by,
            event_status,
            owner,
            epoch,
            expires_at,
        ) in await session.execute(statement)
        if flow_run_id is not None
    ]
