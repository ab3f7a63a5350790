"""Of many pushes one is worth a run; the commits of all the others are told so, once each."""

from typing import TYPE_CHECKING

from contexten.emulators.sender import GitHubDelivery, pull_request_payload
from contexten_core.events import run_store
from contexten_core.events.cancel import cancel_run, end_or_hand_back
from contexten_core.events.claim import RunRef
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice

if TYPE_CHECKING:
    from tests.component.conftest import Worker
    from tests.component.integrations.conftest import Dispatcher


def _commit(number: int) -> str:
    return f"{number:08x}" * 5


def _push(number: int, *, action: str = "synchronize") -> GitHubDelivery:
    payload = pull_request_payload(
        "acme/cashbox",
        7,
        action=action,
        head_sha=_commit(number),
        base_sha="f" * 40,
        before=_commit(number - 1),
        head_ref="add-tax",
        title="Add tax",
        sender="jonas",
    )
    return GitHubDelivery(event="pull_request", payload=payload)


async def _begin(worker: "Worker", run: RunRef) -> None:
    """Select the run's prompt, which is when it first says something."""
    event = await worker.ingest(run)
    target = await worker.resolve(run, event)
    assert isinstance(target, Target)
    assert isinstance(await worker.select(run, event, target), Choice)


async def _told(dispatcher: "Dispatcher") -> dict[str, list[tuple[str, str | None]]]:
    """Deliver everything, and return what GitHub was told of each commit."""
    while await dispatcher.deliver():
        pass
    found: dict[str, list[tuple[str, str | None]]] = {}
    for status in dispatcher.github.recorder.statuses:
        found.setdefault(status.sha, []).append((status.state.value, status.description))
    return found


async def test_twenty_pushes_that_wait_end_with_one_final_status_each(dispatcher: "Dispatcher") -> None:
    worker = dispatcher.worker
    await worker.add_project("acme/cashbox")
    for number in range(1, 21):
        await worker.receive(_push(number))
    run = await worker.claim()
    await _begin(worker, run)

    last = _commit(20)
    told = {_commit(number): [("error", f"Superseded by {last[:12]}")] for number in range(1, 20)}
    assert await _told(dispatcher) == told | {last: [("pending", "Running")]}
    page = f"https://contexten.acme.example/runs/{run.run_id}"
    contexts = {(status.context, status.target_url == page) for status in dispatcher.github.recorder.statuses}
    assert contexts == {("contexten/acme-cashbox-checks", False), ("contexten/acme-cashbox-checks", True)}


async def test_each_run_that_began_says_itself_what_superseded_it(dispatcher: "Dispatcher") -> None:
    worker = dispatcher.worker
    await worker.add_project("acme/cashbox")
    began = await worker.take_on(_push(1))
    await _begin(worker, began)
    await worker.receive(_push(2))
    await end_or_hand_back(worker.runtime, began)
    await _begin(worker, await worker.claim())

    assert await _told(dispatcher) == {
        _commit(1): [("pending", "Running"), ("error", f"Superseded by {_commit(2)[:12]}")],
        _commit(2): [("pending", "Running")],
    }


async def test_a_run_that_was_stopped_before_it_spoke_is_spoken_for(dispatcher: "Dispatcher") -> None:
    worker = dispatcher.worker
    await worker.add_project("acme/cashbox")
    await worker.receive(_push(1))
    silent = await worker.take_on(_push(2))
    await worker.receive(_push(3))
    await worker.receive(_push(4))
    await end_or_hand_back(worker.runtime, silent)
    last = await worker.claim()
    await _begin(worker, last)

    ended = [("error", f"Superseded by {_commit(4)[:12]}")]
    assert await _told(dispatcher) == {_commit(number): ended for number in (1, 2, 3)} | {
        _commit(4): [("pending", "Running")]
    }
    async with worker.database.reading() as session:
        run = await run_store.get(session, last.run_id)
    assert run is not None
    assert len(run.causes or []) == 3


async def test_a_commit_that_has_its_status_keeps_it(dispatcher: "Dispatcher") -> None:
    worker = dispatcher.worker
    await worker.add_project("acme/cashbox")
    first = await worker.take_on(_push(1))
    await _begin(worker, first)
    async with worker.database.transaction() as session:
        await cancel_run(session, first.run_id, by="mona")
    await end_or_hand_back(worker.runtime, first)
    await worker.receive(_push(1, action="reopened"))
    await worker.receive(_push(2))
    await _begin(worker, await worker.claim())

    assert (await _told(dispatcher))[_commit(1)] == [("pending", "Running"), ("error", "Cancelled: cancelled by mona")]
