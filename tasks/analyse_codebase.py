from functools import partial

from prefect import task

from contexten_core.codebase.examine import CodebaseSummary, examine
from contexten_core.events.claim import RunRef
from contexten_core.events.steps import Step, run_step
from contexten_core.projects.resolve import Target
from contexten_core.runtime import current_runtime
from tasks.policy import POLICY


@task(name=Step.ANALYSE_CODEBASE, **POLICY)
async def analyse_codebase(run: RunRef, target: Target) -> CodebaseSummary:
    """Fetch the commit and learn what is in it."""
    async with current_runtime() as runtime:
        return await run_step(runtime, run, Step.ANALYSE_CODEBASE, CodebaseSummary, partial(examine, target=target))
