"""Hostile commands find nothing, break nothing and leave nothing (`make soak` for the long form)."""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from contexten_core.execution.command import Ended, Exceeded, Limits, run_command
from contexten_core.execution.sandbox import NO_SANDBOX, Sandbox, SandboxLevel, find_sandbox
from contexten_core.execution.sandbox_cgroup import ControlGroup
from tests.soak.web import IS_LONG

OUTPUT_BYTES = 10 * 10**9 if IS_LONG else 200 * 10**6
MEBIBYTE = 1024**2


@pytest.fixture(params=list(SandboxLevel))
def walls(request: pytest.FixtureRequest) -> Sandbox:
    """Each sandbox level that this machine has."""
    if request.param is SandboxLevel.NONE:
        return NO_SANDBOX
    return _strongest()


def _strongest() -> Sandbox:
    found = find_sandbox()
    if found.level is SandboxLevel.NONE:
        pytest.skip(f"NO SANDBOX ON THIS MACHINE: {found.reason}; {found.hint}")
    return found


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "home/.contexten/checkouts/run/code"
    folder.mkdir(parents=True)
    return folder


@dataclass
class Planted:
    """Thirty secrets where a service has them, and what a thief would look at."""

    canaries: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    addresses: list[tuple[str, int]] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)

    def canary(self) -> str:
        self.canaries.append(f"canary-{secrets.token_hex(12)}")
        return self.canaries[-1]

    def file(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"token = {self.canary()}\n")
        self.paths.append(str(path))


VARIABLES = ("GITHUB_ACCESS_TOKEN", "LINEAR_API_KEY", "SLACK_BOT_TOKEN", "DATABASE_URL", "OPENAI_API_KEY", "AWS_SECRET")
IN_HOME = (
    *(".ssh/id_ed25519", ".aws/credentials", ".netrc", ".gitconfig", ".git-credentials", ".config/gh/hosts.yml"),
    ".docker/config.json",
)
IN_STATE = ("postgres/password", "secrets/webhook", "mirrors/a.git/config", "checkouts/other/code/.env", "spool/1.json")


@pytest.fixture
def planted(tmp_path: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Planted]:
    planted = Planted()
    home = tmp_path / "home"
    variables = {name: planted.canary() for name in VARIABLES}
    for name, value in {**variables, "HOME": str(home), "CONTEXTEN_HOME": str(home / ".contexten")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "etc/gitconfig"))
    shared = Path(f"/dev/shm/contexten-{secrets.token_hex(8)}")
    for path in (
        *(home / name for name in IN_HOME),
        *(home / ".contexten" / name for name in IN_STATE),
        *(cwd.parent / "beside", cwd.parent.parent / ".git/config", tmp_path / "etc/gitconfig"),
        *(shared, tmp_path / "opened"),
    ):
        planted.file(path)
    # What was in a process's environment from its start can be read of it by others.
    environment = {**variables, "A": planted.canary(), "B": planted.canary(), "PATH": os.environ["PATH"]}
    other = subprocess.Popen(["sh", "-c", "sleep 60; true", planted.canary()], env=environment)
    planted.processes += [os.getpid(), other.pid]
    with (tmp_path / "opened").open() as opened:
        os.set_inheritable(opened.fileno(), True)
        (tmp_path / "opened").unlink()
        yield planted
    other.kill()
    other.wait()
    shared.unlink()


@pytest.fixture
async def served(planted: Planted, tmp_path: Path) -> AsyncIterator[Planted]:
    """Add services that tell a secret to whoever connects."""

    async def start(place: str) -> asyncio.Server:
        canary = planted.canary().encode()

        async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(canary)
            writer.close()

        if place.startswith(("\0", "/")):
            planted.sockets.append(place)
            return await asyncio.start_unix_server(tell, place)
        server = await asyncio.start_server(tell, place, 0)
        planted.addresses.append(("127.0.0.1", server.sockets[0].getsockname()[1]))
        return server

    places = ("127.0.0.1", "0.0.0.0", f"\0contexten-{secrets.token_hex(8)}", str(tmp_path / "prefect.sock"))
    servers = [await start(place) for place in places]
    yield planted
    for server in servers:
        server.close()


THIEF = r"""
import glob, os, re, socket, subprocess, sys
paths, addresses, sockets, processes = eval(sys.argv[1])
found = set()

def note(data):
    found.update(re.findall(rb"canary-[0-9a-f]{24}", data))

def read(path):
    try:
        with open(path, "rb", buffering=0) as file:
            note(file.read(1 << 20))
    except OSError:
        pass

note("\0".join(os.environ.values()).encode())
for process in [*glob.glob("/proc/[0-9]*")[:50], *(f"/proc/{number}" for number in processes)]:
    for name in ("environ", "cmdline", "maps", "mountinfo"):
        read(f"{process}/{name}")
    for descriptor in glob.glob(f"{process}/fd/*"):
        if os.path.isfile(descriptor):
            read(descriptor)
    for path in paths:
        read(f"{process}/root{path}")
        read(f"{process}/cwd/../beside")
for path in paths:
    read(path)
    read("/work/code/../.." + path)
left = 3000
for top in ("..", "/tmp", "/root", "/home", "/run", "/var", "/work", "/dev/shm"):
    for folder, _, names in os.walk(top):
        left -= 1 + len(names)
        if left < 0:
            break
        for path in (os.path.join(folder, name) for name in names):
            if os.path.isfile(path):
                read(path)
for family, places in ((socket.AF_INET, addresses), (socket.AF_UNIX, sockets)):
    for place in places:
        for turn in (0, 1):
            try:
                with socket.socket(family) as client:
                    client.settimeout(1)
                    client.connect(place)
                    note(client.recv(1000))
                    break
            except OSError:
                pass
for command in (["git", "config", "--list"], ["env"], ["sh", "-c", "cat ~/.netrc ~/.gitconfig"]):
    try:
        note(subprocess.run(command, capture_output=True, timeout=5).stdout)
    except OSError:
        pass
print(len(found), *sorted(canary.decode() for canary in found), sep="\n")
"""


async def test_no_secret_is_found(cwd: Path, served: Planted) -> None:
    assert len(set(served.canaries)) == 30
    search = repr((served.paths, served.addresses, served.sockets, served.processes))
    argv = [sys.executable, "-I", "-S", "-c", THIEF, search]

    without = await run_command(argv, cwd=cwd, limits=Limits(), sandbox=NO_SANDBOX)
    behind = await run_command(argv, cwd=cwd, limits=Limits(), sandbox=_strongest())

    assert without.succeeded, without.output
    # The thief is a good one.
    assert int(without.output.split()[0]) == 30, without.output
    assert behind.output == "0\n"


BOMB = "bomb() { bomb | bomb & }; bomb; sleep 60"
STUBBORN_BOMB = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.setsid() if os.getpid() != os.getsid(0) else None
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        pass
"""


def _shell(script: str) -> list[str]:
    return ["bash", "-c", script]


def _python(script: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", script]


@pytest.fixture
def nothing_left() -> Iterator[str]:
    """Return a word to put into the arguments of processes; none with it may be left."""
    word = f"60.{secrets.randbelow(10**9):09}"
    yield word
    left = [process.pid for process in psutil.process_iter(["cmdline"]) if word in str(process.info["cmdline"])]
    assert not left


def _has_control_groups() -> bool:
    group = ControlGroup.make(processes=1)
    return group is not None and group.remove()


@pytest.mark.parametrize("bomb", [_shell(BOMB), _python(STUBBORN_BOMB)], ids=["shell", "stubborn"])
async def test_a_fork_bomb(bomb: list[str], cwd: Path, walls: Sandbox, nothing_left: str) -> None:
    if walls.level is SandboxLevel.NONE and not _has_control_groups():
        pytest.skip("NO CONTROL GROUP CAN BE MADE HERE, and without a sandbox nothing else surely stops a bomb")

    result = await run_command([*bomb, nothing_left], cwd=cwd, limits=Limits(processes=100), sandbox=walls)

    assert (result.ended, result.exceeded) == (Ended.EXHAUSTED, Exceeded.PROCESSES)
    assert "more than 100 processes and threads" in result.summary


async def test_threads_count_too(cwd: Path, walls: Sandbox) -> None:
    script = "import threading, time\nfor _ in range(300): threading.Thread(target=time.sleep, args=(60,)).start()"

    result = await run_command(_python(script), cwd=cwd, limits=Limits(processes=100), sandbox=walls)

    # In a sandbox the kernel may be first, and the program may end by itself of that.
    assert result.exceeded is Exceeded.PROCESSES or "can't start new thread" in result.output


async def test_daemons_that_ignore_every_request(cwd: Path, walls: Sandbox, nothing_left: str) -> None:
    script = f"""
trap '' TERM HUP INT
(setsid sh -c 'trap "" TERM; (setsid sleep {nothing_left} &); sleep {nothing_left}; sleep {nothing_left}' &)
setsid sh -c 'trap "" TERM; sleep {nothing_left}; sleep {nothing_left}' &
while :; do sleep {nothing_left}; done
"""
    limits = Limits(wall_seconds=0.3, grace_seconds=0.1)

    result = await run_command(_shell(script), cwd=cwd, limits=limits, sandbox=walls)

    assert result.ended is Ended.TIMED_OUT


async def test_a_daemon_that_sheds_all_it_has(cwd: Path, walls: Sandbox, nothing_left: str) -> None:
    # Without a sandbox such a one may get away.
    if walls.level is SandboxLevel.NONE:
        walls = _strongest()
    script = f"(setsid env -i setsid sh -c '(sleep {nothing_left}; true) &' >/dev/null 2>&1 <&- &); exit 0"

    result = await run_command(_shell(script), cwd=cwd, limits=Limits(), sandbox=walls)

    assert result.succeeded


async def test_a_flood_of_output(cwd: Path, walls: Sandbox) -> None:
    script = f"yes canary | head -c {OUTPUT_BYTES}; echo last"

    result = await run_command(_shell(script), cwd=cwd, limits=Limits(output_bytes=10_000), sandbox=walls)

    assert result.succeeded
    assert result.output_bytes_total == OUTPUT_BYTES + len("last\n")
    assert len(result.output) < 10_200


HOGS = {
    "heap": "held = []\nwhile True: held.append(bytearray(b'x') * (8 << 20))",
    "children": "import os\nheld = []\nos.fork(); os.fork()\nwhile True: held.append(bytearray(b'x') * (4 << 20))",
}


@pytest.mark.parametrize("hog", HOGS)
async def test_a_memory_hog(hog: str, cwd: Path, walls: Sandbox) -> None:
    limits = Limits(total_memory_bytes=150 * MEBIBYTE)

    result = await run_command(_python(HOGS[hog]), cwd=cwd, limits=limits, sandbox=walls)

    assert (result.ended, result.exceeded) == (Ended.EXHAUSTED, Exceeded.MEMORY)
    assert "more than 150 MB of memory" in result.summary


async def test_shared_memory_counts_too(cwd: Path) -> None:
    limits = Limits(total_memory_bytes=100 * MEBIBYTE)

    result = await run_command(
        _shell("head -c 200000000 /dev/zero > /dev/shm/x; sleep 60"), cwd=cwd, limits=limits, sandbox=_strongest()
    )

    assert result.exceeded is Exceeded.MEMORY


FILLERS = {
    "one file": "head -c 2000000000 /dev/zero > big; sleep 60",
    "home and checkout": "(cd; head -c 15000000 /dev/zero > a); head -c 15000000 /dev/zero > b; sleep 60",
    "many small files": "mkdir -p d; cd d; i=0; while :; do i=$((i+1)); : > $i; done",
    "deleted": "exec 3> gone; rm gone; head -c 2000000000 /dev/zero >&3; sleep 60",
}


@pytest.mark.parametrize("filler", FILLERS)
async def test_a_disk_filler(filler: str, cwd: Path, walls: Sandbox) -> None:
    limits = Limits(disk_bytes=20 * MEBIBYTE, wall_seconds=60)

    result = await run_command(_shell(FILLERS[filler]), cwd=cwd, limits=limits, sandbox=walls)

    assert (result.ended, result.exceeded) == (Ended.EXHAUSTED, Exceeded.DISK)
    assert "more than 20 MB of disk" in result.summary


async def test_temporary_files_and_checkout_count_together(cwd: Path) -> None:
    script = "head -c 15000000 /dev/zero > /tmp/a; head -c 15000000 /dev/zero > b; sleep 60"

    result = await run_command(
        _shell(script), cwd=cwd, limits=Limits(disk_bytes=20 * MEBIBYTE, wall_seconds=60), sandbox=_strongest()
    )

    assert result.exceeded is Exceeded.DISK
