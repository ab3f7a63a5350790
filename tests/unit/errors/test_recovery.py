import asyncio
import gc
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from contexten_core.errors import ConfigurationError, OutboundError, RecoverableError
from contexten_core.errors.classify import classify
from contexten_core.errors.http_status import asked_to_wait
from contexten_core.errors.recovery import Recovery, arguments_for, recover
from contexten_core.errors.strategies import BuiltInStrategies, Strategy
from contexten_core.settings import IntegrationsConfig

NOW = datetime(2026, 1, 7, 10, 0, tzinfo=UTC)
REQUEST = httpx.Request("GET", "https://api.github.com/user")
PROMPT = IntegrationsConfig(api_retry_delay_seconds=0.001)


class Operation:
    """Fails as often as it is told to, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self._failures:
            raise self._failures.pop(0)
        return "done"


async def _recover(
    error: Exception,
    *,
    operation: Callable[[], Any] | None = None,
    attempts: int = 3,
    limit_seconds: float = 30,
    extra: Mapping[str, Strategy] | None = None,
    **context: Any,
) -> Recovery:
    given = context if operation is None else {**context, "operation": operation}
    return await recover(
        error,
        given,
        classification=classify(error, given),
        strategies={**BuiltInStrategies(None, PROMPT).by_name(), **(extra or {})},
        attempts=attempts,
        limit_seconds=limit_seconds,
    )


def _prepared(error: BaseException, context: Mapping[str, Any]) -> dict[str, Any]:
    return {"success": True, "strategy": "custom", "action": f"prepared for {error} in {context['place']}"}


def _too_many(retry_after: str) -> httpx.HTTPStatusError:
    response = httpx.Response(429, headers={"Retry-After": retry_after}, request=REQUEST)
    return httpx.HTTPStatusError("too many", request=REQUEST, response=response)


async def test_success_means_that_the_operation_then_succeeded() -> None:
    operation = Operation(httpx.ConnectError("still away"))

    recovery = await _recover(httpx.ConnectError("away"), operation=operation)

    assert recovery.attempted
    assert recovery.successful
    assert operation.calls == 2
    assert recovery.details is not None
    assert recovery.details.pop("action").startswith("ready to call again after")
    assert recovery.details == {"success": True, "strategy": "api_timeout", "attempts": 2, "result": "done"}


async def test_an_operation_that_goes_on_failing_is_given_up_after_the_configured_tries() -> None:
    operation = Operation(*(httpx.ConnectError(str(number)) for number in range(9)))

    recovery = await _recover(httpx.ConnectError("away"), operation=operation, attempts=3)

    assert (recovery.attempted, recovery.successful, operation.calls) == (True, False, 3)
    assert recovery.details is not None
    assert recovery.details["error"] == "the operation failed again: ConnectError: 2"
    assert "result" not in recovery.details


async def test_without_an_operation_it_says_why_it_could_not_succeed() -> None:
    async with asyncio.timeout(20):
        recovery = await _recover(_too_many("25"))

    assert (recovery.attempted, recovery.successful) == (True, False)
    assert recovery.details == {
        "success": False,
        "strategy": "rate_limit",
        "attempts": 0,
        "action": "the service asks to wait 25.0 s",
        "error": "the context has no `operation` to run again",
    }


async def test_what_will_not_pass_is_not_tried_again() -> None:
    operation = Operation()

    for error in (ValueError("x"), OutboundError("GitHub answered 404"), PermissionError()):
        assert await _recover(error, operation=operation) == Recovery()

    assert operation.calls == 0


async def test_it_stops_when_the_operation_fails_in_a_way_that_will_not_pass() -> None:
    operation = Operation(ValueError("a bug"), ValueError("a bug"))

    recovery = await _recover(httpx.ConnectError("away"), operation=operation)

    assert (recovery.successful, operation.calls) == (False, 1)


async def test_a_strategy_that_is_named_is_tried_whatever_the_error() -> None:
    operation = Operation(ValueError("again"))

    recovery = await _recover(ValueError("x"), operation=operation, recovery_strategy="memory_limit")

    assert (recovery.successful, operation.calls) == (True, 2)


async def test_an_error_may_name_its_strategy() -> None:
    operation = Operation()
    extra = {"custom": _prepared}

    recovery = await _recover(RecoverableError("x", "custom"), operation=operation, extra=extra, place="here")

    assert recovery.details == {
        "success": True,
        "strategy": "custom",
        "attempts": 1,
        "action": "prepared for x in here",
        "result": "done",
    }
    refused = RecoverableError("x", "custom", recoverable=False)
    assert await _recover(refused, operation=operation, extra=extra, place="here") == Recovery()


async def test_a_custom_strategy_alone_is_no_success_either() -> None:
    recovery = await _recover(RecoverableError("x", "custom"), extra={"custom": _prepared}, place="here")

    assert (recovery.attempted, recovery.successful) == (True, False)


@pytest.mark.parametrize(
    ("error", "strategy"),
    [
        (ConnectionError("the database closed the connection"), "database_connection"),
        (RuntimeError("Connection timeout talking to api.github.com"), "api_timeout"),
        (TimeoutError(), "api_timeout"),
        (_too_many("1"), "rate_limit"),
        (OutboundError("wait", transient=True, retry_after=2), "rate_limit"),
        (MemoryError(), "memory_limit"),
    ],
    ids=repr,
)
async def test_the_structure_of_the_error_chooses_the_strategy(error: Exception, strategy: str) -> None:
    recovery = await _recover(error)

    assert recovery.details is not None
    assert recovery.details["strategy"] == strategy


async def test_the_database_is_left_alone_for_an_error_of_a_service() -> None:
    operation = Operation()

    recovery = await _recover(
        RuntimeError("Connection timeout talking to api.github.com"),
        operation=operation,
        recovery_strategy="database_connection",
    )

    assert (recovery.attempted, operation.calls) == (False, 0)
    assert recovery.details is not None
    assert "nothing to do with" in recovery.details["error"]


async def test_an_unknown_strategy_is_said_to_be_unknown() -> None:
    recovery = await _recover(RecoverableError("x", "prayer"), operation=Operation())

    assert not recovery.attempted
    assert recovery.details is not None
    assert "api_timeout, database_connection, memory_limit, rate_limit" in recovery.details["error"]


async def test_no_attempts_means_none() -> None:
    operation = Operation()

    assert not (await _recover(TimeoutError(), operation=operation, attempts=0)).attempted
    assert operation.calls == 0


async def test_it_ends_when_its_time_is_up() -> None:
    recovery = await _recover(TimeoutError(), operation=partial(asyncio.sleep, 60), limit_seconds=0.05)

    assert (recovery.attempted, recovery.successful) == (True, False)
    assert recovery.details is not None
    assert recovery.details["error"].startswith("not done within 0.05 s")


async def test_a_success_that_comes_too_late_does_not_count() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done after all"
        return "done"

    assert not (await _recover(TimeoutError(), operation=stubborn, limit_seconds=0.05)).successful


async def test_it_can_be_cancelled() -> None:
    task = asyncio.create_task(_recover(TimeoutError(), operation=partial(asyncio.sleep, 60)))
    await asyncio.sleep(0.02)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_sync_operation_does_not_hold_up_the_others() -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def operation() -> str:
        asyncio.run_coroutine_threadsafe(ended.wait(), loop).result(20)
        return "done"

    loop.call_later(0.05, ended.set)

    assert (await _recover(TimeoutError(), operation=operation)).successful


async def test_an_operation_may_be_a_lambda_around_a_coroutine() -> None:
    operation = Operation()

    assert (await _recover(TimeoutError(), operation=lambda: operation())).successful  # noqa: PLW0108 - as people write it


async def test_a_strategy_that_breaks_does_not_hide_the_error() -> None:
    def broken() -> None:
        raise KeyError("x")

    recovery = await _recover(RecoverableError("x", "broken"), operation=Operation(), extra={"broken": broken})

    assert (recovery.attempted, recovery.successful) == (True, False)
    assert recovery.details is not None
    assert recovery.details["error"] == "the strategy failed: KeyError: 'x'"


async def test_a_strategy_that_cannot_prepare_keeps_the_operation_from_running() -> None:
    operation = Operation()
    strategies = {"refuse": lambda: {"success": False, "strategy": "refuse", "error": "not today"}}

    recovery = await _recover(RecoverableError("x", "refuse"), operation=operation, extra=strategies)

    assert operation.calls == 0
    assert recovery.details is not None
    assert recovery.details["error"] == "not today"


async def _async_of_two(error: BaseException, context: Mapping[str, Any]) -> dict[str, Any]:
    return {"success": True, "strategy": "x", "action": f"{error} {context['place']}"}


@pytest.mark.parametrize(
    ("strategy", "action"),
    [
        (lambda error, context: {"success": True, "action": f"{error} {context['place']}"}, "boom here"),
        (_async_of_two, "boom here"),
        (lambda error: {"success": True, "action": str(error)}, "boom"),
        (lambda context: {"success": True, "action": context["place"]}, "here"),
        (lambda *both: {"success": True, "action": f"{both[0]} {both[1]['place']}"}, "boom here"),
        (lambda: {"success": True, "action": "of nothing"}, "of nothing"),
        (lambda: None, "ran x"),
        (lambda: True, "ran x"),
    ],
)
async def test_a_strategy_takes_what_it_wants(strategy: Strategy, action: str) -> None:
    recovery = await _recover(RecoverableError("boom", "x"), operation=Operation(), extra={"x": strategy}, place="here")

    assert recovery.successful
    assert recovery.details is not None
    assert recovery.details["action"] == action


@pytest.mark.parametrize("strategy", [lambda a, b, c: None, lambda *, needed: None, "no function", None])
def test_what_cannot_be_called_as_a_strategy_is_refused(strategy: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot be called as a recovery strategy"):
        arguments_for(strategy, Exception(), {})


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (OutboundError("x", retry_after=2.5), 2.5),
        (_too_many("7"), 7.0),
        (_too_many("Wed, 07 Jan 2026 10:00:20 GMT"), 20.0),
        (_too_many("Wed, 07 Jan 2026 09:00:00 GMT"), 0.0),
        (_too_many("soon"), None),
        (_too_many("Infinity"), None),
        (ValueError(), None),
    ],
)
def test_how_long_the_other_side_asks_us_to_wait(error: Exception, seconds: float | None) -> None:
    assert asked_to_wait(error, now=NOW) == seconds


def test_the_wish_to_wait_is_found_under_a_wrapper() -> None:
    wrapper = RuntimeError("no")
    wrapper.__cause__ = _too_many("3")

    assert asked_to_wait(wrapper, now=NOW) == timedelta(seconds=3).total_seconds()


async def test_a_wait_longer_than_a_recovery_may_take_is_not_begun() -> None:
    operation = Operation()

    recovery = await _recover(_too_many("120"), operation=operation)

    assert (recovery.attempted, recovery.successful, operation.calls) == (True, False, 0)
    assert recovery.details is not None
    assert "120 s" in recovery.details["error"]


async def test_every_built_in_strategy_answers_by_itself() -> None:
    strategies = BuiltInStrategies(None, PROMPT).by_name()

    answers = {name: await strategy(TimeoutError(), {}) for name, strategy in strategies.items()}

    assert set(answers) == {"database_connection", "api_timeout", "rate_limit", "memory_limit"}
    for name, answer in answers.items():
        assert answer["strategy"] == name
        assert set(answer) == {"success", "strategy", "action" if answer["success"] else "error"}


async def test_freeing_memory_frees_circles_of_garbage() -> None:
    class Node:
        def __init__(self) -> None:
            self.other: Node = self

    gc.collect()
    Node()

    answer = await BuiltInStrategies(None, PROMPT).memory_limit(MemoryError(), {})

    assert answer["action"] != "freed 0 unreachable objects"
