from prefect import task

from contexten_core.db import utc_now
from contexten_core.prompts.experiments.conduct import Concluded, conclude_due
from contexten_core.runtime import current_runtime
from tasks.policy import POLICY


@task(name="conclude-experiments", **POLICY)
async def conclude_experiments() -> list[Concluded]:
    """Stop the variants that have broken a guardrail, and end the experiments that show enough."""
    async with current_runtime() as runtime:
        return await conclude_due(runtime.database, utc_now())
