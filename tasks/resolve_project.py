from prefect import task

from contexten_core import lifecycle
from contexten_core.events.claim import RunRef
from contexten_core.events.ignored import Ignored
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step
from contexten_core.projects.resolve import Target
from contexten_core.runtime import current_runtime
from tasks.policy import policy_of_step


@task(name=Step.RESOLVE_PROJECT, **policy_of_step(Step.RESOLVE_PROJECT))
async def resolve_project(run: RunRef, event: NormalisedEvent) -> Target | Ignored:
    """Find the project, repository and commit that the event is about."""
    async with current_runtime() as runtime:
        return await lifecycle.resolve_project(runtime, run, event)
