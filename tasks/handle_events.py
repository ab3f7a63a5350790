from collections.abc import Sequence

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from contexten_core.events.burst import BurstResult, outcome_of
from contexten_core.events.claim import RunRef
from contexten_core.runtime import current_runtime
from contexten_core.together import live_together

_NAMED = 3


@task(name="handle-events", retries=0, cache_policy=NO_CACHE, persist_result=False)
async def handle_events(runs: Sequence[RunRef]) -> BurstResult:
    """Handle a group of events; what fails is tried again event by event, and the rest goes on."""
    logger = get_run_logger()
    async with current_runtime() as runtime:
        ended = await live_together(runtime, runs)
        for run, end in zip(runs, ended, strict=True):
            if isinstance(end, BaseException):
                logger.warning("%s broke: %s", run.name, runtime.redactor.redact(str(end)))
    return outcome_of(ended)


def task_name(runs: Sequence[RunRef]) -> str:
    """Return what Prefect calls a group: the names of its first runs, and how many there are besides."""
    named = ", ".join(run.name for run in runs[:_NAMED])
    more = len(runs) - _NAMED
    # Prefect would fill in what stands in braces.
    return (named if more <= 0 else f"{named} and {more} more").replace("{", "(").replace("}", ")")
