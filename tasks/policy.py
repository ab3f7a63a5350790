"""What every lifecycle task has in common: retried only where that can help, and never cached by Prefect.

Results are in our own step records, which survive the worker and are tied to the run; Prefect's copy would only cost.
"""

from typing import Any, TypedDict

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import get_state_exception
from prefect.tasks import exponential_backoff

from contexten_core.errors import is_transient


async def can_help(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001 - Prefect's shape
    """Tell Prefect whether to retry: only when the error says that the same may work later."""
    error = get_state_exception(state)
    return is_transient(error if isinstance(error, BaseException) else await error)


class Policy(TypedDict):
    """The keyword arguments that `@task` takes from here."""

    retries: int
    retry_delay_seconds: Any
    retry_jitter_factor: float
    retry_condition_fn: Any
    cache_policy: Any
    persist_result: bool


POLICY: Policy = {
    "retries": 2,
    "retry_delay_seconds": exponential_backoff(backoff_factor=1),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": can_help,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
