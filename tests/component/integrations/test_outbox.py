"""From the outbox to GitHub's emulator over real HTTP."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from sqlalchemy import update

from contexten.emulators.github import run_emulator
from contexten.emulators.recorder import Fault
from contexten_core.events.models import EffectStatus, OutboxModel
from contexten_core.settings import PUBLIC_GITHUB_API

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


@pytest.mark.parametrize(
    ("status", "seconds"), [(429, 120), (403, 120)], ids=["secondary rate limit", "primary rate limit"]
)
async def test_a_rate_limit_is_waited_for(dispatcher: "Dispatcher", status: int, seconds: int) -> None:
    dispatcher.github.recorder.queue_fault(Fault(status=status, retry_after=seconds))
    await dispatcher.enqueue("success")
    await dispatcher.deliver()
    (effect,) = await dispatcher.effects()

    assert effect.status is EffectStatus.PENDING
    assert _delay(effect) == pytest.approx(seconds, abs=1)


async def test_delays_grow_and_after_eight_tries_it_is_given_up(dispatcher: "Dispatcher") -> None:
    dispatcher.github.recorder.queue_fault(Fault(status=502, times=20))
    await dispatcher.enqueue("success")
    delays = []
    for _ in range(8):
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
