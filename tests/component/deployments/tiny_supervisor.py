"""A supervisor for tests to kill: `tiny_supervisor.py HOME KIND` prints a line when its child runs, then waits.

KIND is `plain` (a child that ends when its supervisor dies), `stubborn` (one that ignores TERM, with a grandchild),
`postgres`, or `postgres-orphan` (a server whose death signal has no effect, as on systems that have none).
"""

import asyncio
import dataclasses
import os
import sys
from pathlib import Path
from signal import Signals

from deployments.child import Child
from deployments.embedded_postgres import EmbeddedPostgres
from deployments.home import Home
from deployments.process_table import ProcessId
from deployments.state import StackState
from deployments.supervisor import Supervisor

PLAIN = "from deployments.readiness import report_ready; import time; report_ready(); time.sleep(600)"
STUBBORN = (
    "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n" + PLAIN
)


async def main(home: Home, kind: str) -> None:
    home.create()
    this = ProcessId.of(os.getpid())
    assert this is not None
    state = StackState(supervisor=this, started_at="now", urls={"web": "http://127.0.0.1:1"})
    with home.lock():
        async with Supervisor(
            on_change=lambda children: home.write_state(dataclasses.replace(state, children=children))
        ) as supervisor:
            await supervisor.start(await child(home, kind))
            sys.stdout.write("running\n")
            sys.stdout.flush()
            await supervisor.wait()


async def child(home: Home, kind: str) -> Child:
    if kind.startswith("postgres"):
        postgres = EmbeddedPostgres(home)
        await postgres.prepare()
        child = postgres.child()
        return dataclasses.replace(child, stop_signals=(Signals.SIGCONT,)) if kind == "postgres-orphan" else child
    return Child(
        name=kind,
        argv=(sys.executable, "-c", PLAIN if kind == "plain" else STUBBORN),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        cwd=Path("/"),
        log=home.log(kind),
        patience=0.2,
    )


asyncio.run(main(Home(Path(sys.argv[1])), sys.argv[2]))
