"""Recover from an error: prepare with a strategy, then run what failed again. Only its success is a recovery."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contexten_core.errors.base import ConfigurationError
from contexten_core.errors.classification import Classification
from contexten_core.errors.classified import RecoverableError
from contexten_core.errors.classify import classify
from contexten_core.errors.describe import message_of
from contexten_core.errors.http_status import was_rate_limited
from contexten_core.errors.kinds import ErrorCategory
from contexten_core.errors.redact import safe_str
from contexten_core.errors.strategies import (
    API_TIMEOUT,
    DATABASE_CONNECTION,
    LONGEST_RECOVERY_SECONDS,
    MEMORY_LIMIT,
    RATE_LIMIT,
    Strategy,
)
from contexten_core.errors.transience import is_transient

_LONGEST_REASON = 500
_MOST_ARGUMENTS = 2
_WAITING_HELPS = frozenset({ErrorCategory.EXTERNAL_SERVICE, ErrorCategory.INTEGRATION, ErrorCategory.PERFORMANCE})


@dataclass(frozen=True, slots=True)
class Recovery:
    """What came of trying. `details` says which strategy did what; after a success `result` is the operation's."""

    attempted: bool = False
    successful: bool = False
    details: dict[str, Any] | None = None


@dataclass(slots=True)
class _Course:
    """How far a recovery has come, readable also when its time runs out."""

    strategy: str
    error: BaseException
    named: bool
    attempts: int = 0
    action: str | None = None
    reason: str = "it was not tried"
    result: Any = None

    def ended(self, *, successful: bool) -> Recovery:
        details: dict[str, Any] = {"success": successful, "strategy": self.strategy, "attempts": self.attempts}
        if self.action is not None:
            details["action"] = self.action
        if successful:
            details["result"] = self.result
        else:
            details["error"] = self.reason
        return Recovery(attempted=True, successful=successful, details=details)


async def recover(
    error: BaseException,
    context: Mapping[str, Any],
    *,
    classification: Classification,
    strategies: Mapping[str, Strategy],
    attempts: int,
    limit_seconds: float = LONGEST_RECOVERY_SECONDS,
) -> Recovery:
    """Prepare with the error's strategy and run `context["operation"]` again, up to `attempts` times.

    The operation takes no arguments; a sync one runs in a thread, which goes on when the time runs out. An error that
    will not pass is left alone unless the strategy was named, by the error's `recovery_action` or by
    `context["recovery_strategy"]`.

    Returns:
        The recovery: successful only when the operation succeeded within `limit_seconds`. Never raises what the
        strategy or the operation raised.
    """
    name, named = _choose(error, context, classification)
    if name is None:
        return Recovery()
    if (reason := _obstacle(name, classification, strategies, attempts)) is not None:
        return Recovery(details={"success": False, "strategy": safe_str(name, 100), "attempts": 0, "error": reason})
    course = _Course(name, error, named)
    operation = context.get("operation")
    try:
        async with asyncio.timeout(limit_seconds) as limit:
            if callable(operation):
                return await _run_until(course, strategies[name], context, operation, attempts=attempts, limit=limit)
            await _prepare(course, strategies[name], context)
    except TimeoutError:
        course.reason = f"not done within {limit_seconds:g} s; before that: {course.reason}"
        return course.ended(successful=False)
    also = f"; {course.reason}" if course.action is None else ""
    course.attempts, course.reason = 0, f"the context has no `operation` to run again{also}"
    return course.ended(successful=False)


def _obstacle(
    name: str, classification: Classification, strategies: Mapping[str, Strategy], attempts: int
) -> str | None:
    """Return why the strategy is not tried at all, or None."""
    if name not in strategies:
        return f"there is no such strategy; there are {', '.join(sorted(strategies))}"
    if name == DATABASE_CONNECTION and classification.category is ErrorCategory.EXTERNAL_SERVICE:
        return "the database has nothing to do with an error of an outside service"
    return "API_RETRY_ATTEMPTS is 0" if attempts < 1 else None


async def _run_until(
    course: _Course,
    strategy: Strategy,
    context: Mapping[str, Any],
    operation: Callable[[], Any],
    *,
    attempts: int,
    limit: asyncio.Timeout,
) -> Recovery:
    for _ in range(attempts):
        succeeded = await _prepare(course, strategy, context) and await _run_again(course, operation)
        if limit.expired():
            # What was running has swallowed its cancellation, and ended too late.
            raise TimeoutError
        if succeeded:
            return course.ended(successful=True)
        if not (course.named or classify(course.error, context).recoverable):
            break
    return course.ended(successful=False)


def _choose(
    error: BaseException, context: Mapping[str, Any], classification: Classification
) -> tuple[str | None, bool]:
    """Return the name of the strategy to try, if any, and whether somebody named it."""
    wanted = context.get("recovery_strategy")
    if isinstance(wanted, str):
        return wanted, True
    if isinstance(error, RecoverableError) and error.recoverable and error.recovery_action:
        return error.recovery_action, True
    return (_fitting(error, classification) if classification.recoverable else None), False


def _fitting(error: BaseException, classification: Classification) -> str | None:
    if isinstance(error, MemoryError):
        return MEMORY_LIMIT
    if classification.category is ErrorCategory.DATABASE:
        return DATABASE_CONNECTION
    if was_rate_limited(error):
        return RATE_LIMIT
    return API_TIMEOUT if classification.category in _WAITING_HELPS or is_transient(error) else None


async def _prepare(course: _Course, strategy: Strategy, context: Mapping[str, Any]) -> bool:
    course.attempts += 1
    given = {**context, "recovery_attempt": course.attempts}
    try:
        answer = await run_callable(strategy, *arguments_for(strategy, course.error, given))
    except Exception as problem:  # noqa: BLE001 - a failed strategy must not hide the error it was meant for
        course.reason = f"the strategy failed: {_said(problem)}"
        return False
    # A strategy that returns nothing in particular, and does not raise, has prepared.
    told: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {"success": answer is None or bool(answer)}
    if not told.get("success"):
        course.reason = safe_str(told.get("error") or "the strategy did not succeed", _LONGEST_REASON)
        return False
    course.action = safe_str(told.get("action") or f"ran {course.strategy}", _LONGEST_REASON)
    return True


async def _run_again(course: _Course, operation: Callable[[], Any]) -> bool:
    try:
        course.result = await run_callable(operation)
    except Exception as problem:  # noqa: BLE001 - whatever the operation raises means that it failed again
        course.error = problem
        course.reason = f"the operation failed again: {_said(problem)}"
        return False
    return True


def arguments_for(strategy: Strategy, error: BaseException, context: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a strategy wants to be called with: error and context, one of them, or nothing.

    One argument is the error, unless the parameter is called `context`.

    Raises:
        ConfigurationError: it needs something else.
    """
    positional, open_ended = [], False
    try:
        parameters = inspect.signature(strategy).parameters.values()
    except (TypeError, ValueError) as problem:
        raise _unsuitable(strategy) from problem
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            open_ended = True
        elif parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
            positional.append(parameter)
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise _unsuitable(strategy)
    if any(parameter.default is parameter.empty for parameter in positional[_MOST_ARGUMENTS:]):
        raise _unsuitable(strategy)
    if open_ended or len(positional) >= _MOST_ARGUMENTS:
        return error, context
    return tuple(context if parameter.name == "context" else error for parameter in positional)


async def run_callable(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that may be sync, and then runs in a thread, or async."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004 - the method of a callable object
        return await function(*arguments)
    answer = await asyncio.to_thread(function, *arguments)
    return await answer if inspect.isawaitable(answer) else answer


def _unsuitable(strategy: Strategy) -> ConfigurationError:
    return ConfigurationError(
        f"{safe_str(getattr(strategy, '__qualname__', strategy), 100)} cannot be called as a recovery strategy",
        hint="write a function of (error, context), of one of them, or of nothing",
    )


def _said(problem: BaseException) -> str:
    return safe_str(f"{type(problem).__name__}: {message_of(problem)}", _LONGEST_REASON)
