import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals

import pytest

from contexten_core.errors import StackError
from deployments.home import Home
from deployments.process_table import ProcessId
from deployments.state import RunningChild, StackState
from deployments.takeover import end_orphans

REPOSITORY = Path(__file__).parents[3]
TINY_SUPERVISOR = Path(__file__).with_name("tiny_supervisor.py")


@contextmanager
def tiny_supervisor(home: Home, kind: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(TINY_SUPERVISOR), str(home.root), kind]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"running\n"
        yield supervisor


def kill_with_minus_nine(home: Home, kind: str) -> RunningChild:
    with tiny_supervisor(home, kind) as supervisor:
        supervisor.kill()
    state = home.read_state()
    assert state is not None
    assert not state.supervisor.is_running()
    return state.children[0]


def ended_soon(process: ProcessId) -> bool:
    deadline = time.monotonic() + 5
    while process.is_running() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not process.is_running()


async def test_there_is_nothing_to_take_over_in_a_new_home(home: Home) -> None:
    assert await end_orphans(home) == ()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a death signal; elsewhere the next serve ends them")
async def test_children_end_when_their_supervisor_is_killed(home: Home) -> None:
    child = kill_with_minus_nine(home, "plain")
    assert ended_soon(child.process)
    with home.lock():
        assert await end_orphans(home) == ()
        assert home.read_state() is None


async def test_children_that_would_not_end_are_ended_by_the_next_holder(home: Home) -> None:
    child = kill_with_minus_nine(home, "stubborn")
    (grandchild,) = child.process.family()
    time.sleep(0.2)  # noqa: ASYNC251 - time for a death signal to have no effect
    assert child.process.is_running()
    with home.lock():
        assert await end_orphans(home) == (child,)
    assert not child.process.is_running()
    assert not grandchild.is_running()
    assert home.read_state() is None


async def test_what_an_orphan_left_in_its_session_is_ended_as_well(home: Home) -> None:
    child = kill_with_minus_nine(home, "stubborn")
    (grandchild,) = child.process.family()
    os.kill(child.process.pid, signal.SIGKILL)
    assert ended_soon(child.process)
    with home.lock():
        assert await end_orphans(home) == (child,)
    assert not grandchild.is_running()


@contextmanager
def stranger() -> Iterator[ProcessId]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as process:
        yield ProcessId.of_started(process.pid)
        process.kill()


def a_state(child: ProcessId, supervisor: ProcessId) -> StackState:
    orphan = RunningChild(name="web", process=child, command="python", stop_signals=(Signals.SIGTERM,), patience=1.0)
    return StackState(supervisor=supervisor, started_at="then", urls={}, children=(orphan,))


@pytest.mark.parametrize("birth", ["another boot:1", "{world}:1"], ids=["boot", "time"])
async def test_a_process_that_got_the_pid_of_a_child_is_left_alone(home: Home, birth: str) -> None:
    with stranger() as process:
        child = dataclasses.replace(process, birth=birth.format(world=process.birth.rpartition(":")[0]))
        home.write_state(a_state(child, supervisor=dataclasses.replace(child, pid=1)))
        assert await end_orphans(home) == ()
        assert process.is_running()


async def test_a_supervisor_that_lost_its_lock_is_not_robbed(home: Home) -> None:
    with tiny_supervisor(home, "plain") as supervisor:
        home.lock_file.unlink()
        with home.lock(), pytest.raises(StackError, match=rf"pid {supervisor.pid}\) still runs"):
            await end_orphans(home)
        supervisor.terminate()
