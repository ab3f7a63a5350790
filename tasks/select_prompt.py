from functools import partial

from prefect import task

from contexten_core.events.claim import RunRef
from contexten_core.events.finish import Ignored
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step, run_step
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice, select
from contexten_core.runtime import current_runtime
from tasks.policy import POLICY


@task(name=Step.SELECT_PROMPT, **POLICY)
async def select_prompt(run: RunRef, event: NormalisedEvent, target: Target) -> Choice | Ignored:
    """Select the prompt whose conditions hold, and store why."""
    async with current_runtime() as runtime:
        work = partial(select, event=event, target=target)
        return await run_step(runtime, run, Step.SELECT_PROMPT, Choice | Ignored, work)
