"""What the lifecycle's tasks declare to Prefect, asked as Prefect asks."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Failed

from contexten_core.db import utc_now
from contexten_core.errors import GitError, LeaseLostError, OutboundError
from contexten_core.events.steps import RETRIES, Step
from flows import lifecycle
from tasks import policy

TASKS = {task.name: task for task in vars(lifecycle).values() if isinstance(task, Task)}


async def _retries(step: Step, error: Exception, *, attempt: int = 1, seconds: float = 0) -> bool:
    task = TASKS[step]
    began = utc_now() - timedelta(seconds=seconds)
    run = TaskRun(task_key=task.task_key, dynamic_key="0", run_count=attempt, start_time=began)
    assert task.retry_condition_fn is not None
    state: State[Any] = Failed(data=error, message="it failed")
    return bool(await task.retry_condition_fn(task, run, state))  # type: ignore[misc]


@pytest.mark.parametrize("step", Step)
async def test_every_step_declares_its_retries(step: Step) -> None:
    task = TASKS[step]

    assert (task.retries, task.retry_delay_seconds) == (RETRIES[step].most, RETRIES[step].delays)
    assert task.retry_jitter_factor == 0.5
    assert await _retries(step, GitError("the network is away", transient=True))
    assert not await _retries(step, GitError("no such repository"))
    assert not await _retries(step, LeaseLostError("taken over"))


async def test_the_budget_of_time_ends_it() -> None:
    error = GitError("the network is away", transient=True)

    assert await _retries(Step.INGEST_EVENT, error, attempt=3, seconds=50)
    assert not await _retries(Step.INGEST_EVENT, error, attempt=3, seconds=59)


async def test_what_the_error_asks_for_is_waited_before_prefects_own_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("tasks.policy.asyncio.sleep", sleep)
    monkeypatch.setattr(policy, "get_run_logger", lambda: logging.getLogger("of the run"))

    assert await _retries(Step.EXECUTE_TASK, OutboundError("a limit", transient=True, retry_after=30))
    assert not await _retries(Step.EXECUTE_TASK, OutboundError("a limit", transient=True, retry_after=900))
    assert slept == [30]
