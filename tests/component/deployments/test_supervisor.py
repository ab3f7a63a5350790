import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from contexten_core.errors import StackError
from deployments.child import Child, RestartPolicy
from deployments.state import RunningChild
from deployments.supervisor import Supervisor, free_port

REPOSITORY = Path(__file__).parents[3]
SLEEP = "import time; time.sleep(600)\n"
READY = "import os; from deployments.readiness import report_ready; report_ready({'pid': os.getpid()})\n"
IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
ON_TERM = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: end())\n"
QUICKLY = RestartPolicy(first_delay=0.01, longest_delay=0.02, attempts=2)

MakeChild = Callable[..., Child]


@pytest.fixture
def child(tmp_path: Path) -> MakeChild:
    def make(name: str, code: str, **details: Any) -> Child:
        details.setdefault("argv", (sys.executable, "-c", code))
        return Child(
            name=name,
            env={"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
            cwd=tmp_path,
            log=tmp_path / f"{name}.log",
            **details,
        )

    return make


async def always() -> bool:
    return True


async def never() -> bool:
    return False


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it is about other processes
            await asyncio.sleep(0.01)


def pids(supervisor: Supervisor) -> list[int]:
    return [entry.process.pid for entry in supervisor.running]


async def test_a_child_reports_itself_on_its_ready_pipe(child: MakeChild) -> None:
    async with Supervisor() as supervisor:
        reports = await supervisor.start(child("web", READY + SLEEP))
        assert reports == {"web": {"pid": pids(supervisor)[0]}}
    assert supervisor.running == ()


async def test_a_child_is_asked_until_it_is_ready(child: MakeChild, tmp_path: Path) -> None:
    async def ready() -> bool:
        return (tmp_path / "here").exists()

    async with Supervisor() as supervisor:
        await supervisor.start(child("web", "open('here', 'w')\n" + SLEEP, ready=ready))
        assert await ready()


async def test_children_started_together_wait_for_each_other(child: MakeChild) -> None:
    meet = "import os, time\nopen('{0}', 'w')\nwhile not os.path.exists('{1}'): time.sleep(0.01)\n"
    async with Supervisor() as supervisor:
        reports = await supervisor.start(
            child("a", meet.format("a", "b") + READY + SLEEP), child("b", meet.format("b", "a") + READY + SLEEP)
        )
        assert list(reports) == ["a", "b"]


async def test_a_child_has_its_own_session_and_only_its_own_environment(child: MakeChild, tmp_path: Path) -> None:
    code = "import os; print(os.getsid(0) == os.getpid(), os.getcwd(), sorted(os.environ), file=open('seen', 'w'))\n"
    async with Supervisor() as supervisor:
        await supervisor.start(child("web", code + READY + SLEEP))
    seen = (tmp_path / "seen").read_text()
    assert seen.startswith(f"True {tmp_path} ")
    assert set(seen.split("[")[1].strip("]\n").replace("'", "").split(", ")) <= {
        "CONTEXTEN_READY_FD",
        "LC_CTYPE",
        "PYTHONPATH",
        "PYTHONUNBUFFERED",
        "__CF_USER_TEXT_ENCODING",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_child_starts_with_no_signal_ignored_or_blocked(child: MakeChild, tmp_path: Path) -> None:
    async def ready() -> bool:
        return (tmp_path / "signals").exists()

    look = ("/bin/sh", "-c", "grep -E 'Sig(Ign|Blk)' /proc/self/status > new; mv new signals; exec sleep 600")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        async with Supervisor() as supervisor:
            await supervisor.start(child("sh", "", argv=look, ready=ready))
    finally:
        signal.signal(signal.SIGINT, before)
    words = (tmp_path / "signals").read_text().split()
    assert words[::2] == ["SigBlk:", "SigIgn:"]
    # The C library keeps signals 32 and 33 for itself; nobody else can unblock them.
    kept_by_libc = 1 << 31 | 1 << 32
    assert [int(mask, 16) & ~kept_by_libc for mask in words[1::2]] == [0, 0]


async def test_what_a_child_prints_is_in_its_log_to_the_last_word(child: MakeChild, tmp_path: Path) -> None:
    code = "print('x' * 300_000)\nimport signal; signal.signal(signal.SIGTERM, lambda *_: exit(print('bye')))\n"
    async with Supervisor() as supervisor:
        await supervisor.start(child("web", code + READY + SLEEP))
    assert (tmp_path / "web.log").read_text() == "x" * 300_000 + "\nbye\n"


async def test_a_child_that_never_gets_ready_is_ended_with_all_others(child: MakeChild) -> None:
    async with Supervisor() as supervisor:
        await supervisor.start(child("database", READY + SLEEP))
        with pytest.raises(StackError, match=r"web was not ready within 0\.5 s") as caught:
            await supervisor.start(child("web", "print('thinking')\n" + SLEEP, ready=never, start_timeout=0.5))
        assert supervisor.running == ()
        assert "thinking" in (caught.value.hint or "")
        assert "web.log" in (caught.value.hint or "")
        assert caught.value.transient


async def test_a_child_that_ends_too_early_is_quoted(child: MakeChild) -> None:
    async with Supervisor() as supervisor:
        with pytest.raises(StackError, match="web ended with exit code 3 before it was ready") as caught:
            await supervisor.start(child("web", "print('no database'); exit(3)"), child("worker", READY + SLEEP))
        assert supervisor.running == ()
        assert "no database" in (caught.value.hint or "")
        assert not caught.value.transient


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"[1, 2]\n", "it is a list"),
        (b"yes\n", "Expecting value"),
        (b"x" * 200_000, "limit"),
        (b"", "closed its ready pipe without a word"),
    ],
    ids=["a list", "not JSON", "too long", "nothing"],
)
async def test_a_ready_message_that_is_none_is_refused(child: MakeChild, said: bytes, complaint: str) -> None:
    code = (
        "import os; fd = int(os.environ['CONTEXTEN_READY_FD'])\n"
        f"said = b'x' * {len(said)} if {len(said)} > 1000 else {said[:50]!r}\n"
        "while said: said = said[os.write(fd, said):]\n"
        "os.close(fd)\n"
    )
    async with Supervisor() as supervisor:
        with pytest.raises(StackError, match=complaint):
            await supervisor.start(child("web", code + SLEEP))


async def test_a_command_that_does_not_exist_is_named(child: MakeChild) -> None:
    async with Supervisor() as supervisor:
        with pytest.raises(StackError, match="exit code 126") as caught:
            await supervisor.start(child("web", "", argv=("/no/such/program",)))
        assert "cannot execute /no/such/program" in (caught.value.hint or "")


async def test_a_start_that_fails_ends_another_that_is_under_way(child: MakeChild) -> None:
    async with Supervisor() as supervisor:
        slow = asyncio.create_task(supervisor.start(child("prefect", SLEEP, ready=never)))
        await eventually(lambda: len(supervisor.running) == 1)
        with pytest.raises(StackError, match="web ended"):
            await supervisor.start(child("web", "exit(1)"))
        with pytest.raises(StackError, match="web ended"):
            await slow
        with pytest.raises(StackError, match="web ended"):
            await supervisor.start(child("worker", READY + SLEEP))


async def test_a_start_that_is_cancelled_leaves_nothing(child: MakeChild) -> None:
    async with Supervisor() as supervisor:
        start = asyncio.create_task(supervisor.start(child("web", IGNORE_TERM + SLEEP, ready=never, patience=0.1)))
        await eventually(lambda: len(supervisor.running) == 1)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert supervisor.running == ()


async def test_children_end_in_reverse_order(child: MakeChild, tmp_path: Path) -> None:
    code = ON_TERM + "def end(*_): open('order', 'a').write('{0} '); sys.exit()\n"
    async with Supervisor() as supervisor:
        for name in ("database", "prefect", "web"):
            await supervisor.start(child(name, code.format(name) + READY + SLEEP))
    assert (tmp_path / "order").read_text() == "web prefect database "


async def test_stubborn_children_are_killed_within_the_time_for_all(child: MakeChild) -> None:
    async with Supervisor(stop_within=3) as supervisor:
        for name in ("a", "b", "c", "d"):
            await supervisor.start(child(name, IGNORE_TERM + READY + SLEEP, patience=60))
        began = time.monotonic()
    assert time.monotonic() - began < 30


async def test_a_patient_child_gets_the_time_that_others_did_not_need(child: MakeChild, tmp_path: Path) -> None:
    slow = ON_TERM + "def end(*_): time.sleep(0.8); open('done', 'w'); sys.exit()\n"
    async with Supervisor(stop_within=3.2) as supervisor:
        await supervisor.start(child("database", slow + READY + SLEEP))
        for name in ("a", "b", "c"):
            await supervisor.start(child(name, READY + SLEEP))
    assert (tmp_path / "done").exists()


async def test_signals_are_sent_one_after_the_other(child: MakeChild, tmp_path: Path) -> None:
    code = (
        "import signal\n"
        "def note(number, _): open('got', 'a').write(f'{number} '); number == 3 and exit()\n"
        "for number in (2, 3): signal.signal(number, note)\n"
    )
    stop = {"stop_signals": (signal.SIGINT, signal.SIGQUIT), "patience": 0.2}
    async with Supervisor() as supervisor:
        await supervisor.start(child("postgres", code + READY + "while True: " + SLEEP, **stop))
    assert (tmp_path / "got").read_text() == "2 3 "


@pytest.mark.parametrize("leader", ["ends at once", "ignores the signal", "has ended already"])
async def test_what_a_child_started_ends_with_it(child: MakeChild, leader: str) -> None:
    spawn = (
        "import subprocess, sys\n"
        f"command = [sys.executable, '-c', {IGNORE_TERM + SLEEP!r}]\n"
        "for own_session in (False, True): subprocess.Popen(command, start_new_session=own_session)\n"
    )
    reaction = IGNORE_TERM if leader == "ignores the signal" else ""
    async with Supervisor() as supervisor:
        await supervisor.start(child("worker", reaction + spawn + READY + SLEEP, patience=0.2))
        family = psutil.Process(pids(supervisor)[0]).children()
        assert len(family) == 2
        if leader == "has ended already":
            # Only what stayed in the session can be found then.
            family.pop().kill()
            os.kill(pids(supervisor)[0], signal.SIGKILL)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)


async def test_a_stop_that_is_cancelled_kills(child: MakeChild) -> None:
    supervisor = Supervisor()
    await supervisor.start(child("database", IGNORE_TERM + READY + SLEEP))
    await supervisor.start(child("web", IGNORE_TERM + READY + SLEEP))
    processes = [psutil.Process(pid) for pid in pids(supervisor)]
    stop = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0.1)
    stop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stop
    await eventually(lambda: not any(process.is_running() for process in processes))
    await supervisor.stop()


async def test_a_child_that_dies_is_started_again(child: MakeChild, caplog: pytest.LogCaptureFixture) -> None:
    changes: list[tuple[RunningChild, ...]] = []
    async with Supervisor(on_change=changes.append) as supervisor:
        await supervisor.start(child("database", READY + SLEEP))
        await supervisor.start(child("web", READY + SLEEP, restart=QUICKLY))
        database, web = pids(supervisor)
        os.kill(web, signal.SIGKILL)
        await eventually(lambda: len(pids(supervisor)) == 2 and web not in pids(supervisor))
        assert pids(supervisor)[0] == database
    assert [[entry.name for entry in change] for change in changes] == [
        ["database"],
        ["database", "web"],
        ["database"],
        ["database", "web"],
        [],
    ]
    assert "web was ended by SIGKILL; starting it again" in caplog.text


async def test_a_child_is_replaced_by_one_that_is_ready_before_it_is_told_to_go(
    child: MakeChild, tmp_path: Path
) -> None:
    told = "import signal, sys\nsignal.signal(signal.SIGHUP, lambda *_: (open('told', 'w'), sys.exit()))\n"
    async with Supervisor() as supervisor:
        await supervisor.start(child("web", told + READY + SLEEP, restart=QUICKLY))
        (before,) = pids(supervisor)
        await supervisor.replace("web")
        (after,) = pids(supervisor)
        assert after != before
        assert not psutil.pid_exists(before)
        assert (tmp_path / "told").exists()
        os.kill(after, signal.SIGKILL)
        await eventually(lambda: len(pids(supervisor)) == 1 and after not in pids(supervisor))


async def test_a_child_stays_when_its_successor_does_not_get_ready(
    child: MakeChild, caplog: pytest.LogCaptureFixture
) -> None:
    once = "import os\nos.path.exists('started') and exit('not again')\nopen('started', 'w')\n"
    async with Supervisor() as supervisor:
        await supervisor.start(child("web", once + READY + SLEEP))
        before = pids(supervisor)
        await supervisor.replace("web")
        assert pids(supervisor) == before
    assert "web is not replaced: web ended with exit code 1 before it was ready" in caplog.text


async def test_a_hurry_reaches_children_that_are_ending_already(child: MakeChild, tmp_path: Path) -> None:
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: open('draining', 'w').close())\n"
        "signal.signal(signal.SIGINT, lambda *_: (open('hurried', 'w'), sys.exit()))\n"
    )
    hurry = asyncio.Event()
    supervisor = Supervisor(stop_within=60, hurry=hurry)
    await supervisor.start(
        child("worker", code + READY + "while True: " + SLEEP, patience=50, hurry_signals=(signal.SIGINT,))
    )
    stopping = asyncio.create_task(supervisor.stop())
    await eventually((tmp_path / "draining").exists)
    hurry.set()
    async with asyncio.timeout(10):
        await stopping
    assert (tmp_path / "hurried").exists()


async def test_a_child_gets_the_sockets_that_it_inherits(child: MakeChild) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code = f"import socket; name = socket.socket(fileno={listener.fileno()}).getsockname()[1]\n"
        code += "from deployments.readiness import report_ready; report_ready({'port': name})\n"
        async with Supervisor() as supervisor:
            reports = await supervisor.start(child("web", code + SLEEP, inherited=(listener.fileno(),)))
        assert reports == {"web": {"port": listener.getsockname()[1]}}


async def test_a_child_that_dies_too_often_is_given_up(child: MakeChild, tmp_path: Path) -> None:
    code = "open('starts', 'a').write('x')\nprint('out of memory')\n" + READY + "exit(7)"
    async with Supervisor() as supervisor:
        await supervisor.start(child("web", code, restart=QUICKLY))
        async with asyncio.timeout(20):
            with pytest.raises(StackError, match="web ended with exit code 7, given up after 2 restarts") as caught:
                await supervisor.wait()
        assert "out of memory" in (caught.value.hint or "")
    assert (tmp_path / "starts").read_text() == "xxx"


async def test_deaths_are_forgotten_after_a_healthy_time(child: MakeChild, tmp_path: Path) -> None:
    policy = RestartPolicy(first_delay=0.01, longest_delay=0.01, healthy_after=0.0, attempts=1)
    async with Supervisor() as supervisor:
        await supervisor.start(child("web", "open('starts', 'a').write('x')\n" + READY + "exit(1)", restart=policy))
        await eventually(lambda: (tmp_path / "starts").stat().st_size > 3)


def test_delays_double_up_to_the_longest() -> None:
    policy = RestartPolicy(longest_delay=30.0)
    assert [policy.delay(failures) for failures in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


async def test_a_supervisor_that_fails_to_note_its_children_ends(child: MakeChild) -> None:
    def full_disk(children: tuple[RunningChild, ...]) -> None:
        if children:
            raise OSError(28, "No space left on device")

    async with Supervisor(on_change=full_disk) as supervisor:
        with pytest.raises(OSError, match="No space left"):
            await supervisor.start(child("web", READY + SLEEP))


async def test_an_escaped_process_does_not_hold_up_the_end(
    child: MakeChild, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    escape = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
        "    open('escaped', 'w').write(str(os.getpid())); time.sleep(600)\n"
        "os.wait()\n"
        "while not os.path.exists('escaped') or not open('escaped').read(): time.sleep(0.01)\n"
    )
    caplog.set_level(logging.ERROR)
    async with Supervisor() as supervisor:
        await supervisor.start(child("worker", escape + READY + SLEEP))
        began = time.monotonic()
    assert time.monotonic() - began < 30
    assert caplog.records == []
    os.kill(int((tmp_path / "escaped").read_text()), signal.SIGKILL)


def test_the_preferred_port_is_taken_when_it_is_free() -> None:
    chosen = free_port(0)
    assert free_port(chosen) == chosen


def test_another_port_is_found_when_the_preferred_one_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert free_port(taken) not in (taken, 0)


def test_a_port_on_somebody_elses_address_is_refused() -> None:
    with pytest.raises(StackError, match=r"No port can be opened on 192\.0\.2\.1"):
        free_port(0, "192.0.2.1")
