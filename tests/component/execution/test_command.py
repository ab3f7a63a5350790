"""Real programs, run within limits, none of which outlives its run."""

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from contexten_core.errors import ExecutionError
from contexten_core.execution.command import CommandResult, Ended, Limits, describe, run_command


@pytest.fixture
def nap() -> str:
    """Return a minute, written in a way by which a sleeping process can be told from all others."""
    return f"60.{secrets.randbelow(10**9):09}"


def _shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def _python(script: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", script]


def _running(marker: str) -> list[int]:
    """List processes with `marker` as an argument, zombies excluded: those have no arguments any more."""
    return [
        process.pid for process in psutil.process_iter(["cmdline"]) if marker in " ".join(process.info["cmdline"] or [])
    ]


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - another process fulfils it
            await asyncio.sleep(0.01)


async def test_a_command_that_succeeds(cwd: Path) -> None:
    result = await run_command(_shell("echo out; echo err >&2; echo out"), cwd=cwd, limits=Limits())

    assert (result.ended, result.exit_code, result.signal) == (Ended.EXITED, 0, None)
    assert result.output == "out\nerr\nout\n"
    assert (result.output_bytes_total, result.truncated, result.succeeded) == (12, False, True)


async def test_a_command_that_fails(cwd: Path) -> None:
    result = await run_command(_shell("exit 3"), cwd=cwd, limits=Limits())

    assert (result.ended, result.exit_code, result.succeeded) == (Ended.EXITED, 3, False)
    assert describe(result) == f"exit code 3 after {result.duration_seconds:.1f} s"
    assert result.summary.startswith(describe(result))


async def test_a_command_that_a_signal_ends(cwd: Path) -> None:
    result = await run_command(_shell("kill -SEGV $$"), cwd=cwd, limits=Limits())

    assert (result.ended, result.exit_code, result.signal) == (Ended.SIGNALLED, None, signal.SIGSEGV)
    assert describe(result).startswith("killed by SIGSEGV after")


async def test_a_command_that_takes_too_long(cwd: Path) -> None:
    result = await run_command(_shell("echo started; exec sleep 100"), cwd=cwd, limits=Limits(wall_seconds=0.2))

    assert (result.ended, result.output) == (Ended.TIMED_OUT, "started\n")
    assert describe(result) == "stopped after the limit of 0.2 s"
    assert 0.2 <= result.duration_seconds < 50


async def test_a_command_may_tidy_up_when_it_is_stopped(cwd: Path) -> None:
    script = "trap 'echo tidied; exit 7' TERM; echo ready; while :; do :; done"

    result = await run_command(_shell(script), cwd=cwd, limits=Limits(wall_seconds=0.2))

    assert (result.ended, result.exit_code, result.output) == (Ended.TIMED_OUT, 7, "ready\ntidied\n")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["no-such-program-here"], "was not found"),
        (["./missing.sh"], "was not found"),
        (["./data.txt"], "is not executable"),
        (["./no-first-line"], "is not a program for this machine"),
        (["./bad-first-line"], "was not found"),
        (["true", "a\x00b"], "NUL"),
        ([], "no command"),
        (["true", "x" * 3_000_000], "Argument list too long"),
    ],
)
async def test_what_cannot_be_started_is_explained(argv: list[str], says: str, cwd: Path) -> None:
    (cwd / "data.txt").write_text("data")
    for name, content in {"no-first-line": b"\x01\x02", "bad-first-line": b"#!/no/such/interpreter\n"}.items():
        (cwd / name).write_bytes(content)
        (cwd / name).chmod(0o755)

    with pytest.raises(ExecutionError) as caught:
        await run_command(argv, cwd=cwd, limits=Limits())

    assert says in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.hint
    assert not caught.value.transient
    assert list(cwd.parent.iterdir()) == [cwd]


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match="no such folder"):
        await run_command(["true"], cwd=tmp_path / "missing", limits=Limits())


async def test_nothing_of_the_services_environment_is_seen(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACCESS_TOKEN", "planted-canary")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    result = await run_command(["env"], cwd=cwd, limits=Limits(), environment={"EXTRA": "given", "CI": "yes"})

    seen = dict(line.split("=", 1) for line in result.output.splitlines())
    assert seen.keys() == {"PATH", "HOME", "TMPDIR", "LANG", "CI", "CONTEXTEN_RUN", "EXTRA"}
    assert "planted-canary" not in result.output
    assert (seen["LANG"], seen["CI"], seen["EXTRA"]) == ("C.UTF-8", "yes", "given")
    assert seen["PATH"].split(":")[0] == str(Path(sys.executable).parent)


async def test_home_and_temporary_files_are_its_own_and_go_away(cwd: Path) -> None:
    script = "touch $HOME/a $TMPDIR/b && mkdir -p $HOME/locked/x && chmod 000 $HOME/locked && echo $HOME $TMPDIR"

    result = await run_command(_shell(script), cwd=cwd, limits=Limits())

    home, temporary = (Path(name) for name in result.output.split())
    assert home.parent == temporary.parent
    assert home.parent.parent == cwd.parent
    assert list(cwd.parent.iterdir()) == [cwd]


async def test_the_caller_may_give_the_folder_for_them(cwd: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    await run_command(_shell("touch $HOME/kept"), cwd=cwd, limits=Limits(), scratch=scratch)

    assert (scratch / "home/kept").exists()


async def test_folders_deeper_than_any_path_are_removed(cwd: Path) -> None:
    script = "import os; os.chdir(os.environ['TMPDIR'])\nfor _ in range(1100): os.mkdir('deep'); os.chdir('deep')"

    result = await run_command(_python(script), cwd=cwd, limits=Limits())

    assert result.succeeded, result.output
    assert list(cwd.parent.iterdir()) == [cwd]


async def test_it_has_no_input_no_terminal_and_no_open_files_of_ours(cwd: Path) -> None:
    script = (
        "import os, sys; opened = os.listdir('/proc/self/fd')\n"
        "print(sys.stdin.read() == '', len(opened), os.getsid(0) == os.getpid() == os.getpgid(0))"
    )

    result = await run_command(_python(script), cwd=cwd, limits=Limits())

    # 0, 1, 2 and the one that lists the folder.
    assert result.output == "True 4 True\n"


async def test_output_comes_while_it_runs(cwd: Path) -> None:
    chunks: list[tuple[float, str]] = []

    async def keep(text: str) -> None:
        chunks.append((time.monotonic(), text))

    script = "i=0; while [ $i -lt 60 ]; do echo line $i; sleep 0.01; i=$((i+1)); done"
    result = await run_command(_shell(script), cwd=cwd, limits=Limits(), on_output=keep)

    assert "".join(text for _, text in chunks) == result.output
    assert 3 <= len(chunks) <= 1 + result.duration_seconds / 0.3 + 1
    between = [later - earlier for (earlier, _), (later, _) in pairwise(chunks[:-1])]
    assert min(between) > 0.25


async def test_a_flood_of_output_costs_little(cwd: Path) -> None:
    live: list[str] = []

    async def keep(text: str) -> None:
        live.append(text)
        await asyncio.sleep(0.5)

    result = await run_command(
        _shell("echo first; yes | head -c 50000000; echo; echo last"),
        cwd=cwd,
        limits=Limits(output_bytes=10_000),
        on_output=keep,
    )

    assert result.succeeded
    assert (result.truncated, result.output_bytes_total) == (True, 50_000_012)
    assert result.output.startswith("first\ny\n")
    assert result.output.endswith("y\n\nlast\n")
    assert "49990012 bytes left out" in result.output
    assert len("".join(live)) < 10_200
    assert "".join(live).count("more than 10000 bytes") == 1


async def test_a_failing_listener_ends_the_command(cwd: Path, nap: str) -> None:
    async def fail(text: str) -> None:
        raise ConnectionError(text)

    with pytest.raises(ConnectionError, match="hello"):
        await run_command(_shell(f"echo hello; exec sleep {nap}"), cwd=cwd, limits=Limits(), on_output=fail)

    assert not _running(nap)


STUBBORN = """
trap '' TERM
setsid sh -c 'trap "" TERM; sleep {0}; sleep {0}' &
(setsid sh -c 'trap "" TERM; (setsid sleep {0} &); sleep {0}; sleep {0}' &)
sleep {0}; sleep {0}; sleep {0}
"""


async def test_nothing_survives_the_time_limit(cwd: Path, nap: str) -> None:
    limits = Limits(wall_seconds=0.3, grace_seconds=0.1)

    result = await run_command(_shell(STUBBORN.format(nap)), cwd=cwd, limits=limits)

    assert (result.ended, result.signal) == (Ended.TIMED_OUT, signal.SIGKILL)
    assert not _running(nap)


async def test_nothing_survives_cancelling_the_task(cwd: Path, nap: str) -> None:
    run = asyncio.create_task(run_command(_shell(STUBBORN.format(nap)), cwd=cwd, limits=Limits(grace_seconds=0.1)))
    await _until(lambda: len(_running(nap)) >= 5)

    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert not _running(nap)
    assert list(cwd.parent.iterdir()) == [cwd]


async def test_nothing_survives_cancelling_it_again_and_again(cwd: Path, nap: str) -> None:
    run = asyncio.create_task(run_command(_shell(STUBBORN.format(nap)), cwd=cwd, limits=Limits()))
    await _until(lambda: len(_running(nap)) >= 5)

    while not run.done():
        run.cancel()
        await asyncio.sleep(0)

    assert run.cancelled()
    assert not _running(nap)


async def test_a_cancelled_command_still_gives_its_result(cwd: Path, nap: str) -> None:
    cancel = asyncio.Event()

    async def stop(text: str) -> None:
        cancel.set()

    result = await run_command(
        _shell(f"echo begun; exec sleep {nap}"), cwd=cwd, limits=Limits(), on_output=stop, cancel=cancel
    )

    assert (result.ended, result.output) == (Ended.CANCELLED, "begun\n")
    assert describe(result).startswith("cancelled after")
    assert not _running(nap)


async def test_what_runs_on_in_the_background_does_not_hold_up_the_result(cwd: Path, nap: str) -> None:
    script = f"sleep {nap} & (setsid sleep {nap} &); echo done"

    result = await run_command(_shell(script), cwd=cwd, limits=Limits())

    assert (result.exit_code, result.output) == (0, "done\n")
    assert result.duration_seconds < 30
    assert not _running(nap)


async def test_a_daemon_that_sheds_its_environment_is_found_by_its_output(cwd: Path, nap: str) -> None:
    script = f"(setsid env -i sh -c 'sleep {nap}; true' &); echo done"

    result = await run_command(_shell(script), cwd=cwd, limits=Limits())

    assert (result.exit_code, result.output) == (0, "done\n")
    assert not _running(nap)


async def test_a_daemon_that_sheds_everything_is_found_by_its_parents(cwd: Path, nap: str) -> None:
    script = f"sh -c 'setsid env -i sh -c \"sleep {nap}; true\" >/dev/null 2>&1 & sleep 0.3' ; echo done"

    result = await run_command(_shell(script), cwd=cwd, limits=Limits())

    assert (result.exit_code, result.output) == (0, "done\n")
    assert not _running(nap)


async def test_stopped_processes_end_too(cwd: Path, nap: str) -> None:
    limits = Limits(wall_seconds=0.2, grace_seconds=0.1)

    result = await run_command(
        _shell(f"sleep {nap} & kill -STOP $!; while :; do kill -STOP $$; done"), cwd=cwd, limits=limits
    )

    assert result.ended is Ended.TIMED_OUT
    assert not _running(nap)


async def test_processor_time_and_memory_are_measured(cwd: Path) -> None:
    script = "import time; held = bytearray(64 << 20)\nwhile time.process_time() < 0.3: pass\ntime.sleep(0.1)"

    result = await run_command(_python(script), cwd=cwd, limits=Limits())

    assert 0.3 <= result.cpu_seconds < 10
    assert result.cpu_percent == pytest.approx(100 * result.cpu_seconds / result.duration_seconds)
    assert result.peak_memory_mb is not None
    assert 64 < result.peak_memory_mb < 110


async def test_the_services_own_memory_is_not_counted(cwd: Path) -> None:
    held = bytearray(100 << 20)

    result = await run_command(["true"], cwd=cwd, limits=Limits())

    assert held
    assert result.peak_memory_mb is None or result.peak_memory_mb < 50


async def test_files_have_a_largest_size(cwd: Path) -> None:
    script = "sleep 0.05; head -c 3000000 /dev/zero > big"

    result = await run_command(_shell(script), cwd=cwd, limits=Limits(file_bytes=1_000_000))

    assert not result.succeeded
    assert (cwd / "big").stat().st_size == 1_000_000


async def test_limits_reach_the_program(cwd: Path) -> None:
    script = "sleep 0.05; ulimit -c; ulimit -n; ulimit -v"

    result = await run_command(
        _shell(script), cwd=cwd, limits=Limits(open_files=64, memory_bytes=512 * 1024**2, processes=10_000)
    )

    assert result.output.split() == ["0", "64", str(512 * 1024)]


async def test_many_at_once(cwd: Path) -> None:
    before = psutil.Process().num_fds()

    results = await asyncio.gather(*(run_command(["true"], cwd=cwd, limits=Limits()) for _ in range(50)))

    assert [result.exit_code for result in results] == [0] * 50
    assert psutil.Process().num_fds() == before


async def test_where_the_system_has_no_process_descriptors(
    cwd: Path, nap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)

    finished = await run_command(["true"], cwd=cwd, limits=Limits())
    stopped = await run_command(["sleep", nap], cwd=cwd, limits=Limits(wall_seconds=0.1))

    assert (finished.exit_code, stopped.ended) == (0, Ended.TIMED_OUT)


async def test_the_event_loop_may_end_in_the_middle(cwd: Path, nap: str) -> None:
    async def interrupted() -> None:
        running = asyncio.create_task(run_command(["sleep", nap], cwd=cwd, limits=Limits()))
        await _until(lambda: _running(nap))
        assert not running.done()

    await asyncio.to_thread(asyncio.run, interrupted())

    assert not _running(nap)


@pytest.mark.parametrize(
    ("ended", "code", "number", "line"),
    [
        (Ended.EXITED, 1, None, "exit code 1 after 3.2 s"),
        (Ended.SIGNALLED, None, 11, "killed by SIGSEGV after 3.2 s"),
        (Ended.SIGNALLED, None, 40, "killed by signal 40 after 3.2 s"),
        (Ended.TIMED_OUT, None, 15, "stopped after the limit of 900 s"),
        (Ended.CANCELLED, None, 15, "cancelled after 3.2 s"),
        (Ended.EXHAUSTED, None, 9, "stopped after 3.2 s for using more than 20 processes and threads"),
    ],
)
def test_a_line_for_people(ended: Ended, code: int | None, number: int | None, line: str) -> None:
    result = CommandResult(
        ended=ended,
        exit_code=code,
        signal=number,
        duration_seconds=3.21,
        limit_seconds=900,
        cpu_seconds=2.0,
        cpu_percent=62.3,
        peak_memory_mb=120.4,
        output="",
        output_bytes_total=0,
        truncated=False,
        limit="20 processes and threads",
    )

    assert describe(result) == line
    assert result.summary == f"{line} (2.0 s of CPU, 120 MB of memory at most)"
