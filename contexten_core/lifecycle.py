"""The lifecycle of one event: its seven steps in their order, whoever carries them out, and how its run ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Self

from contexten_core.analytics.record import Recorded, record_outcome
from contexten_core.codebase.examine import CodebaseSummary, examine
from contexten_core.errors import GitError, LeaseLostError
from contexten_core.events.cancel import end_or_hand_back
from contexten_core.events.claim import RunRef
from contexten_core.events.finish import Ignored, LifecycleResult, complete_run, fail_run, ignore_run
from contexten_core.events.ingest import ingest
from contexten_core.events.models import Conclusion, RunStatus
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step, run_step
from contexten_core.learning.mine import Mined, mine
from contexten_core.projects.resolve import Target, resolve
from contexten_core.prompts.select import Choice, select
from contexten_core.runtime import Runtime
from contexten_core.tasks.carry_out import Say
from contexten_core.tasks.execute import execute
from contexten_core.tasks.outcome import Outcome, Unavailable

Code = CodebaseSummary | Unavailable


async def ingest_event(runtime: Runtime, run: RunRef) -> NormalisedEvent:
    """Read the stored delivery and put what it says in our words."""
    return await run_step(runtime, run, Step.INGEST_EVENT, NormalisedEvent, ingest)


async def resolve_project(runtime: Runtime, run: RunRef, event: NormalisedEvent) -> Target | Ignored:
    """Find the project, repository and commit that the event is about."""
    return await run_step(runtime, run, Step.RESOLVE_PROJECT, Target | Ignored, partial(resolve, event=event))


async def select_prompt(runtime: Runtime, run: RunRef, event: NormalisedEvent, target: Target) -> Choice | Ignored:
    """Select the prompt whose conditions hold, and store why."""
    work = partial(select, event=event, target=target)
    return await run_step(runtime, run, Step.SELECT_PROMPT, Choice | Ignored, work)


async def analyse_codebase(runtime: Runtime, run: RunRef, target: Target) -> CodebaseSummary:
    """Fetch the commit and learn what is in it."""
    return await run_step(runtime, run, Step.ANALYSE_CODEBASE, CodebaseSummary, partial(examine, target=target))


async def execute_task(
    runtime: Runtime, run: RunRef, event: NormalisedEvent, target: Target, choice: Choice, code: Code, *, say: Say
) -> Outcome:
    """Run the selected prompt's executor on the commit; `say` is given its log as it grows."""
    work = partial(execute, event=event, target=target, choice=choice, code=code, say=say)
    return await run_step(runtime, run, Step.EXECUTE_TASK, Outcome, work)


async def record_analytics(runtime: Runtime, run: RunRef, target: Target, choice: Choice, outcome: Outcome) -> Recorded:
    """Store durations, resources and outcome, and put the report in the outbox."""
    work = partial(record_outcome, target=target, choice=choice, outcome=outcome)
    return await run_step(runtime, run, Step.RECORD_ANALYTICS, Recorded, work)


async def mine_patterns(runtime: Runtime, run: RunRef, target: Target, choice: Choice, outcome: Outcome) -> Mined:
    """Learn from the outcome: a known failure counts up, a new one becomes a pattern."""
    work = partial(mine, target=target, choice=choice, outcome=outcome)
    return await run_step(runtime, run, Step.MINE_PATTERNS, Mined, work)


@dataclass(frozen=True, slots=True)
class Steps:
    """Who carries the seven steps out: Prefect's tasks, say, or the functions of this module themselves."""

    ingest_event: Callable[[RunRef], Awaitable[NormalisedEvent]]
    resolve_project: Callable[[RunRef, NormalisedEvent], Awaitable[Target | Ignored]]
    select_prompt: Callable[[RunRef, NormalisedEvent, Target], Awaitable[Choice | Ignored]]
    analyse_codebase: Callable[[RunRef, Target], Awaitable[CodebaseSummary]]
    execute_task: Callable[[RunRef, NormalisedEvent, Target, Choice, Code], Awaitable[Outcome]]
    record_analytics: Callable[[RunRef, Target, Choice, Outcome], Awaitable[Recorded]]
    mine_patterns: Callable[[RunRef, Target, Choice, Outcome], Awaitable[Mined]]
    complete_run: Callable[[Runtime, RunRef, Conclusion], Awaitable[LifecycleResult]] = complete_run

    @classmethod
    def plain(cls, runtime: Runtime, *, say: Say = lambda _: None) -> Self:
        """Return the steps as they are: each is tried once, and nobody watches."""
        return cls(
            ingest_event=partial(ingest_event, runtime),
            resolve_project=partial(resolve_project, runtime),
            select_prompt=partial(select_prompt, runtime),
            analyse_codebase=partial(analyse_codebase, runtime),
            execute_task=partial(execute_task, runtime, say=say),
            record_analytics=partial(record_analytics, runtime),
            mine_patterns=partial(mine_patterns, runtime),
        )


async def live(runtime: Runtime, run: RunRef, steps: Steps) -> LifecycleResult:
    """Turn one stored event into one explained action. A run that was taken over goes on at its first open step."""
    if run.is_cancelled:
        await end_or_hand_back(runtime, run)
        return LifecycleResult(run.run_id, run.event_id, RunStatus.CANCELLED)
    event = await steps.ingest_event(run)
    target = await steps.resolve_project(run, event)
    if isinstance(target, Ignored):
        return await ignore_run(runtime, run, target)
    choice = await steps.select_prompt(run, event, target)
    if isinstance(choice, Ignored):
        return await ignore_run(runtime, run, choice)
    try:
        code: Code = await steps.analyse_codebase(run, target)
    except GitError as error:
        code = Unavailable.because(error)
    outcome = await steps.execute_task(run, event, target, choice, code)
    await steps.record_analytics(run, target, choice, outcome)
    await steps.mine_patterns(run, target, choice, outcome)
    return await steps.complete_run(runtime, run, outcome.conclusion)


@asynccontextmanager
async def handling(runtime: Runtime, run: RunRef) -> AsyncIterator[None]:
    """Note how a run broke or was made to stop, and let go of its event.

    The lease is kept where that could not be noted: whoever claimed the event has to try again.
    """
    try:
        yield
    except LeaseLostError:
        runtime.leases.release(run.event_id)
        raise
    except asyncio.CancelledError:
        await asyncio.shield(end_or_hand_back(runtime, run))
        runtime.leases.release(run.event_id)
        raise
    except Exception as error:
        await fail_run(runtime, run, error)
        runtime.leases.release(run.event_id)
        raise
    runtime.leases.release(run.event_id)
