"""How many lifecycles of seven steps a second: `python -m bench.engine [--rounds N] [--only a,b,c,d,e]`.

On one temporary PostgreSQL and Prefect server, in one run, round after round, each in a process of its own:

(a) a Prefect flow of seven tasks that do nothing under `flow.serve()`, a process for each run;
(b) the same as deployment runs executed in one event loop, the way that our engine executes them;
(c) a DBOS workflow of seven steps that do nothing, in threads;
(d) our lifecycle, a flow run for each event; (e) our lifecycle in bursts, a flow run for many.

(d) and (e) do their real work: signed pushes to as many branches, stored by the intake at once, of a project with a git
repository and a prompt that replies, their reports posted to a stand-in for GitHub. The clock runs from the first one
stored to the end of the last run. Medians of all rounds.
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from pydantic import SecretStr
from sqlalchemy import func, select

from bench.engine_bare import NAME, SERVED
from contexten.emulators.deliveries import Try
from contexten.emulators.github import run_emulator
from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from contexten.emulators.sender import GitHubDelivery, push_payload
from contexten_core.db import utc_now
from contexten_core.events.intake import Intake
from contexten_core.events.models import Conclusion, EffectStatus, EventProvider, OutboxModel, RunModel, RunStatus
from contexten_core.events.receive import read_delivery
from contexten_core.projects.add import add_repository
from contexten_core.prompts.define import ConditionSpec, PromptSpec, define_prompt
from contexten_core.prompts.models import ConditionOperator, Executor
from contexten_core.runtime import Runtime, open_runtime
from contexten_core.settings import Settings
from deployments.home import Home
from deployments.readiness import READY_FD_VARIABLE
from deployments.stack import Stack, opened_stack, role_environment

RESULTS = Path(__file__).parent / "results"
CONCURRENCY = 20
NEVER = 1_000_000
_ROOT = Path(__file__).parents[1]
_LOOK_SECONDS = 0.05
_PATIENCE_SECONDS = 120.0
_WARM_UP = 5
_TOKEN = "of-a-stand-in-for-github"  # noqa: S105 - of a server that lives for a minute


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many runs of each kind a round measures."""

    served: int = 6
    single: int = 40
    many: int = 400


@dataclass(frozen=True, slots=True)
class Measured:
    """How long some runs took together, and each from its beginning to its end, in seconds."""

    seconds: float
    each: Sequence[float]

    @property
    def per_second(self) -> float:
        return len(self.each) / self.seconds

    def as_dict(self) -> dict[str, float]:
        return {
            "per_second": self.per_second,
            "p50_seconds": statistics.median(self.each),
            "p99_seconds": sorted(self.each)[max(0, -(-len(self.each) * 99 // 100) - 1)],
        }


@dataclass(slots=True)
class Place:
    """Where everything is measured: the stack without a worker, a project on it, and what was sent so far."""

    stack: Stack
    runtime: Runtime
    intake: Intake
    repository: DemoRepository
    sent: int = 0


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    """Start PostgreSQL and Prefect, make the project, and stand in for GitHub until the block ends."""
    settings = Settings(home=folder / "home", api_host="127.0.0.1", debounce_seconds=0)
    settings.max_concurrent_operations = CONCURRENCY
    async with run_emulator() as emulator, opened_stack(settings, say=print) as builder:
        builder.settings.github_api_url = emulator.url
        builder.settings.github_token = SecretStr(_TOKEN)
        await builder.start_database()
        stack = await builder.start_services()
        async with open_runtime(stack.settings) as runtime:
            repository = (await asyncio.to_thread(make_demo_repositories, folder / "code")).thermometer
            await _make_project(runtime, repository)
            intake = Intake(runtime.database, settings=stack.settings)
            await intake.start()
            yield Place(stack, runtime, intake, repository)
            await intake.close()


async def _make_project(runtime: Runtime, repository: DemoRepository) -> None:
    async with runtime.database.transaction() as session:
        project, _ = await add_repository(
            session,
            full_name=repository.full_name,
            clone_url=str(repository.path),
            config={("git", "allow_local"): True},
        )
        spec = PromptSpec(
            slug="bench-reply",
            name="Reply",
            template="Thank you for the push.",
            executor=Executor.REPLY,
            conditions=(
                ConditionSpec("project.slug", ConditionOperator.EQUALS, project.slug),
                ConditionSpec("event.type", ConditionOperator.EQUALS, "push"),
            ),
        )
        await define_prompt(session, spec)


async def measure_served(at: Place, runs: int) -> Measured:
    """(a): from the start of the first process to the end of the last, without the pause before Prefect looks."""
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with _process(at, "bench.engine_bare", "serve"):
        address = at.stack.settings.prefect_api_url
        assert address is not None
        async with PrefectClient(address) as client, asyncio.timeout(_PATIENCE_SECONDS):
            deployment = await _until(lambda: _deployment(client))
            started = [(await client.create_flow_run_from_deployment(deployment.id)).id for _ in range(runs)]
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=started))

            async def ended() -> Any:
                found = await client.read_flow_runs(flow_run_filter=wanted)
                return found if all(one.state is not None and one.state.is_completed() for one in found) else None

            found = await _until(ended)
            begun = [await _submitted(client, one.id) for one in found]
    return Measured(
        (max(one.end_time for one in found) - min(begun)).total_seconds(),
        [(one.end_time - one.start_time).total_seconds() for one in found],
    )


async def _submitted(client: Any, flow_run_id: UUID) -> datetime:
    """Return when a flow run was taken to start a process for it; its own start is when that has imported all."""
    states = await client.read_flow_run_states(flow_run_id)
    return min(state.timestamp for state in states if state.is_pending())


async def _deployment(client: Any) -> Any:
    from prefect.exceptions import ObjectNotFound

    try:
        found = await client.read_deployment_by_name(f"{NAME}/{SERVED}")
    except ObjectNotFound:
        return None
    return found if found.status == "READY" else None


async def measure_in_process(at: Place, runs: int) -> Measured:
    """(b): from the creation of the first flow run to the end of the last."""
    return await _told(at, "bench.engine_bare", "in-process", str(runs), str(CONCURRENCY))


async def measure_dbos(at: Place, runs: int) -> Measured:
    """(c): from the first workflow to the end of the last."""
    return await _told(at, "bench.engine_dbos", str(runs), str(CONCURRENCY))


async def measure_lifecycle(at: Place, runs: int, *, burst_from: int = NEVER) -> dict[str, float]:
    """(d), or (e) with `burst_from`: returns besides what each took of a processor, and when all was reported."""
    variables = {"BURST_FROM": str(burst_from), "BURST_UNTIL": "0"}
    if burst_from != NEVER:
        # One flow run is one of those that are in flight at Prefect, however many events it handles.
        variables["MAX_CONCURRENT_OPERATIONS"] = str(Settings.model_fields["max_concurrent_operations"].default)
    # GitHub takes a thousand statuses of one name on a commit, no more.
    at.repository = await asyncio.to_thread(_grown, at.repository)
    with _worker(at, variables) as worker:
        # The first ones fetch the commit and load what is loaded late, in bursts too.
        warm_up = _WARM_UP if burst_from == NEVER else min(runs, 2 * CONCURRENCY)
        await _ended(at, await _send(at, warm_up))
        await _until(lambda: _all_reported(at))
        began, since, cpu = time.perf_counter(), utc_now(), _cpu(worker)
        rows = await _ended(at, await _send(at, runs), since=since)
        seconds = time.perf_counter() - began
        cpu = _cpu(worker) - cpu
        await _until(lambda: _all_reported(at))
        reported = time.perf_counter() - began
    measured = Measured(seconds, [(row.finished_at - row.started_at).total_seconds() for row in rows])
    return measured.as_dict() | {"worker_cpu_seconds_each": cpu / runs, "reported_after_seconds": reported}


def _grown(repository: DemoRepository) -> DemoRepository:
    """Add a commit to the default branch, and return the repository as it is then."""
    git = ["git", "-C", str(repository.path), "-c", "user.name=mona", "-c", "user.email=mona@example.org"]
    commit = [*git, "commit-tree", f"{repository.head}^{{tree}}", "-p", repository.head, "-m", "Another round"]
    head = subprocess.check_output(commit, text=True).strip()
    subprocess.check_call([*git, "update-ref", f"refs/heads/{repository.default_branch}", head])
    return replace(repository, head=head, parent=repository.head)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _send(at: Place, count: int) -> int:
    """Store as many pushes as the intake does, each to a branch of its own; return how many there are by now."""
    settings = at.stack.settings
    secret = settings.github_webhook_secrets[0].get_secret_value()

    def delivery(number: int) -> Any:
        repository, now = at.repository, utc_now()
        ref = f"refs/heads/bench-{number}"
        payload = push_payload(repository.full_name, repository.parent, repository.head, ref, "bench", "mona", now)
        sent = GitHubDelivery(event="push", payload=payload)
        headers = sent.headers_of(Try(number=0, at=now), secret)
        return read_delivery(EventProvider.GITHUB, headers=headers, body=sent.body, settings=settings, now=now)

    numbers = range(at.sent, at.sent + count)
    await asyncio.gather(*(at.intake.keep(delivery(number)) for number in numbers))
    at.sent += count
    return at.sent


async def _ended(at: Place, count: int, *, since: datetime | None = None) -> Sequence[Any]:
    """Wait for as many runs as there are events to end well; return those that began since then."""
    good = (RunModel.status == RunStatus.COMPLETED, RunModel.conclusion == Conclusion.SUCCESS)

    async def ended() -> bool | None:
        async with at.runtime.database.reading() as session:
            rows = await session.execute(
                select(RunModel.status, RunModel.conclusion, RunModel.reason, func.count()).group_by(
                    RunModel.status, RunModel.conclusion, RunModel.reason
                )
            )
            counted = {(status, conclusion, reason): found for status, conclusion, reason, found in rows}
        done = sum(found for key, found in counted.items() if key[:2] == (RunStatus.COMPLETED, Conclusion.SUCCESS))
        bad = [key for key in counted if key[0] is not RunStatus.RUNNING and key[1] is not Conclusion.SUCCESS]
        if bad:
            raise RuntimeError(f"runs did not end well: {bad}")
        return True if done >= count else None

    await _until(ended)
    if since is None:
        return ()
    async with at.runtime.database.reading() as session:
        statement = select(RunModel.started_at, RunModel.finished_at).where(*good, RunModel.started_at >= since)
        return (await session.execute(statement)).all()


async def _all_reported(at: Place) -> bool | None:
    async with at.runtime.database.reading() as session:
        rows = await session.execute(select(OutboxModel.status, func.count()).group_by(OutboxModel.status))
        counted: dict[EffectStatus, int] = dict(rows.tuples().all())
    wrong = {status: found for status, found in counted.items() if status in (EffectStatus.DEAD, EffectStatus.WITHHELD)}
    if wrong:
        raise RuntimeError(f"reports were not posted: {wrong}")
    return True if not counted.get(EffectStatus.PENDING) else None


async def _until(found: Callable[[], Awaitable[Any]]) -> Any:
    """Call until it returns something, and return that."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (result := await found()) is None:  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(_LOOK_SECONDS)
        return result


async def _told(at: Place, module: str, *arguments: str) -> Measured:
    """Run a module of ours and return what it measured."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, env=_environment(at), cwd=_ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}")
    return Measured(**json.loads(output.splitlines()[-1]))


def _environment(at: Place) -> dict[str, str]:
    home = Home(at.stack.settings.home)
    # DBOS keeps to a schema of its own.
    address = at.runtime.database.address.set(drivername="postgresql")
    return role_environment(at.stack.settings, home, os.environ) | {
        "DATABASE_URL": address.render_as_string(hide_password=False),
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }


@contextmanager
def _process(
    at: Place, module: str, *arguments: str, extra: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
) -> Iterator[psutil.Popen]:
    """Run a module until the block ends, and what it started with it."""
    process = psutil.Popen(
        [sys.executable, "-m", module, *arguments],
        env=_environment(at) | dict(extra or {}),
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        pass_fds=pass_fds,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_PATIENCE_SECONDS)
        finally:
            if process.is_running():
                process.kill()


@contextmanager
def _worker(at: Place, extra: Mapping[str, str]) -> Iterator[psutil.Popen]:
    """Run a worker process of ours until the block ends; it is ready when the block begins."""
    ready, told = os.pipe()
    variables = {**extra, READY_FD_VARIABLE: str(told)}
    with _process(at, "contexten", "serve", "--role", "worker", extra=variables, pass_fds=[told]) as process:
        os.close(told)
        with os.fdopen(ready) as pipe:
            if not pipe.readline():
                raise RuntimeError(f"the worker ended with {process.wait()} before it was ready")
        yield process


async def measure(rounds: int, sizes: Sizes, only: str) -> dict[str, Any]:
    """Return the figures of all rounds, their medians, and the ratios of those."""
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="contexten-bench-") as name:
        os.environ["PREFECT_HOME"] = str(Path(name) / "prefect")
        async with place(Path(name)) as at:
            assert at.stack.settings.prefect_api_url is not None
            os.environ["PREFECT_API_URL"] = at.stack.settings.prefect_api_url
            for _ in range(rounds):
                for kind in only:
                    figures = await _measure(at, kind, sizes)
                    print(kind, json.dumps(figures), flush=True)
                    found.setdefault(_NAMES[kind], []).append(figures)
    return _report(found)


_NAMES = {
    "a": "prefect_serve",
    "b": "prefect_in_process",
    "c": "dbos",
    "d": "lifecycle",
    "e": "burst",
}


async def _measure(at: Place, kind: str, sizes: Sizes) -> dict[str, float]:
    match kind:
        case "a":
            return (await measure_served(at, sizes.served)).as_dict()
        case "b":
            return (await measure_in_process(at, sizes.single)).as_dict()
        case "c":
            return (await measure_dbos(at, sizes.many)).as_dict()
        case "d":
            return await measure_lifecycle(at, sizes.single)
        case _:
            return await measure_lifecycle(at, sizes.many, burst_from=1)


def _report(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    medians = {
        name: {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}
        for name, rounds in found.items()
    }
    rates = {name: figures["per_second"] for name, figures in medians.items()}
    pairs = {
        "lifecycle_vs_prefect_in_process": ("lifecycle", "prefect_in_process"),
        "lifecycle_vs_prefect_serve": ("lifecycle", "prefect_serve"),
        "burst_vs_dbos": ("burst", "dbos"),
    }
    return {
        "at": datetime.now(UTC).isoformat(),
        "machine": {
            "cores": psutil.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "concurrency": CONCURRENCY,
        "medians": medians,
        "ratios": {
            name: rates[ours] / rates[theirs]
            for name, (ours, theirs) in pairs.items()
            if {ours, theirs} <= rates.keys()
        },
        "rounds": found,
    }


def main() -> None:
    sizes = Sizes()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of which the medians are taken")
    parser.add_argument("--only", default="abcde", help="which of them to measure; results are kept of all alone")
    parser.add_argument("--single", type=int, default=sizes.single, help="runs of (b) and (d) in a round")
    parser.add_argument("--many", type=int, default=sizes.many, help="runs of (c) and (e) in a round")
    given = parser.parse_args()
    result = asyncio.run(measure(given.rounds, Sizes(single=given.single, many=given.many), given.only))
    print(json.dumps({"medians": result["medians"], "ratios": result["ratios"]}, indent=2))
    if set(given.only) == set(_NAMES):
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"engine-{datetime.now(UTC):%Y-%m-%d}.json"
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
