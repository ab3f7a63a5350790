"""Seven steps that do nothing in DBOS: `python -m bench.engine_dbos RUNS CONCURRENCY`, its database in `DATABASE_URL`.

Prints how long all workflows and each took, in seconds, as JSON.
"""

import json
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS

from deployments.worker import NICE

_STEPS = 7
_WARM_UP = 20


@DBOS.step()
def nothing() -> None:
    pass


@DBOS.workflow()
def seven() -> None:
    for _ in range(_STEPS):
        nothing()


def _one(_: int) -> float:
    began = time.perf_counter()
    seven()
    return time.perf_counter() - began


def main() -> None:
    # As our worker does: where others want the processor too, each kind gets the same share of it.
    os.nice(NICE)
    runs, concurrency = int(sys.argv[1]), int(sys.argv[2])
    logging.disable(logging.WARNING)
    DBOS(config={"name": "bench", "system_database_url": os.environ["DATABASE_URL"], "run_admin_server": False})
    DBOS.launch()
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(_one, range(_WARM_UP)))
        began = time.perf_counter()
        each = list(pool.map(_one, range(runs)))
    print(json.dumps({"seconds": time.perf_counter() - began, "each": each}), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main()
