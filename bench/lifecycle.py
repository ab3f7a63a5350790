"""What our lifecycle costs on top of Prefect: `python -m bench.lifecycle [--runs N]`.

On one temporary stack, in one run, alternating: (a) a Prefect flow of seven tasks that do nothing, executed in this
process against the stack's server, and (b) our lifecycle on a trivial event (a repository with one file, the command
`true`), from the signed delivery to the end of its run. One at a time, so that both are latencies.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil

from contexten.emulators.github import run_emulator
from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from contexten.emulators.sender import GitHubDelivery, push_payload, send
from contexten_core.db import utc_now
from contexten_core.events import run_store
from contexten_core.events.models import RunStatus
from contexten_core.events.steps import Step
from contexten_core.projects.add import add_repository
from contexten_core.prompts.define import checks_of, define_prompt
from contexten_core.runtime import Runtime, open_runtime
from contexten_core.settings import Settings
from deployments.stack import running_stack

RESULTS = Path(__file__).parent / "results"
_LOOK_SECONDS = 0.01
_PATIENCE_SECONDS = 60


async def measure(runs: int) -> dict[str, Any]:
    """Return medians and ratios of `runs` pairs, after one pair to warm up."""
    with tempfile.TemporaryDirectory(prefix="contexten-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", api_host="127.0.0.1")
        async with running_stack(settings, say=print) as stack, run_emulator() as emulator:
            assert stack.settings.prefect_api_url is not None
            os.environ["PREFECT_API_URL"] = stack.settings.prefect_api_url
            os.environ["PREFECT_HOME"] = str(Path(folder) / "prefect")
            bare = _bare_flow()
            async with open_runtime(stack.settings) as runtime:
                repository = (await asyncio.to_thread(make_demo_repositories, Path(folder) / "code")).thermometer
                await _add(runtime, repository, emulator.url)
                pairs = [
                    (await _timed(bare), await _timed(lambda: _one(runtime, stack.urls["web"], repository)))
                    for _ in range(runs + 1)
                ]
    return _report([pair[0] for pair in pairs[1:]], [pair[1] for pair in pairs[1:]])


def _bare_flow() -> Callable[[], Awaitable[object]]:
    from prefect import flow, task  # only once the environment says where Prefect is

    @task(persist_result=False)
    async def nothing() -> None:
        pass

    @flow(name="bare", persist_result=False)
    async def seven() -> None:
        for _ in Step:
            await nothing()

    return seven


async def _add(runtime: Runtime, repository: DemoRepository, github: str) -> None:
    async with runtime.database.transaction() as session:
        project, _ = await add_repository(
            session,
            full_name=repository.full_name,
            clone_url=str(repository.path),
            config={("github", "api_url"): github},
        )
        spec = checks_of(project_slug=project.slug, project_name=project.name, command="true", limits={})
        await define_prompt(session, spec)


async def _one(runtime: Runtime, web: str, repository: DemoRepository) -> None:
    payload = push_payload(
        repository.full_name, repository.parent, repository.head, "refs/heads/main", "bench", "mona", utc_now()
    )
    payload["bench"] = time.perf_counter_ns()
    secret = runtime.settings.github_webhook_secrets[0].get_secret_value()
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await send(client, f"{web}/github/events", GitHubDelivery(event="push", payload=payload), secret)
    event_id = UUID(answer.json()["event_id"])
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            async with runtime.database.reading() as session:
                run = await run_store.latest_of(session, event_id)
            if run is not None and run.status is not RunStatus.RUNNING:
                assert run.status is RunStatus.COMPLETED, run.reason
                return
            await asyncio.sleep(_LOOK_SECONDS)


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def _report(bare: list[float], ours: list[float]) -> dict[str, Any]:
    medians = {"bare_prefect_seconds": statistics.median(bare), "lifecycle_seconds": statistics.median(ours)}
    return {
        "at": datetime.now(UTC).isoformat(),
        "machine": {
            "cores": psutil.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "runs": len(bare),
        "medians": medians,
        "ratios": {"lifecycle_vs_bare_prefect": medians["lifecycle_seconds"] / medians["bare_prefect_seconds"]},
        "samples": {"bare_prefect_seconds": bare, "lifecycle_seconds": ours},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="how many pairs to measure")
    result = asyncio.run(measure(parser.parse_args().runs))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"lifecycle-{datetime.now(UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({"medians": result["medians"], "ratios": result["ratios"]}, indent=2))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
