"""A worker that breaks off at a place, or is killed at a time, that it is told; forked where everything is imported.

Reads one request a line, and answers each with the code that its worker ended with: `-9` of one that was killed.
"""

import asyncio
import json
import os
import select
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import astuple, dataclass, fields, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import psycopg
from githubkit.exception import RequestError
from pydantic import SecretStr
from sqlalchemy.exc import OperationalError

from contexten_core import faults
from contexten_core.db import Database, utc_now
from contexten_core.db.engine import sync_address
from contexten_core.errors import GitError, OutboundError, UnavailableError
from contexten_core.errors.retries import Retries, retried
from contexten_core.events.admit import admit_events
from contexten_core.events.claim import claim_events
from contexten_core.execution.collect import collect_trees
from contexten_core.integrations.outbox import deliver_due
from contexten_core.integrations.posters import posters_of
from contexten_core.lifecycle import Steps, handling, live
from contexten_core.runtime import Runtime, open_runtime
from contexten_core.settings import DatabaseConfig, Settings
from contexten_core.settings.execution import SandboxUse
from contexten_core.together import live_together

TOKEN = "ghs_of_the_crash_matrix"
MOST_ROUNDS = 20
_PASSED_OVER = ("/contexten_core/faults.py", "/contexten_core/db/engine.py", "/contexten_core/db/shared.py")
_CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Kind(StrEnum):
    """How a worker breaks off."""

    KILL = "kill"
    EXCEPTION = "exception"
    LOST = "lost connection"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class Point:
    """A fault point: who passes it, before or after what, and for which time."""

    by: str
    what: str
    number: int

    def __str__(self) -> str:
        return f"{self.what} in {self.by}, no. {self.number}"


class Recording:
    """A plan that notes every fault point that is passed, and breaks the worker off at one of them."""

    def __init__(self, database: Database, points: list[Point], *, at: Point | None, kind: Kind) -> None:
        self.points = points
        self._database = database
        self._counts: Counter[tuple[str, str]] = Counter()
        self._at = at
        self.kind = kind

    async def __call__(self, what: str) -> None:
        by = _caller()
        self._counts[by, what] += 1
        point = Point(by, what, self._counts[by, what])
        self.points.append(point)
        if point == self._at:
            await self._break_off(what)

    async def _break_off(self, what: str) -> None:
        if self.kind is Kind.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind is Kind.EXCEPTION:
            raise UnavailableError("something has gone wrong", transient=True)
        if self.kind is Kind.BUG:
            raise RuntimeError("nobody expected this")
        if what == "before commit" and not self._database.is_sqlite:
            address = sync_address(self._database.address).set(drivername="postgresql")
            with psycopg.connect(address.render_as_string(hide_password=False), autocommit=True) as connection:
                connection.execute(_CUT)
            return
        raise _lost(what)


def _lost(what: str) -> Exception:
    is_before, of = what.startswith("before"), what.partition(" ")[2]
    match of:
        case "commit":
            return OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))
        case "GitHub":
            return RequestError(httpx.ConnectError("refused") if is_before else httpx.ReadError("cut"))
        case "effect":
            return OutboundError("no answer", transient=True, ambiguous=True)
        case "git":
            return GitError("the connection was cut", transient=True)
        case _:
            return ConnectionResetError("the connection was cut")


def _caller() -> str:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if "/contexten_core/" in name and not name.endswith(_PASSED_OVER):
            return f"{Path(name).stem}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "nobody"


def settings_of(told: dict[str, Any]) -> Settings:
    """Return the settings that a request holds as text."""
    url = told["database_url"]
    path = told["sqlite_path"]
    database = DatabaseConfig(use_sqlite=True, sqlite_path=Path(path)) if path else DatabaseConfig(url=SecretStr(url))
    return Settings(
        db=database,
        home=Path(told["home"]),
        github_api_url=told["github"],
        github_token=SecretStr(TOKEN),
        lease_seconds=600,
        heartbeat_seconds=60,
        debounce_seconds=0,
        repository_prompts=False,
        # What the machine can do would be found out anew by each worker.
        sandbox=SandboxUse.OFF,
        enable_performance_monitoring=False,
    )


async def work(runtime: Runtime, *, tries_again: bool = True, together: bool = False) -> None:
    """Do what a worker does, until there is nothing to do now.

    Args:
        tries_again: whether a step that fails is tried again at once, as Prefect's tasks are after a while.
        together: whether to handle events as is done when there are many.
    """
    await admit_events(runtime, limit=10)
    plain = Steps.plain(runtime)
    runs = await claim_events(runtime, limit=10)
    if together:
        await live_together(runtime, runs)
    for run in () if together else runs:
        async with handling(runtime, run):
            await live(runtime, run, _patient(plain) if tries_again else plain)
    posters = posters_of(runtime.settings, runtime.database)
    for _ in range(MOST_ROUNDS):
        if not await deliver_due(runtime, posters):
            break
    await collect_trees(runtime.database, runtime.settings, now=utc_now())


def _patient(steps: Steps) -> Steps:
    names = [each.name for each in fields(steps) if each.name != "complete_run"]
    return replace(steps, **{name: partial(_tried_again, getattr(steps, name)) for name in names})


async def _tried_again(step: Callable[..., Awaitable[Any]], *given: Any) -> Any:
    return await retried(Retries(most=2, seconds=60, first_delay=0.01), partial(step, *given))


async def _work_and_break(request: dict[str, Any], points: list[Point]) -> None:
    at = request["at"]
    async with open_runtime(settings_of(request["settings"])) as runtime:
        place = None if at is None else Point(**at)
        plan = Recording(runtime.database, points, at=place, kind=Kind(request["kind"]))
        faults.install(plan)
        await work(runtime, tries_again=plan.kind is Kind.LOST, together=request["together"])


def _one(request: dict[str, Any]) -> int:
    points: list[Point] = []
    try:
        asyncio.run(_work_and_break(request, points))
    except Exception as error:  # noqa: BLE001 - it breaks off with whatever it was told to
        print(f"broke off: {error!r}", file=sys.stderr)
        return 1
    else:
        return 0
    finally:
        Path(request["points"]).write_text(json.dumps([astuple(point) for point in points]))


def _requests() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    for request in _requests():
        pid = os.fork()
        if pid == 0:
            os._exit(_one(request))
        if request["after"] is not None:
            _kill(pid, after=request["after"])
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _kill(pid: int, *, after: float) -> None:
    """`kill -9` a child after so many seconds, unless it has ended by itself; it is still there to be waited for."""
    end = select.poll()
    child = os.pidfd_open(pid)
    try:
        end.register(child, select.POLLIN)
        if not end.poll(after * 1000):
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(child)


if __name__ == "__main__":
    main()
