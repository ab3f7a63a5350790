"""From the outbox to GitHub's emulator over real HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import update

from contexten.emulators.github import run_emulator
from contexten.emulators.recorder import Fault
from contexten_core.db import utc_now
from contexten_core.errors.breaker import BREAKERS
from contexten_core.events.models import EffectStatus, OutboxModel
from contexten_core.integrations.outbox import Outbox
from contexten_core.integrations.posters import Poster, Posters, posters_of
from contexten_core.settings import PUBLIC_GITHUB_API, DatabaseConfig
from tests.component.events.outages import cuttable

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker
    from tests.component.integrations.conftest import Dispatcher

SHA = "4d1c2b3a" * 5


def _delay(effect: OutboxModel) -> float:
    """Return the seconds that lie between the newest try and the next."""
    return (effect.available_at - effect.updated_at).total_seconds()


async def test_an_effect_is_carried_out_once(dispatcher: "Dispatcher") -> None:
    await dispatcher.enqueue("pending")

    assert await dispatcher.deliver() == 1
    assert await dispatcher.deliver() == 0
    (effect,) = await dispatcher.effects()
    (status,) = dispatcher.github.recorder.statuses
    assert (effect.status, effect.attempts, effect.last_error) == (EffectStatus.SENT, 1, None)
    assert effect.answer is not None
    assert effect.answer["id"] == status.id
    assert effect.sent_at is not None
    assert dispatcher.calls == ["POST"]


async def test_what_is_said_of_a_commit_is_said_in_order(dispatcher: "Dispatcher") -> None:
    await dispatcher.enqueue("pending", "failure")
    await dispatcher.enqueue("pending", "success", sha="ab" * 20)

    assert [await dispatcher.deliver() for _ in range(3)] == [2, 2, 0]
    for sha, end in ((SHA, "failure"), ("ab" * 20, "success")):
        said = dispatcher.github.recorder.statuses_of(repository="acme/cashbox", sha=sha)
        assert [status.state.value for status in said] == [end, "pending"]


async def test_while_the_first_waits_the_next_waits_too(dispatcher: "Dispatcher") -> None:
    dispatcher.github.recorder.queue_fault(Fault(status=503))
    await dispatcher.enqueue("pending", "success")

    assert [await dispatcher.deliver() for _ in range(2)] == [1, 0]
    assert dispatcher.said == []
    await dispatcher.let_the_wait_end()
    assert [await dispatcher.deliver() for _ in range(3)] == [1, 1, 0]
    assert dispatcher.said == ["pending", "success"]


async def test_a_server_that_stumbles_is_asked_again_later(dispatcher: "Dispatcher") -> None:
    dispatcher.github.recorder.queue_fault(Fault(status=500))
    await dispatcher.enqueue("success")
    await dispatcher.deliver()
    (effect,) = await dispatcher.effects()

    assert (effect.status, effect.attempts) == (EffectStatus.PENDING, 1)
    assert "GitHub answered 500" in str(effect.last_error)
    assert _delay(effect) == pytest.approx(2, abs=1)

    await dispatcher.let_the_wait_end()
    await dispatcher.deliver()
    (effect,) = await dispatcher.effects()
    assert (effect.status, effect.attempts) == (EffectStatus.SENT, 2)
    assert dispatcher.said == ["success"]


async def test_when_the_answer_is_lost_it_is_looked_up_and_not_said_twice(dispatcher: "Dispatcher") -> None:
    dispatcher.github.recorder.queue_fault(Fault(method="POST", drop_after=True))
    await dispatcher.enqueue("failure")
    await dispatcher.deliver()
    assert [effect.status for effect in await dispatcher.effects()] == [EffectStatus.PENDING]

    await dispatcher.let_the_wait_end()
    await dispatcher.deliver()
    (effect,) = await dispatcher.effects()
    assert effect.status is EffectStatus.SENT
    assert dispatcher.said == ["failure"]
    assert dispatcher.calls == ["POST", "GET"]


async def test_a_dispatcher_that_died_leaves_its_effect_to_the_next_which_looks_first(dispatcher: "Dispatcher") -> None:
    await dispatcher.enqueue("failure")
    await dispatcher.deliver()
    async with dispatcher.worker.database.transaction() as session:
        # It died after GitHub had answered and before it could write that down.
        await session.execute(update(OutboxModel).values(status=EffectStatus.PENDING, sent_at=None))

    await dispatcher.let_the_wait_end()
    await dispatcher.deliver()
    assert [effect.status for effect in await dispatcher.effects()] == [EffectStatus.SENT]
    assert dispatcher.said == ["failure"]


async def test_who_comes_to_an_effect_after_its_claim_ran_out_does_not_send_what_another_has_sent(
    dispatcher: "Dispatcher",
) -> None:
    last = "ef" * 20
    dispatcher.github.recorder.queue_fault(Fault(path_contains=SHA, delay_seconds=1))
    await dispatcher.enqueue("success")
    await dispatcher.enqueue("failure", sha=last)
    slow = asyncio.create_task(dispatcher.deliver())
    async with asyncio.timeout(30):
        while not dispatcher.calls:  # noqa: ASYNC110 - the first request is on its way
            await asyncio.sleep(0.01)
    await dispatcher.let_the_wait_end(sha=last)
    await dispatcher.deliver()
    await slow

    assert len(dispatcher.github.recorder.statuses_of(repository="acme/cashbox", sha=last)) == 1


@pytest.mark.parametrize("status", [429, 403], ids=["secondary rate limit", "primary rate limit"])
async def test_a_rate_limit_is_waited_for_and_is_no_attempt(dispatcher: "Dispatcher", status: int) -> None:
    dispatcher.github.recorder.queue_fault(Fault(status=status, retry_after=120))
    await dispatcher.enqueue("success")
    await dispatcher.deliver()
    (effect,) = await dispatcher.effects()

    assert (effect.status, effect.attempts, effect.uncertain) == (EffectStatus.PENDING, 0, False)
    assert "rate limit" in str(effect.last_error)
    assert _delay(effect) == pytest.approx(120, abs=1)


async def test_a_rate_limit_holds_back_what_else_is_for_that_host(dispatcher: "Dispatcher") -> None:
    dispatcher.github.recorder.queue_fault(Fault(status=429, retry_after=120))
    await dispatcher.enqueue("success")
    await dispatcher.deliver()
    await dispatcher.enqueue("success", sha="ab" * 20)
    await dispatcher.deliver()
    effects = await dispatcher.effects()

    assert dispatcher.calls == ["POST"]
    assert [(effect.status, effect.attempts) for effect in effects] == [(EffectStatus.PENDING, 0)] * 2
    assert all(100 < _delay(effect) < 125 for effect in effects)
    assert "is left alone for" in str(effects[1].last_error)


async def test_a_wait_of_hours_is_cut_to_one_and_what_is_refused_for_a_day_is_given_up(
    dispatcher: "Dispatcher",
) -> None:
    dispatcher.github.recorder.queue_fault(Fault(status=429, retry_after=80_000, times=2))
    await dispatcher.enqueue("success")
    await dispatcher.deliver()
    (effect,) = await dispatcher.effects()
    assert _delay(effect) == pytest.approx(3_600, abs=1)

    async with dispatcher.worker.database.transaction() as session:
        await session.execute(update(OutboxModel).values(created_at=utc_now() - timedelta(hours=25)))
    await dispatcher.let_the_wait_end()
    await dispatcher.deliver()
    assert [effect.status for effect in await dispatcher.effects()] == [EffectStatus.DEAD]


async def test_a_service_that_fails_for_everybody_uses_up_no_attempts(dispatcher: "Dispatcher") -> None:
    shas = [f"{number:040x}" for number in range(7)]
    dispatcher.github.recorder.queue_fault(Fault(status=502, times=100))
    for sha in shas:
        await dispatcher.enqueue("success", sha=sha)
    for sha in [*shas, *shas]:
        await dispatcher.let_the_wait_end(sha=sha)
    for _ in range(10):
        await dispatcher.deliver()
        for sha in shas:
            await dispatcher.let_the_wait_end(sha=sha)
    effects = await dispatcher.effects()

    assert len(dispatcher.calls) < 20, "after five failures in a row nothing is called for a while"
    assert {effect.status for effect in effects} == {EffectStatus.PENDING}
    assert sum(effect.attempts for effect in effects) < 8


class Meeting:
    """Posts the first ones only when as many are there at the same time, and remembers what was posted."""

    kinds = frozenset({"github.commit_status"})

    def __init__(self, *, of: int) -> None:
        self._first = of
        self._barrier = asyncio.Barrier(of)
        self.posted: dict[str, list[str]] = {}

    def unable(self, content: Mapping[str, Any]) -> str | None:
        return None

    async def post(self, content: Mapping[str, Any], *, key: str, maybe_done: bool) -> dict[str, Any]:
        self._first -= 1
        if self._first >= 0:
            await self._barrier.wait()
        self.posted.setdefault(content["sha"], []).append(content["state"])
        return {}


async def test_many_streams_leave_at_once_and_each_in_its_order(dispatcher: "Dispatcher") -> None:
    shas = [f"{number:040x}" for number in range(10)]
    for sha in shas:
        await dispatcher.enqueue("pending", "success", sha=sha)
    meeting = Meeting(of=8)
    async with Outbox(dispatcher.worker.runtime, Posters([meeting])) as outbox, asyncio.timeout(30):
        assert await outbox.start_due() == 8
        while sum(map(len, meeting.posted.values())) < 20:
            if not await outbox.start_due():
                await outbox.wait(0.05)

    assert meeting.posted == {sha: ["pending", "success"] for sha in shas}
    assert {effect.status for effect in await dispatcher.effects()} == {EffectStatus.SENT}


async def test_a_service_that_is_slow_holds_up_no_other(dispatcher: "Dispatcher") -> None:
    dispatcher.github.recorder.queue_fault(Fault(delay_seconds=30, times=8))
    for number in range(70):
        await dispatcher.enqueue("success", sha=f"{number:040x}")
    runtime = dispatcher.worker.runtime
    async with Outbox(runtime, posters_of(runtime.settings, runtime.database), at_once=2) as outbox:
        assert await outbox.start_due() == 2
        await dispatcher.put("mastodon.toot", {}, key="toot", stream="mastodon")
        assert await outbox.start_due() == 1
        await outbox.wait(10)
        (toot,) = [effect for effect in await dispatcher.effects() if effect.kind == "mastodon.toot"]
        for task in outbox.in_progress:
            task.cancel()

    assert (toot.status, toot.reason) == (EffectStatus.DEAD, "nothing carries out mastodon.toot")


async def test_an_effect_that_breaks_its_poster_does_not_end_the_dispatcher(dispatcher: "Dispatcher") -> None:
    await dispatcher.put("github.commit_status", {"sha": SHA}, key=SHA, stream="broken")
    await dispatcher.enqueue("success", sha="ab" * 20)
    await dispatcher.deliver()
    broken, sent = await dispatcher.effects()

    assert sent.status is EffectStatus.SENT
    assert (broken.status, broken.attempts) == (EffectStatus.PENDING, 1)
    assert "KeyError" in str(broken.last_error)


async def test_delays_grow_and_after_eight_tries_it_is_given_up(dispatcher: "Dispatcher") -> None:
    dispatcher.github.recorder.queue_fault(Fault(status=502, times=20))
    await dispatcher.enqueue("success")
    delays = []
    for _ in range(8):
        # Others are answered meanwhile, so that it is this effect that fails.
        BREAKERS.clear()
        assert await dispatcher.deliver() == 1
        (effect,) = await dispatcher.effects()
        delays.append(_delay(effect))
        await dispatcher.let_the_wait_end()

    assert await dispatcher.deliver() == 0
    assert delays[:7] == [pytest.approx(2.0**n, abs=1) for n in range(1, 8)]
    assert (effect.status, effect.attempts) == (EffectStatus.DEAD, 8)
    assert "GitHub answered 502" in str(effect.reason)


async def test_a_refusal_is_final_and_says_what_to_do(
    open_worker: "OpenWorker", new_dispatcher: "type[Dispatcher]"
) -> None:
    async with (
        run_emulator(required_token="ghp_valid") as github,
        open_worker(github_token=SecretStr("ghp_revoked"), github_api_url=github.url) as worker,
    ):
        dispatcher = new_dispatcher(worker, github)
        await dispatcher.enqueue("pending", "success")
        delivered = [await dispatcher.deliver() for _ in range(3)]
        effects = await dispatcher.effects()

    assert delivered == [1, 1, 0]
    for effect in effects:
        assert (effect.status, effect.attempts) == (EffectStatus.DEAD, 1)
        assert effect.reason == "the token is not valid; check GITHUB_ACCESS_TOKEN"
        assert "GitHub answered 401" in str(effect.last_error)


async def test_without_a_token_it_is_withheld_and_says_so(
    open_worker: "OpenWorker", new_dispatcher: "type[Dispatcher]"
) -> None:
    async with run_emulator() as github, open_worker(github_token=None) as worker:
        dispatcher = new_dispatcher(worker, github)
        await dispatcher.enqueue("pending", api_url=PUBLIC_GITHUB_API)
        delivered = [await dispatcher.deliver() for _ in range(2)]
        (effect,) = await dispatcher.effects()

    assert delivered == [1, 0]
    assert effect.status is EffectStatus.WITHHELD
    assert effect.reason == "no GitHub token is configured; set GITHUB_ACCESS_TOKEN"
    assert github.recorder.requests == []


@pytest.mark.parametrize("api_url", ["http://[", "x\n", "gopher://127.0.0.1"])
async def test_one_effect_that_cannot_be_carried_out_does_not_hold_up_the_others(
    dispatcher: "Dispatcher", api_url: str
) -> None:
    await dispatcher.enqueue("error", sha="cd" * 20, api_url=api_url)
    await dispatcher.enqueue("success")
    await dispatcher.deliver()
    failed, sent = await dispatcher.effects()

    assert sent.status is EffectStatus.SENT
    assert failed.status in {EffectStatus.DEAD, EffectStatus.PENDING}
    assert failed.last_error


class _Followed:
    """Carries effects out as another poster does; then something else happens before anybody hears of it."""

    def __init__(self, poster: Poster | None, then: Callable[[], Awaitable[object]]) -> None:
        assert poster is not None
        self._poster = poster
        self._then = then
        self.kinds = poster.kinds

    def unable(self, content: Mapping[str, Any]) -> str | None:
        return self._poster.unable(content)

    async def post(self, content: Mapping[str, Any], *, key: str, maybe_done: bool) -> dict[str, Any]:
        answer = await self._poster.post(content, key=key, maybe_done=maybe_done)
        await self._then()
        return answer


async def test_what_was_done_is_written_down_once_the_database_is_back(
    open_worker: "OpenWorker", database_config: DatabaseConfig, new_dispatcher: "type[Dispatcher]"
) -> None:
    async with (
        cuttable(database_config) as outage,
        run_emulator() as github,
        open_worker(db=outage.config, github_token=SecretStr("ghp_of_a_test"), github_api_url=github.url) as worker,
    ):
        dispatcher, runtime = new_dispatcher(worker, github), worker.runtime
        await dispatcher.enqueue("success")
        poster = posters_of(runtime.settings, runtime.database).of("github.commit_status")
        async with Outbox(runtime, Posters([_Followed(poster, outage.begin)])) as outbox:
            await outbox.start_due()
            await outbox.wait(0.5)
            assert len(outbox.in_progress) == 1
            await outage.end()
            await outbox.drain()

        (effect,) = await dispatcher.effects()
        assert (effect.status, effect.attempts, dispatcher.calls) == (EffectStatus.SENT, 1, ["POST"])


async def test_what_a_worker_died_with_its_successor_looks_up_at_once(
    open_worker: "OpenWorker", new_dispatcher: "type[Dispatcher]"
) -> None:
    async with (
        run_emulator() as github,
        open_worker(name="ours", github_token=SecretStr("ghp_of_a_test"), github_api_url=github.url) as killed,
        open_worker(name="ours", github_token=SecretStr("ghp_of_a_test"), github_api_url=github.url) as heir,
    ):
        before, after = new_dispatcher(killed, github), new_dispatcher(heir, github)
        await before.enqueue("success")
        poster = posters_of(killed.runtime.settings, killed.database).of("github.commit_status")
        async with Outbox(killed.runtime, Posters([_Followed(poster, asyncio.Event().wait)])) as outbox:
            await outbox.start_due()
            async with asyncio.timeout(30):
                while not github.recorder.statuses:  # noqa: ASYNC110 - the emulator fills it
                    await asyncio.sleep(0.02)
            for task in tuple(outbox.in_progress):
                task.cancel()
        assert await after.deliver() == 0, "it is still the other's"

        assert await heir.runtime.leases.succeed("ours") == (0, 1)
        assert await after.deliver() == 1
        (effect,) = await after.effects()
        assert (effect.status, effect.attempts, effect.lease_owner) == (EffectStatus.SENT, 2, None)
        assert (after.said, after.calls) == (["success"], ["POST", "GET"])


async def test_what_has_ended_since_the_last_look_is_not_waited_for(dispatcher: "Dispatcher") -> None:
    await dispatcher.enqueue("pending")
    runtime = dispatcher.worker.runtime
    async with Outbox(runtime, posters_of(runtime.settings, runtime.database)) as outbox:
        assert await outbox.start_due() == 1
        await outbox.drain()
        async with asyncio.timeout(30):
            await outbox.wait(600)
