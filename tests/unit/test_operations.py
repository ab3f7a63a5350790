"""At most so many operations at once, each for at most so long."""

import asyncio
import threading
from typing import Any

import pytest

from contexten_core.errors import OperationTimeoutError, OverloadedError, is_transient
from contexten_core.operations import Operations


async def test_an_operation_is_given_its_arguments_and_its_result_is_returned() -> None:
    async def add(first: int, *, second: int) -> int:
        return first + second

    assert await Operations(most=1, seconds=5).run("add", add, 1, second=2) == 3
    assert await Operations(most=1, seconds=5).run("dict", dict, name="Mona", operation="none") == {
        "name": "Mona",
        "operation": "none",
    }


async def test_a_function_that_is_not_async_runs_in_a_thread() -> None:
    assert await Operations(most=1, seconds=5).run("where", threading.current_thread) is not threading.main_thread()


async def test_what_a_sync_function_returns_is_awaited_where_it_has_to_be() -> None:
    async def answer() -> int:
        return 42

    def start() -> Any:
        return answer()

    assert await Operations(most=1, seconds=5).run("answer", start) == 42


async def test_no_more_than_the_limit_run_at_once_and_all_run_in_the_end() -> None:
    operations = Operations(most=3, seconds=5)
    running, seen = 0, []

    async def operation() -> None:
        nonlocal running
        running += 1
        seen.append(running)
        await asyncio.sleep(0.01)
        running -= 1

    await asyncio.gather(*(operations.run("some", operation) for _ in range(12)))

    assert len(seen) == 12
    assert max(seen) == 3


async def test_one_that_takes_too_long_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    with pytest.raises(OperationTimeoutError, match=r"slow did not end within 0\.05 s") as caught:
        await Operations(most=1, seconds=0.05).run("slow", slow)

    assert cancelled.is_set()
    assert "RESPONSE_TIMEOUT_SECONDS" in str(caught.value.hint)


async def test_one_that_finds_no_place_is_refused_and_may_come_again() -> None:
    operations = Operations(most=1, seconds=0.05)
    leave = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await leave.wait()

    occupying = asyncio.create_task(operations.run("stubborn", stubborn))
    await asyncio.sleep(0)

    with pytest.raises(OverloadedError, match="no place among 1 operations") as caught:
        await operations.run("late", asyncio.sleep, 0)

    assert is_transient(caught.value)
    assert "MAX_CONCURRENT_OPERATIONS" in str(caught.value.hint)
    leave.set()
    with pytest.raises(OperationTimeoutError):
        await occupying


@pytest.mark.parametrize("ending", ["returns", "raises", "times out", "is cancelled"])
async def test_a_place_becomes_free_however_an_operation_ends(ending: str) -> None:
    operations = Operations(most=1, seconds=0.1)

    async def operation() -> None:
        if ending == "raises":
            raise ValueError
        await asyncio.sleep({"returns": 0}.get(ending, 60))

    work = asyncio.create_task(operations.run("first", operation))
    await asyncio.sleep(0.01)
    if ending == "is cancelled":
        work.cancel()
    await asyncio.wait([work])

    assert await operations.run("second", lambda: "ran") == "ran"
    _ = work.cancelled() or work.exception()


async def test_a_timeout_of_its_own_is_the_operations_business() -> None:
    async def impatient() -> None:
        raise TimeoutError("the upstream is slow")

    with pytest.raises(TimeoutError, match="the upstream is slow") as caught:
        await Operations(most=1, seconds=5).run("impatient", impatient)

    assert not isinstance(caught.value, OperationTimeoutError)


async def test_whoever_cancels_the_caller_is_obeyed() -> None:
    async def operation() -> Any:
        await asyncio.sleep(60)

    work = asyncio.create_task(Operations(most=1, seconds=60).run("long", operation))
    await asyncio.sleep(0.01)
    work.cancel()

    with pytest.raises(asyncio.CancelledError):
        await work
