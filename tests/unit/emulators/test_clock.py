import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from contexten.emulators.clock import Clock
from contexten_core.errors import ConfigurationError

BEGINNING = datetime(2025, 1, 7, 9, 0, tzinfo=UTC)


async def test_a_clock_that_stands_still_moves_only_by_hand() -> None:
    clock = Clock(time_scale=0, starts_at=BEGINNING)
    sleeper = asyncio.create_task(clock.sleep(60))
    await asyncio.sleep(0)
    clock.advance(59)
    await asyncio.sleep(0)
    assert not sleeper.done()
    clock.advance(1)
    await asyncio.wait_for(sleeper, timeout=10)
    assert clock.now() == BEGINNING + timedelta(minutes=1)


async def test_hours_pass_in_no_time_when_time_is_compressed() -> None:
    clock = Clock(time_scale=1_000_000, starts_at=BEGINNING)
    async with asyncio.timeout(10):
        await clock.sleep(7 * 3600)
    assert clock.now() >= BEGINNING + timedelta(hours=7)


@pytest.mark.parametrize("time_scale", [-1, float("nan"), float("inf")])
def test_a_time_scale_that_is_none_is_refused(time_scale: float) -> None:
    with pytest.raises(ConfigurationError, match="cannot run"):
        Clock(time_scale=time_scale)
