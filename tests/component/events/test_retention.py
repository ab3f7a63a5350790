"""The bytes of deliveries are kept for a while; events and digests stay."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from contexten_core.db import Database, utc_now
from contexten_core.events import retention
from contexten_core.events.delivery import Delivery, ReceiptStatus
from contexten_core.events.intake import Intake
from contexten_core.events.models import EventPayloadModel, EventProvider
from contexten_core.events.retention import prune_deliveries
from contexten_core.settings import DatabaseConfig, Settings


def delivery(days: int) -> Delivery:
    """Return a delivery that came that many days ago."""
    body = b'{"days": %d}' % days
    return Delivery(
        provider=EventProvider.GITHUB,
        event_type="push",
        payload={"days": days},
        headers={},
        content_type="application/json",
        body=body,
        key=body,
        received_at=utc_now() - timedelta(days=days),
    )


async def test_old_bytes_are_removed_and_the_delivery_stays_known(
    database: Database, database_config: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    intake = Intake(database, settings=Settings(db=database_config, home=tmp_path / "home"))
    await intake.start()
    await asyncio.gather(*(intake.keep(delivery(days)) for days in (1, 34, 36, 40, 50, 60, 70)))

    assert await prune_deliveries(database, days=35) == 5
    assert await prune_deliveries(database, days=35) == 0
    async with database.reading() as session:
        left = (await session.execute(select(EventPayloadModel.raw_payload))).scalars().all()
    assert set(left) == {delivery(1).body, delivery(34).body}
    assert (await intake.keep(delivery(50))).status is ReceiptStatus.DUPLICATE
    await intake.close()
