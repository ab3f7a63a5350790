"""Whether everything came of the demo that had to: read back from the store, from Prefect and from the emulator."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.demo.projects import context_of
from contexten.demo.scenario import Act
from contexten_core.events.history import RunHistory
from contexten_core.events.steps import Step
from contexten_core.learning import store as learning_store

_TIMEOUT_SECONDS = 10.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation, whether it holds, and what was seen instead when it does not."""

    expectation: str
    holds: bool
    seen: str = ""


def check_outcome(act: Act, history: RunHistory) -> Check:
    seen = history.run.conclusion.value if history.run.conclusion else f"{history.run.status} ({history.run.reason})"
    return Check(f"{history.run.name} ends in {act.conclusion}", history.run.conclusion is act.conclusion, seen)


async def check_prefect(prefect_api: str, history: RunHistory) -> Check:
    """Expect a completed run of lifecycle/webhook with one completed task run for each step.

    Our run ends a moment before Prefect has heard of it, so it is given a few seconds.
    """
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    expectation = f"Prefect shows {history.run.name} completed with {len(Step)} completed tasks"
    flow_run_id = history.run.flow_run_id
    if flow_run_id is None:
        return Check(expectation, holds=False, seen="no Prefect run")
    deadline = monotonic() + _TIMEOUT_SECONDS
    async with PrefectClient(prefect_api) as client:
        while True:
            flow_run = await client.read_flow_run(flow_run_id)
            tasks = await client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])))
            completed = [task for task in tasks if task.state is not None and task.state.is_completed()]
            ended = flow_run.state is not None and flow_run.state.is_completed()
            holds = ended and len(completed) == len(tasks) == len(Step)
            if holds or monotonic() > deadline:
                seen = f"{flow_run.state_name}, {len(completed)} of {len(tasks)} tasks completed"
                return Check(expectation, holds, seen)
            await asyncio.sleep(_LOOK_SECONDS)


async def check_statuses(emulator: str, act: Act, run_id: UUID) -> Check:
    """Expect one pending and one final status of this run on the commit, in that order."""
    expectation = f"{act.repository.full_name}@{act.commit[:8]} shows pending, then {act.conclusion}"
    async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        answer = await client.get(f"{emulator}/_emulator/statuses")
        answer.raise_for_status()
    ours: list[Mapping[str, Any]] = [
        status
        for status in answer.json()["statuses"]
        if status["sha"] == act.commit
        and status["context"] == context_of(act.repository)
        and str(status["target_url"]).endswith(str(run_id))
    ]
    states = [status["state"] for status in ours]
    holds = states == ["pending", act.conclusion.value] and act.mentions in str(ours[-1]["description"])
    return Check(expectation, holds, ", ".join(f"{status['state']}: {status['description']}" for status in ours))


async def occurrences(session: AsyncSession, text: str) -> list[int]:
    """Return how often each pattern was seen that mentions `text`."""
    return [row.occurrence_count for row in await learning_store.patterns(session, limit=500) if text in row.name]


def check_pattern(before: list[int], after: list[int]) -> Check:
    expected = (sum(before) or 0) + 1
    return Check(f"one pattern of that failure, seen {expected} ×", after == [expected], str(after))
