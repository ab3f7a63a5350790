from prefect import task

from contexten_core import lifecycle
from contexten_core.events.claim import RunRef
from contexten_core.events.steps import Step
from contexten_core.learning.mine import Mined
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.runtime import current_runtime
from contexten_core.tasks.outcome import Outcome
from tasks.policy import policy_of_step


@task(name=Step.MINE_PATTERNS, **policy_of_step(Step.MINE_PATTERNS))
async def mine_patterns(run: RunRef, target: Target, choice: Choice, outcome: Outcome) -> Mined:
    """Learn from the outcome: a known failure counts up, a new one becomes a pattern."""
    async with current_runtime() as runtime:
        return await lifecycle.mine_patterns(runtime, run, target, choice, outcome)
