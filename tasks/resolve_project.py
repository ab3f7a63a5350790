from functools import partial

from prefect import task

from contexten_core.events.claim import RunRef
from contexten_core.events.finish import Ignored
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step, run_step
from contexten_core.projects.resolve import Target, resolve
from contexten_core.runtime import current_runtime
from tasks.policy import POLICY


@task(name=Step.RESOLVE_PROJECT, **POLICY)
async def resolve_project(run: RunRef, event: NormalisedEvent) -> Target | Ignored:
    """Find the project, repository and commit that the event is about."""
    async with current_runtime() as runtime:
        return await run_step(runtime, run, Step.RESOLVE_PROJECT, Target | Ignored, partial(resolve, event=event))
