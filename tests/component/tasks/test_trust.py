"""Whom a pull request of the repository itself is trusted by, at GitHub and at what is none."""

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.recorder import Fault
from contexten.emulators.sender import GitHubDelivery, pull_request_payload
from contexten_core.errors import OutboundError
from contexten_core.events.claim import RunRef
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step, StepRecord, run_step
from contexten_core.projects.resolve import Target
from contexten_core.tasks.trust import NeedsApproval, Trusted, verdict

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Push, Worker

TOKEN = "ghp_of_the_trust_tests"


@pytest.fixture
async def github() -> AsyncIterator[RunningEmulator]:
    async with run_emulator(required_token=TOKEN) as running:
        yield running


@pytest.fixture
async def worker(open_worker: "OpenWorker", github: RunningEmulator) -> AsyncIterator["Worker"]:
    async with open_worker(github_token=SecretStr(TOKEN), github_api_url=github.url, api_timeout_seconds=5) as worker:
        await worker.add_project("acme/cashbox")
        yield worker


def _pull_request() -> GitHubDelivery:
    payload = pull_request_payload(
        "acme/cashbox",
        12,
        action="opened",
        head_sha="4d1c2b3a" * 5,
        base_sha="0a1b2c3d" * 5,
        head_ref="add-tax",
        title="Add tax",
        sender="jonas",
    )
    return GitHubDelivery(event="pull_request", payload=payload)


async def _begin(worker: "Worker", delivery: GitHubDelivery) -> tuple[RunRef, NormalisedEvent, Target]:
    run = await worker.take_on(delivery)
    event = await worker.ingest(run)
    target = await worker.resolve(run, event)
    assert isinstance(target, Target)
    return run, event, target


async def _verdict(worker: "Worker", run: RunRef, event: NormalisedEvent, target: Target) -> Trusted | NeedsApproval:
    async def work(record: StepRecord, *, event: NormalisedEvent, target: Target) -> Trusted | NeedsApproval:
        found = await verdict(record, event, target)
        async with worker.database.transaction() as session:
            return await record.complete(session, found)

    kinds = Trusted | NeedsApproval
    return await run_step(worker.runtime, run, Step.SELECT_PROMPT, kinds, partial(work, event=event, target=target))


async def test_who_can_push_is_trusted_without_asking(worker: "Worker", github: RunningEmulator, push: "Push") -> None:
    assert await _verdict(worker, *await _begin(worker, push())) == Trusted()
    assert github.recorder.requests == []


async def test_an_api_that_is_not_like_githubs_can_tell_of_nobody(worker: "Worker", github: RunningEmulator) -> None:
    begun = await _begin(worker, _pull_request())
    github.recorder.queue_fault(Fault(status=404, times=2))

    assert await _verdict(worker, *begun) == Trusted()


async def test_a_repository_that_github_knows_but_tells_nothing_of(worker: "Worker", github: RunningEmulator) -> None:
    begun = await _begin(worker, _pull_request())
    github.recorder.queue_fault(Fault(status=422))
    found = await _verdict(worker, *begun)

    assert found == NeedsApproval("jonas is not known to have write permission in acme/cashbox")


async def test_github_being_out_of_order_is_waited_for_twice(worker: "Worker", github: RunningEmulator) -> None:
    begun = await _begin(worker, _pull_request())
    for _ in range(2):
        github.recorder.queue_fault(Fault(status=503))
        with pytest.raises(OutboundError):
            await _verdict(worker, *begun)
    github.recorder.queue_fault(Fault(status=503, times=2))

    assert isinstance(await _verdict(worker, *begun), NeedsApproval)
