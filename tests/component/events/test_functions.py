"""Functions that are registered for events: each call is made, once, whatever happens to its process."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from contexten_core.db import Database, utc_now
from contexten_core.events import function_store
from contexten_core.events.emit import emit
from contexten_core.events.functions import MOST_RETRIES, FunctionRunner, Returned, queue
from contexten_core.events.handlers import Handler, HandlerRegistry
from contexten_core.events.inputs import EventLog
from contexten_core.events.log import log_event
from contexten_core.events.models import EventHandlerModel, EventModel, EventProvider, EventStatus, HandlerStatus
from contexten_core.settings import DatabaseConfig

EVENT_TYPE = "something_happened"


class Errors:
    """Remembers what it was told of."""

    def __init__(self) -> None:
        self.seen: list[BaseException] = []

    async def record(self, error: BaseException, *, context: dict[str, Any] | None = None) -> str:
        self.seen.append(error)
        return "err"


class Process:
    """One process that has functions and looks for calls to make."""

    def __init__(self, database: Database, *, owner: str = "first") -> None:
        self.database = database
        self.registry = HandlerRegistry()
        self.errors = Errors()
        self.runner = FunctionRunner(database, self.registry, self.errors, owner=owner)

    def on(self, name: str, call: Callable[[Any], Any], *, provider: EventProvider = EventProvider.SYSTEM) -> "Process":
        self.registry.add(Handler(name, provider, lambda found, _: found == EVENT_TYPE, call))
        return self

    async def emit(self, data: dict[str, Any] | None = None) -> tuple[UUID, list[Returned]]:
        """Emit an event of this process's own and make its calls."""
        async with self.database.transaction() as session:
            event = await emit(session, EVENT_TYPE, data or {}, held_by=self.runner.owner)
            rows = self.runner.hold(session, event)
        return event.id, await self.runner.call(event, rows)

    async def event(self, event_id: UUID) -> EventModel:
        async with self.database.reading() as session:
            event = await session.get(EventModel, event_id)
            assert event is not None
            return event

    async def calls(self, event_id: UUID) -> Sequence[EventHandlerModel]:
        async with self.database.reading() as session:
            return await function_store.calls_of(session, event_id)

    async def later(self, event_id: UUID) -> int:
        """Let the time of what is to be tried again, and every lease, pass; then make what is due."""
        async with self.database.transaction() as session:
            for row in await function_store.calls_of(session, event_id):
                past = utc_now() - timedelta(seconds=1)
                row.available_at = min(row.available_at or past, past)
                row.lease_expires_at = past if row.lease_expires_at else None
        return await self.runner.call_due()


@pytest.fixture
def process(database: Database) -> Process:
    return Process(database)


async def emitted_elsewhere(database: Database) -> UUID:
    async with database.transaction() as session:
        return (await emit(session, EVENT_TYPE, {"task_id": "7"})).id


async def logged(database: Database, process: Process) -> UUID:
    """Store an event of a provider as a webhook does, with its functions queued."""
    async with database.transaction() as session:
        event = await log_event(session, EventLog(event_type=EVENT_TYPE, provider=EventProvider.GITHUB))
        queue(session, event_id=event.id, handlers=process.registry.matching(event.provider, EVENT_TYPE, {}))
        return event.id


def endless() -> list[Any]:
    """Return a list that contains itself."""
    found: list[Any] = []
    found.append(found)
    return found


class TestCallsOfOnesOwnEvents:
    async def test_all_functions_are_called_and_what_they_return_is_kept(self, process: Process) -> None:
        async def waiting(data: dict[str, Any]) -> str:
            await asyncio.sleep(0)
            return f"async {data['number']}"

        def blocking(data: dict[str, Any]) -> str:
            assert threading.current_thread() is not threading.main_thread()
            return f"sync {data['number']}"

        process.on("one", waiting).on("two", blocking)

        event_id, returned = await process.emit({"number": 7})

        assert [each.value for each in returned] == ["async 7", "sync 7"]
        event, calls = await process.event(event_id), await process.calls(event_id)
        assert (event.status, event.retry_count, event.error_message) == (EventStatus.COMPLETED, 0, None)
        assert event.processed_at is not None
        assert event.lease_owner is None
        assert [call.output_data for call in calls] == [{"result": "async 7"}, {"result": "sync 7"}]
        assert all(call.status is HandlerStatus.COMPLETED and call.lease_owner is None for call in calls)
        assert all(call.duration_ms is not None and call.duration_ms >= 0 for call in calls)

    async def test_an_event_without_functions_ends_at_once(self, process: Process) -> None:
        event_id, returned = await process.emit()

        event = await process.event(event_id)
        assert returned == []
        assert event.status is EventStatus.COMPLETED
        assert event.processed_at is not None

    async def test_they_are_called_side_by_side(self, process: Process) -> None:
        both = asyncio.Barrier(2)
        process.on("one", lambda _: both.wait()).on("two", lambda _: both.wait())

        async with asyncio.timeout(5):
            _, returned = await process.emit()

        assert [each.error for each in returned] == [None, None]

    async def test_what_one_changes_in_the_data_the_others_do_not_see(self, process: Process) -> None:
        async def greedy(data: dict[str, Any]) -> None:
            data["list"].clear()

        async def reader(data: dict[str, Any]) -> list[int]:
            return list(data["list"])

        process.on("greedy", greedy).on("reader", reader)

        event_id, returned = await process.emit({"list": [1, 2]})

        assert returned[1].value == [1, 2]
        assert (await process.event(event_id)).payload == {"list": [1, 2]}

    async def test_one_that_raises_is_recorded_and_keeps_no_other_from_running(self, process: Process) -> None:
        async def broken(_: Any) -> None:
            raise RuntimeError("full of bees")

        process.on("broken", broken).on("sound", lambda _: "fine")

        event_id, returned = await process.emit()

        event, calls = await process.event(event_id), await process.calls(event_id)
        assert isinstance(returned[0].error, RuntimeError)
        assert returned[1].value == "fine"
        assert [call.status for call in calls] == [HandlerStatus.RETRYING, HandlerStatus.COMPLETED]
        assert calls[0].error_message == "RuntimeError: full of bees"
        assert "in broken" in str(calls[0].error_stack_trace)
        assert (event.status, event.retry_count) == (EventStatus.RETRYING, 1)
        assert event.processed_at is None
        assert [str(error) for error in process.errors.seen] == ["full of bees"]

    @pytest.mark.parametrize("value", [object(), b"\xff", {1: {2}}, float("inf"), 2**70, "x" * 50_000, endless()])
    async def test_whatever_one_returns_it_was_called(self, process: Process, value: Any) -> None:
        process.on("one", lambda _: value)

        event_id, returned = await process.emit()

        (call,) = await process.calls(event_id)
        assert returned[0].value is value
        assert call.status is HandlerStatus.COMPLETED
        assert len(repr(call.output_data)) < 11_000

    async def test_one_whose_error_has_no_text_has_failed_all_the_same(self, process: Process) -> None:
        class MuteError(Exception):
            def __str__(self) -> str:
                raise RuntimeError("mute")

        async def broken(_: Any) -> None:
            raise MuteError

        process.on("broken", broken)

        event_id, _ = await process.emit()

        (call,) = await process.calls(event_id)
        assert "MuteError" in str(call.error_message)

    @pytest.mark.parametrize("text", ["a\x00b", "half \ud800 pair", "x" * 50_000])
    async def test_whatever_one_says_when_it_fails_can_be_stored(self, process: Process, text: str) -> None:
        async def broken(_: Any) -> None:
            raise ValueError(text)

        process.on("broken", broken)

        event_id, _ = await process.emit()

        (call,) = await process.calls(event_id)
        assert call.status is HandlerStatus.RETRYING
        assert "ValueError" in str(call.error_message)
        assert len(str(call.error_message)) <= 2_100

    @pytest.mark.parametrize("value", ["a\x00b", "half \ud800 pair"])
    async def test_text_that_no_database_keeps_may_be_returned(self, process: Process, value: str) -> None:
        process.on("one", lambda _: {value: [value]})

        event_id, returned = await process.emit()

        (call,) = await process.calls(event_id)
        assert returned[0].value == {value: [value]}
        assert call.status is HandlerStatus.COMPLETED

    async def test_a_timeout_of_its_own_is_told_as_it_was(self, process: Process) -> None:
        async def impatient(_: Any) -> None:
            raise TimeoutError("the upstream is slow")

        process.on("impatient", impatient)

        event_id, _ = await process.emit()

        (call,) = await process.calls(event_id)
        assert call.error_message == "TimeoutError: the upstream is slow"

    async def test_one_that_waits_for_what_is_cancelled_has_failed(self, process: Process) -> None:
        async def waiting(_: Any) -> None:
            doomed = asyncio.get_running_loop().create_future()
            doomed.cancel()
            await doomed

        process.on("waiting", waiting)

        event_id, returned = await process.emit()

        assert "waited for what was cancelled" in str(returned[0].error)
        assert (await process.event(event_id)).status is EventStatus.RETRYING


class TestRetries:
    async def test_one_that_failed_is_called_again_and_the_event_completes(self, process: Process) -> None:
        attempts: list[int] = []

        def flaky(_: Any) -> str:
            attempts.append(1)
            if len(attempts) < 3:
                raise RuntimeError("not yet")
            return "done"

        process.on("flaky", flaky)
        event_id, _ = await process.emit()

        assert await process.runner.call_due() == 0, "it waits a little first"
        assert await process.later(event_id) == 1
        assert (await process.event(event_id)).retry_count == 2
        assert await process.later(event_id) == 1

        event = await process.event(event_id)
        (call,) = await process.calls(event_id)
        assert (event.status, event.retry_count, event.error_message) == (EventStatus.COMPLETED, 2, None)
        assert (call.output_data, call.error_message, call.error_stack_trace) == ({"result": "done"}, None, None)

    async def test_there_are_three_of_them(self, process: Process) -> None:
        attempts: list[int] = []

        def broken(_: Any) -> None:
            attempts.append(1)
            raise RuntimeError("never works")

        process.on("broken", broken).on("sound", lambda _: None)
        event_id, _ = await process.emit()
        for _ in range(MOST_RETRIES + 3):
            await process.later(event_id)

        event, calls = await process.event(event_id), await process.calls(event_id)
        assert len(attempts) == 1 + MOST_RETRIES
        assert [call.status for call in calls] == [HandlerStatus.FAILED, HandlerStatus.COMPLETED]
        assert (event.status, event.retry_count) == (EventStatus.FAILED, MOST_RETRIES)
        assert event.error_message == "broken: RuntimeError: never works"
        assert event.processed_at is not None

    async def test_the_pauses_grow(self, process: Process) -> None:
        def broken(_: Any) -> None:
            raise RuntimeError

        process.on("broken", broken)
        event_id, _ = await process.emit()
        pauses = []
        for _ in range(MOST_RETRIES):
            (call,) = await process.calls(event_id)
            assert call.available_at is not None
            assert call.completed_at is not None
            pauses.append((call.available_at - call.completed_at).total_seconds())
            await process.later(event_id)

        assert pauses == [1, 2, 4]


class TestProcessesThatGoAway:
    async def test_a_call_whose_process_is_gone_is_made_by_another(self, database: Database, process: Process) -> None:
        other = Process(database, owner="second").on("one", lambda _: "the second did it")
        process.on("one", lambda _: "the first did it")
        async with database.transaction() as session:
            event = await emit(session, EVENT_TYPE, {}, held_by="first")
            process.runner.hold(session, event)

        assert await other.runner.call_due() == 0, "its lease still holds"
        assert await other.later(event.id) == 1

        (call,) = await other.calls(event.id)
        ended = await other.event(event.id)
        assert call.output_data == {"result": "the second did it"}
        assert (ended.status, ended.retry_count) == (EventStatus.COMPLETED, 1)

    async def test_one_that_kills_its_process_is_given_up_after_three_retries(
        self, database: Database, process: Process
    ) -> None:
        def deadly(_: Any) -> None:
            raise AssertionError("this process never gets to call it")

        process.on("deadly", deadly)
        async with database.transaction() as session:
            event = await emit(session, EVENT_TYPE, {}, held_by="first")
            process.runner.hold(session, event)
        for number in range(MOST_RETRIES):
            async with database.transaction() as session:
                (row,) = await function_store.calls_of(session, event.id)
                row.lease_expires_at = utc_now() - timedelta(seconds=1)
            async with database.transaction() as session:
                claimed = await process.runner._claim(session, utc_now())
            assert len(claimed) == 1, number

        assert await process.later(event.id) == 0

        (call,) = await process.calls(event.id)
        ended = await process.event(event.id)
        assert call.status is HandlerStatus.FAILED
        assert "process went away" in str(call.error_message)
        assert ended.status is EventStatus.FAILED
        assert ended.processed_at is not None

    async def test_one_that_was_thought_dead_does_not_overwrite_what_its_successor_did(
        self, database: Database, process: Process
    ) -> None:
        other = Process(database, owner="second").on("one", lambda _: "the second did it")
        started, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_: Any) -> str:
            started.set()
            await go_on.wait()
            return "too late"

        process.on("one", slow)
        emitting = asyncio.create_task(process.emit())
        await started.wait()
        async with database.reading() as session:
            (row,) = await function_store.due(session, names={"one"}, now=utc_now() + timedelta(hours=1), limit=1)
        assert await other.later(row.event_id) == 1
        go_on.set()
        event_id, _ = await emitting

        (call,) = await other.calls(event_id)
        assert call.output_data == {"result": "the second did it"}


class TestQueuedCalls:
    async def test_an_event_of_a_worker_is_picked_up(self, database: Database, process: Process) -> None:
        seen: list[Any] = []
        process.on("one", seen.append)

        event_id = await emitted_elsewhere(database)
        assert await process.runner.call_due() == 1

        assert seen == [{"task_id": "7"}]
        assert (await process.event(event_id)).status is EventStatus.COMPLETED

    async def test_one_that_nobody_has_a_function_for_is_closed(self, database: Database, process: Process) -> None:
        event_id = await emitted_elsewhere(database)

        assert await process.runner.call_due() == 0

        event = await process.event(event_id)
        assert event.status is EventStatus.COMPLETED
        assert event.processed_at is not None

    async def test_two_processes_make_each_call_once(self, database: Database, database_config: DatabaseConfig) -> None:
        second_database = Database(database_config)
        calls: list[UUID] = []
        processes = [Process(database, owner="first"), Process(second_database, owner="second")]
        for each in processes:
            each.on("one", lambda data: calls.append(data["number"]))
        for number in range(30):
            async with database.transaction() as session:
                await emit(session, EVENT_TYPE, {"number": number})
        try:
            while sum(await asyncio.gather(*(each.runner.call_due() for each in processes for _ in (1, 2)))):
                pass
        finally:
            await second_database.close()

        assert sorted(calls) == list(range(30))

    async def test_a_deliverys_status_is_not_its_functions_business(self, database: Database, process: Process) -> None:
        process.on("one", lambda _: "done", provider=EventProvider.GITHUB)
        event_id = await logged(database, process)

        assert await process.runner.call_due() == 1

        event = await process.event(event_id)
        (call,) = await process.calls(event_id)
        assert call.status is HandlerStatus.COMPLETED
        assert (event.status, event.processed_at) == (EventStatus.PENDING, None)

    async def test_calls_of_functions_that_another_has_are_left_to_it(
        self, database: Database, process: Process
    ) -> None:
        other = Process(database, owner="second").on("theirs", lambda _: "x", provider=EventProvider.GITHUB)
        event_id = await logged(database, other)

        assert await process.runner.call_due() == 0
        assert await other.runner.call_due() == 1
        assert [call.handler_name for call in await other.calls(event_id)] == ["theirs"]

    async def test_polling_makes_calls_until_it_is_stopped(self, database: Database, process: Process) -> None:
        made = asyncio.Event()
        stop = asyncio.Event()

        async def one(_: Any) -> None:
            made.set()

        process.on("one", one)
        polling = asyncio.create_task(process.runner.poll(stop=stop))
        event_id = await emitted_elsewhere(database)
        async with asyncio.timeout(20):
            await made.wait()
            stop.set()
            await polling

        assert (await process.event(event_id)).status is EventStatus.COMPLETED

    async def test_polling_survives_functions_and_databases_that_fail(
        self, database: Database, database_config: DatabaseConfig, process: Process
    ) -> None:
        made, stop = asyncio.Event(), asyncio.Event()

        async def cancelling(data: dict[str, Any]) -> None:
            if "good" in data:
                made.set()
                return
            doomed = asyncio.get_running_loop().create_future()
            doomed.cancel()
            await doomed

        process.on("one", cancelling)
        await database.close()
        polling = asyncio.create_task(process.runner.poll(stop=stop))
        await asyncio.sleep(0.05)
        database.open(database_config)
        await emitted_elsewhere(database)
        async with database.transaction() as session:
            await emit(session, EVENT_TYPE, {"good": True})
        async with asyncio.timeout(20):
            await made.wait()
            stop.set()
            await polling

    async def test_looking_in_vain_writes_nothing(self, database: Database, process: Process) -> None:
        """A second writer could not begin on SQLite while this one looked."""
        process.on("one", lambda _: None)
        stop = asyncio.Event()
        async with database.transaction():
            polling = asyncio.create_task(process.runner.poll(stop=stop))
            await asyncio.sleep(0.05)
            stop.set()
            async with asyncio.timeout(5):
                await polling
