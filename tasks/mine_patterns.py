from functools import partial

from prefect import task

from contexten_core.events.claim import RunRef
from contexten_core.events.steps import Step, run_step
from contexten_core.learning.mine import Mined, mine
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.runtime import current_runtime
from contexten_core.tasks.outcome import Outcome
from tasks.policy import POLICY


@task(name=Step.MINE_PATTERNS, **POLICY)
async def mine_patterns(run: RunRef, target: Target, choice: Choice, outcome: Outcome) -> Mined:
    """Learn from the outcome: a known failure counts up, a new one becomes a pattern."""
    work = partial(mine, target=target, choice=choice, outcome=outcome)
    async with current_runtime() as runtime:
        return await run_step(runtime, run, Step.MINE_PATTERNS, Mined, work)
