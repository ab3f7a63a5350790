from prefect import task

from contexten_core import lifecycle
from contexten_core.codebase.examine import CodebaseSummary
from contexten_core.events.claim import RunRef
from contexten_core.events.steps import Step
from contexten_core.projects.resolve import Target
from contexten_core.runtime import current_runtime
from tasks.policy import policy_of_step


@task(name=Step.ANALYSE_CODEBASE, **policy_of_step(Step.ANALYSE_CODEBASE))
async def analyse_codebase(run: RunRef, target: Target) -> CodebaseSummary:
    """Fetch the commit and learn what is in it."""
    async with current_runtime() as runtime:
        return await lifecycle.analyse_codebase(runtime, run, target)
