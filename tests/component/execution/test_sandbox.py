"""What a command sees, and can do, behind the walls."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from contexten_core.errors import ExecutionError
from contexten_core.execution.command import CommandResult, Ended, Limits, run_command
from contexten_core.execution.sandbox import Sandbox, SandboxLevel, find_sandbox


async def _run(
    *argv: str, cwd: Path, walls: Sandbox, limits: Limits | None = None, scratch: Path | None = None
) -> CommandResult:
    return await run_command(argv, cwd=cwd, limits=limits or Limits(), sandbox=walls, scratch=scratch)


async def test_a_command_works_on_its_checkout(cwd: Path, walls: Sandbox) -> None:
    (cwd / "test_it.py").write_text("def test_it(tmp_path):\n    (tmp_path / 'x').touch()\n")

    result = await _run("python", "-m", "pytest", "-q", cwd=cwd, walls=walls)

    assert result.succeeded, result.output
    assert result.sandbox is SandboxLevel.BUBBLEWRAP
    assert "1 passed" in result.output
    assert (cwd / ".pytest_cache").is_dir()
    assert list(cwd.parent.iterdir()) == [cwd]


async def test_its_world_is_small(cwd: Path, walls: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACCESS_TOKEN", "planted-canary")
    script = (
        "pwd; env | cut -d= -f1 | sort | xargs; id -un; hostname; ls /run /home /tmp /var; set -- /proc/[0-9]*; echo $#"
    )

    result = await _run("sh", "-c", script, cwd=cwd, walls=walls)

    folder, variables, user, host, *found = result.output.splitlines()
    assert (folder, user, host) == ("/work/code", "worker", "sandbox")
    assert variables == "CI CONTEXTEN_RUN HOME LANG PATH PWD TMPDIR"
    # Process 1 and the shell.
    assert found[-1] == "2"
    assert str(cwd.parent.name) not in result.output


async def test_the_services_environment_is_in_no_process(
    cwd: Path, walls: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACCESS_TOKEN", "planted-canary")

    result = await _run(
        "sh", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'", cwd=cwd, walls=walls
    )

    assert "CONTEXTEN_RUN=" in result.output
    assert "planted-canary" not in result.output


@pytest.mark.parametrize(
    "script",
    [
        "touch /x",
        "touch /usr/x",
        "touch /etc/passwd",
        "touch /dev/x",
        f"touch {Path(sys.executable).parent}/x",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo 0 > /proc/sys/vm/swappiness",
        "mount -t tmpfs none /tmp",
        "unshare --user true",
        "dmesg",
        "chroot /work/code true",
        "mknod /work/code/null c 1 3",
        "python3 -c 'import socket; socket.socket(40, socket.SOCK_STREAM)'",
        "python3 -c 'import os; os.memfd_create(\"x\")'",
        "ping -c 1 127.0.0.1 || cat /etc/shadow",
    ],
)
async def test_what_it_may_not_do_fails(script: str, cwd: Path, walls: Sandbox) -> None:
    result = await _run("sh", "-c", script, cwd=cwd, walls=walls)

    assert not result.succeeded


async def test_it_has_no_power_at_all(cwd: Path, walls: Sandbox) -> None:
    result = await _run("grep", "-E", "^(Cap|NoNewPrivs|Seccomp:)", "/proc/self/status", cwd=cwd, walls=walls)

    found = dict(line.split(":\t") for line in result.output.splitlines())
    powers = {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert powers == {"0000000000000000"}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


async def test_devices_of_this_machine_stay_as_they_are(cwd: Path, walls: Sandbox) -> None:
    before = os.stat(os.devnull).st_mode  # noqa: PTH116 - a device

    await _run("sh", "-c", "chmod 700 /dev/null /dev/zero /dev/tty /dev/fd/0; echo x > /dev/null", cwd=cwd, walls=walls)

    assert os.stat(os.devnull).st_mode == before  # noqa: PTH116
    assert list(cwd.parent.iterdir()) == [cwd]


async def test_no_service_of_this_machine_answers(cwd: Path, walls: Sandbox) -> None:
    name = f"contexten-{secrets.token_hex(8)}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0{name}")
        abstract.listen()
        script = f"""
import socket
for family, address in ((socket.AF_INET, ("127.0.0.1", {tcp.getsockname()[1]})), (socket.AF_UNIX, "\\0{name}")):
    try:
        socket.socket(family).connect(address)
    except OSError as error:
        print(type(error).__name__)
"""
        result = await _run("python3", "-c", script, cwd=cwd, walls=walls)

    assert result.output == "ConnectionRefusedError\n" * 2


async def test_programs_in_it_talk_to_each_other(cwd: Path, walls: Sandbox) -> None:
    script = """
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: server.accept()[0].sendall(b"hello")).start()
print(socket.create_connection(server.getsockname()).recv(9))
"""
    result = await _run("python3", "-c", script, cwd=cwd, walls=walls)

    assert result.output == "b'hello'\n"


async def test_home_is_its_own(cwd: Path, walls: Sandbox, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    result = await _run("sh", "-c", "touch $HOME/kept $TMPDIR/lost; echo $HOME", cwd=cwd, walls=walls, scratch=scratch)

    assert result.output == "/work/home\n"
    assert [path.name for path in scratch.rglob("*") if path.is_file()] == ["kept"]
    assert not (scratch / "devices").exists()


async def test_temporary_files_have_a_size(cwd: Path, walls: Sandbox) -> None:
    script = "head -c 3000000 /dev/zero > /tmp/big; ls -l /tmp/big"

    result = await _run("sh", "-c", script, cwd=cwd, walls=walls, limits=Limits(temporary_bytes=1_048_576))

    assert "No space left on device" in result.output
    assert " 1048576 " in result.output


async def test_a_folder_may_be_hidden_or_shown(cwd: Path, walls: Sandbox, tmp_path: Path) -> None:
    tools, home = tmp_path / "tools", tmp_path / "tools/home"
    home.mkdir(parents=True)
    (tools / "tool").write_text("useful")
    (home / "secret").write_text("canary")
    found = find_sandbox(shown=(tools,), hidden=(home,))

    result = await _run("sh", "-c", f"cat {tools}/tool; ls -A {home}; touch {tools}/x {home}/x", cwd=cwd, walls=found)

    assert result.output.startswith("useful")
    assert "secret" not in result.output
    assert result.output.count("Read-only file system") == 2


async def test_how_it_ended_is_told_exactly(cwd: Path, walls: Sandbox) -> None:
    codes = await asyncio.gather(
        *(_run("sh", "-c", script, cwd=cwd, walls=walls) for script in ("exit 139", "kill -SEGV $$", "kill -KILL $$"))
    )

    assert [(found.exit_code, found.signal) for found in codes] == [
        (139, None),
        (None, signal.SIGSEGV),
        (None, signal.SIGKILL),
    ]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["no-such-program-here"], "was not found"),
        (["./missing.sh"], "was not found"),
        (["./data.txt"], "is not executable"),
        (["./no-first-line"], "is not a program for this machine"),
        (["./bad-first-line"], "was not found"),
        (["true", "a\x00b"], "NUL"),
        (["true", "x" * 3_000_000], "Argument list too long"),
    ],
)
async def test_what_cannot_be_started_is_explained(argv: list[str], says: str, cwd: Path, walls: Sandbox) -> None:
    (cwd / "data.txt").write_text("data")
    for name, content in {"no-first-line": b"\x01\x02", "bad-first-line": b"#!/no/such/interpreter\n"}.items():
        (cwd / name).write_bytes(content)
        (cwd / name).chmod(0o755)

    with pytest.raises(ExecutionError) as caught:
        await _run(*argv, cwd=cwd, walls=walls)

    assert says in f"{caught.value.message} {caught.value.hint}"
    assert list(cwd.parent.iterdir()) == [cwd]


async def test_walls_that_cannot_be_put_up_are_an_error(cwd: Path, walls: Sandbox) -> None:
    broken = Sandbox(walls.level, program=(*walls.program, "--ro-bind", "/no/such/folder", "/x"), common=walls.common)

    with pytest.raises(ExecutionError, match=r"could not be put up: bwrap: .*no/such/folder"):
        await _run("true", cwd=cwd, walls=broken)

    assert list(cwd.parent.iterdir()) == [cwd]


async def test_a_command_may_tidy_up_when_it_is_stopped(cwd: Path, walls: Sandbox) -> None:
    script = "trap 'echo tidied; exit 7' TERM; echo ready; while :; do :; done"
    cancel = asyncio.Event()

    async def stop(text: str) -> None:
        cancel.set()

    result = await run_command(
        ["sh", "-c", script], cwd=cwd, limits=Limits(), sandbox=walls, on_output=stop, cancel=cancel
    )

    assert (result.ended, result.exit_code, result.output) == (Ended.CANCELLED, 7, "ready\ntidied\n")


async def test_many_at_once_give_back_what_they_took(cwd: Path, walls: Sandbox) -> None:
    await _run("true", cwd=cwd, walls=walls)
    before = psutil.Process().num_fds()

    results = await asyncio.gather(*(_run("true", cwd=cwd, walls=walls) for _ in range(8)))

    assert [result.exit_code for result in results] == [0] * 8
    assert psutil.Process().num_fds() == before


async def test_variables_of_the_caller_never_reach_bubblewrap_itself(cwd: Path, walls: Sandbox) -> None:
    (cwd / "evil.so").write_text("not a library")

    result = await run_command(
        ["python3", "-c", "import os; print(os.environ['LD_PRELOAD'])"],
        cwd=cwd,
        limits=Limits(),
        sandbox=walls,
        environment={"LD_PRELOAD": "./evil.so", "EXTRA": "given"},
    )

    # The linker complains once, for the program inside.
    assert result.output.splitlines()[-1] == "./evil.so"
    assert result.output.count("cannot be preloaded") == 1
