from prefect import task

from contexten_core.db import utc_now
from contexten_core.execution.collect import Collected
from contexten_core.execution.collect import collect_trees as collect
from contexten_core.runtime import current_runtime
from tasks.policy import POLICY


@task(name="collect-trees", **POLICY)
async def collect_trees() -> Collected:
    """Remove the mirrors and checkouts that nobody needs any more."""
    async with current_runtime() as runtime:
        return await collect(runtime.database, runtime.settings, now=utc_now())
