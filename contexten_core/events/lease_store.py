"""All SQL about renewing leases, without async: a thread of its own runs it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlalchemy import Connection, func, select, update

from contexten_core.db import Database, utc_now
from contexten_core.events.models import EventModel, EventStatus


class Renewal:
    """Renews the leases of one owner, on a connection that is opened when it is first needed."""

    def __init__(self, database: Database, *, owner: str) -> None:
        self._engine = database.engine_beside()
        self._is_sqlite = database.is_sqlite
        self._owner = owner

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    def renew(self, held: Mapping[UUID, int], *, duration: timedelta) -> list[UUID]:
        """Renew the leases of these events, given with their epochs, and return those that another claim has ended.

        One that a step is writing to now waits for the next time: waiting for it while holding others would lock
        heartbeat and steps out of each other.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database does not answer.
        """
        with self._engine.begin() as connection:
            free = (
                select(EventModel.id)
                .where(
                    EventModel.id.in_(held),
                    EventModel.lease_owner == self._owner,
                    EventModel.status == EventStatus.PROCESSING,
                )
                .with_for_update(skip_locked=True)
            )
            connection.execute(
                update(EventModel)
                .where(EventModel.id.in_(free))
                .values(lease_expires_at=self._now(connection) + duration, updated_at=EventModel.updated_at)
            )
            epochs = connection.execute(select(EventModel.id, EventModel.lease_epoch).where(EventModel.id.in_(held)))
            return [event_id for event_id, epoch in epochs if epoch != held[event_id]]

    def _now(self, connection: Connection) -> datetime:
        if self._is_sqlite:
            return utc_now()
        moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return moment.astimezone(UTC)
