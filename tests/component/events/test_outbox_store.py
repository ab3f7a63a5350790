import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from contexten_core.db import Database, utc_now
from contexten_core.events import outbox_store
from contexten_core.events.models import EffectStatus, OutboxModel

NOON = datetime.fromisoformat("2026-03-29T12:00:00+00:00")


async def _enqueue(database: Database, key: str, *, stream: str = "commit", position: int = 0, after: int = 0) -> bool:
    """Write down an effect, `after` seconds past noon."""
    async with database.transaction() as session:
        is_new = await outbox_store.enqueue(
            session,
            kind="github.commit_status",
            effect_key=key,
            stream=stream,
            position=position,
            content={"state": key},
            run_id=None,
        )
        moment = NOON + timedelta(seconds=after)
        if is_new:
            statement = update(OutboxModel).where(OutboxModel.effect_key == key)
            await session.execute(statement.values(created_at=moment, available_at=moment))
    return is_new


async def _set(database: Database, key: str, **values: object) -> None:
    async with database.transaction() as session:
        await session.execute(update(OutboxModel).where(OutboxModel.effect_key == key).values(**values))


async def _due(database: Database, *, limit: int = 10, after: int = 60) -> Sequence[str]:
    async with database.transaction() as session:
        effects = await outbox_store.due(session, now=NOON + timedelta(seconds=after), limit=limit)
    return [effect.effect_key for effect in effects]


async def test_an_effect_is_written_down_once(database: Database) -> None:
    assert await _enqueue(database, "a")
    assert not await _enqueue(database, "a", stream="another", position=1)

    async with database.reading() as session:
        (row,) = (await session.execute(select(OutboxModel))).scalars()
    assert (row.stream, row.position, row.status, row.attempts) == ("commit", 0, EffectStatus.PENDING, 0)
    assert row.content == {"state": "a"}


async def test_an_effect_is_written_with_its_cause_or_not_at_all(database: Database) -> None:
    async def write_and_break() -> None:
        async with database.transaction() as session:
            await outbox_store.enqueue(
                session, kind="k", effect_key="a", stream="s", position=0, content={}, run_id=None
            )
            raise ValueError("the state change failed")

    with pytest.raises(ValueError, match="state change"):
        await write_and_break()

    assert await _due(database) == []


async def test_of_each_stream_only_the_first_is_due(database: Database) -> None:
    await _enqueue(database, "one-pending", stream="one", after=0)
    await _enqueue(database, "one-final", stream="one", position=1, after=2)
    await _enqueue(database, "other-pending", stream="other", after=1)

    assert await _due(database) == ["one-pending", "other-pending"]


@pytest.mark.parametrize("end", [EffectStatus.SENT, EffectStatus.DEAD, EffectStatus.WITHHELD])
async def test_the_next_of_a_stream_follows_when_the_one_before_has_come_to_an_end(
    database: Database, end: EffectStatus
) -> None:
    await _enqueue(database, "pending", after=0)
    await _enqueue(database, "final", position=1, after=2)
    await _set(database, "pending", status=end)

    assert await _due(database) == ["final"]


async def test_what_is_put_off_holds_up_its_stream_and_no_other(database: Database) -> None:
    await _enqueue(database, "pending", stream="one", after=0)
    await _enqueue(database, "final", stream="one", position=1, after=1)
    await _enqueue(database, "elsewhere", stream="other", after=2)
    await _set(database, "pending", available_at=NOON + timedelta(minutes=5))

    assert await _due(database) == ["elsewhere"]
    assert await _due(database, after=301) == ["pending", "elsewhere"]


async def test_effects_of_one_moment_go_by_their_position(database: Database) -> None:
    await _enqueue(database, "final", position=1)
    await _enqueue(database, "pending", position=0)

    assert await _due(database) == ["pending"]


async def test_a_replay_speaks_after_the_run_before_it(database: Database) -> None:
    for second, (key, position) in enumerate([("1-pending", 0), ("1-final", 1), ("2-pending", 0), ("2-final", 1)]):
        await _enqueue(database, key, position=position, after=second)
    said: list[str] = []
    while due := await _due(database):
        said += due
        await _set(database, due[0], status=EffectStatus.SENT)

    assert said == ["1-pending", "1-final", "2-pending", "2-final"]


async def test_the_oldest_come_first_and_no_more_than_asked_for(database: Database) -> None:
    for second in (3, 1, 2):
        await _enqueue(database, f"effect-{second}", stream=f"stream-{second}", after=second)

    assert await _due(database, limit=2) == ["effect-1", "effect-2"]
    assert await _due(database, after=0) == []


async def test_two_dispatchers_at_once_never_get_the_same_effect(database: Database) -> None:
    for number in range(12):
        await _enqueue(database, f"effect-{number}", stream=f"stream-{number}")

    async def claim() -> list[str]:
        async with database.transaction() as session:
            effects = await outbox_store.due(session, now=utc_now(), limit=4)
            await asyncio.sleep(0.01)
            for effect in effects:
                effect.available_at = utc_now() + timedelta(seconds=60)
        return [effect.effect_key for effect in effects]

    claimed = [key for keys in await asyncio.gather(*(claim() for _ in range(4))) for key in keys]
    assert len(claimed) == len(set(claimed))
    assert claimed
