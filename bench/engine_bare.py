"""Seven tasks that do nothing, as a Prefect flow: what `bench.engine` compares our lifecycle with.

`python -m bench.engine_bare serve` serves the flow as Prefect does by default, a process for each run;
`python -m bench.engine_bare in-process RUNS CONCURRENCY` has deployment runs of it executed in one event loop, as our
engine does, and prints how long all and each took, in seconds, as JSON.
"""

import asyncio
import json
import os
import sys
import time

from prefect import flow, task
from prefect.client.orchestration import PrefectClient
from prefect.context import AsyncClientContext
from prefect.flow_engine import run_flow
from prefect.states import Pending

from deployments.worker import NICE

NAME = "bare"
SERVED = "served"
_STEPS = 7
_WARM_UP = 3


@task(persist_result=False)
async def nothing() -> None:
    pass


@flow(name=NAME, persist_result=False)
async def seven() -> None:
    for _ in range(_STEPS):
        await nothing()


async def in_process(runs: int, concurrency: int) -> dict[str, object]:
    async with AsyncClientContext.get_or_create() as context:
        client = context.client
        deployment = await client.create_deployment(flow_id=await client.create_flow(seven), name="in-process")
        free = asyncio.Semaphore(concurrency)

        async def one() -> float:
            async with free:
                began = time.perf_counter()
                await _one(client, deployment)
                return time.perf_counter() - began

        await asyncio.gather(*(one() for _ in range(_WARM_UP)))
        began = time.perf_counter()
        each = await asyncio.gather(*(one() for _ in range(runs)))
        return {"seconds": time.perf_counter() - began, "each": each}


async def _one(client: PrefectClient, deployment: object) -> None:
    flow_run = await client.create_flow_run_from_deployment(deployment, state=Pending())  # type: ignore[arg-type]
    await run_flow(seven, flow_run=flow_run, return_type="state")  # type: ignore[misc]


def main() -> None:
    # As our worker does: where others want the processor too, each kind gets the same share of it.
    os.nice(NICE)
    if sys.argv[1] == "serve":
        seven.serve(name=SERVED, print_starting_message=False)
        return
    print(json.dumps(asyncio.run(in_process(int(sys.argv[2]), int(sys.argv[3])))))


if __name__ == "__main__":
    main()
