from prefect import task

from contexten_core import lifecycle
from contexten_core.events.claim import RunRef
from contexten_core.events.ignored import Ignored
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.runtime import current_runtime
from tasks.policy import policy_of_step


@task(name=Step.SELECT_PROMPT, **policy_of_step(Step.SELECT_PROMPT))
async def select_prompt(run: RunRef, event: NormalisedEvent, target: Target) -> Choice | Ignored:
    """Select the prompt whose conditions hold, and store why."""
    async with current_runtime() as runtime:
        return await lifecycle.select_prompt(runtime, run, event, target)
