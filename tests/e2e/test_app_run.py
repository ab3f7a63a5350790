"""`app.run()` in programs of a user's own: with and without an event loop, on SQLite and on our own PostgreSQL."""

import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.programs import Program, assert_home_is_free, write
from tests.functional.stacks import HOST, START_SECONDS, Household, ServedStack, eventually

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("e2e")]

MakeStack = Callable[..., ServedStack]

BUILD = """\
import asyncio
import os
import sys

from contexten import ContextenApp

app = ContextenApp(name="mine", tmp_dir=sys.argv[1])
port = int(os.environ["API_PORT"])


@app.github.event("ping")
def ping(event):
    print("pinged:", event["zen"][:13], flush=True)

"""
PLAIN = f"""{BUILD}
app.run(host="127.0.0.1", port=port)
print("ended in good order")
"""
# As documented: in one coroutine, `initialize` and then `run`.
DOCUMENTED = f"""{BUILD}
async def main():
    await app.initialize()
    app.run(host="127.0.0.1", port=port)
    print("ended in good order")

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("source", "kind", "number"),
    [
        pytest.param(PLAIN, "sqlite", signal.SIGINT, id="plain on SQLite, Ctrl-C"),
        pytest.param(DOCUMENTED, "sqlite", signal.SIGTERM, id="documented on SQLite"),
        pytest.param(DOCUMENTED, "embedded", signal.SIGINT, id="documented on PostgreSQL, Ctrl-C"),
    ],
)
def test_it_serves_until_a_signal(
    make_stack: MakeStack,
    household: Household,
    tmp_path: Path,
    source: str,
    kind: str,
    number: signal.Signals,
) -> None:
    settings = {"DB_USE_SQLITE": "true", "DB_SQLITE_PATH": str(tmp_path / "x.db")} if kind == "sqlite" else {}
    stack = make_stack(**settings)
    program = Program(stack, [sys.executable, write(stack.folder, "program.py", source), str(tmp_path / "tmp")])
    with program.running():
        assert program.health()["status"] == "healthy"
        program.deliver_ping_and_wait()
        assert program.end(number) == 0, program.said()
    assert "pinged: Practicality " in program.said(), program.said()
    assert "ended in good order" in program.said()
    assert "Traceback" not in program.said(), program.said()
    assert_home_is_free(stack, household)


def test_a_signal_while_it_starts_ends_it_and_a_taken_port_is_told(
    make_stack: MakeStack, household: Household, tmp_path: Path
) -> None:
    stack = make_stack()
    argv = [sys.executable, write(stack.folder, "program.py", PLAIN), str(tmp_path / "tmp")]

    early = Program(stack, argv)
    with early.running(until_healthy=False):
        # From then on it takes seconds until PostgreSQL, Prefect and the worker run.
        eventually(lambda: stack.state is not None, within=START_SECONDS, what=f"the beginning of {argv}")
        assert early.end() == 0, early.said()
    assert "ended in good order" in early.said(), early.said()
    assert_home_is_free(stack, household)

    with socket.create_server((HOST, int(stack.environment["API_PORT"]))):
        late = Program(stack, argv)
        with late.running(until_healthy=False):
            assert late.wait(within=30) == 1
    assert f"cannot listen on {HOST}:{stack.environment['API_PORT']}: Address already in use" in late.said()
    assert_home_is_free(stack, household)
