"""What every task has in common: retried only where that can help, and never cached by Prefect.

Results are in our own step records, which survive the worker and are tied to the run; Prefect's copy would only cost.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.states import get_state_exception

from contexten_core.db import utc_now
from contexten_core.errors.retries import Retries
from contexten_core.events.steps import RETRIES, Step

Condition = Callable[[Task[..., Any], TaskRun, State[Any]], Awaitable[bool]]


class Policy(TypedDict):
    """The keyword arguments that `@task` takes from here."""

    retries: int
    retry_delay_seconds: list[float]
    retry_jitter_factor: float
    retry_condition_fn: Any
    cache_policy: Any
    persist_result: bool


def policy_of(retries: Retries) -> Policy:
    return {
        "retries": retries.most,
        "retry_delay_seconds": retries.delays,
        "retry_jitter_factor": retries.jitter,
        "retry_condition_fn": _when_it_can_help(retries),
        "cache_policy": NO_CACHE,
        "persist_result": False,
    }


def policy_of_step(step: Step) -> Policy:
    return policy_of(RETRIES[step])


def _when_it_can_help(retries: Retries) -> Condition:
    async def can_help(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001 - Prefect's shape
        """Tell Prefect whether to retry, after the wait that the error asks for; Prefect's delays know no error."""
        found = get_state_exception(state)
        error = found if isinstance(found, BaseException) else await found
        began = task_run.start_time or utc_now()
        asked = retries.wait(error, attempt=task_run.run_count, spent=(utc_now() - began).total_seconds())
        if asked:
            get_run_logger().info("the other side asks to wait %.1f s before the next attempt", asked)
            await asyncio.sleep(asked)
        return asked is not None

    return can_help


POLICY = policy_of(Retries(most=2, seconds=60))
"""For tasks that are no steps of the lifecycle."""
