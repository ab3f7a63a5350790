"""A command inside a sandbox, as seen by the service outside."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from contexten_core.errors import ExecutionError
from contexten_core.execution.rlimits import lower_limit
from contexten_core.execution.sandbox import STANDARD_PATH, Sandbox, in_memory
from contexten_core.execution.sandbox_inside import PROXY_PORT
from contexten_core.execution.sandbox_mounts import CODE, HOME, INSIDE, TEMPORARY

_START_SECONDS = 20.0
_MOST_STATUS_BYTES = 4096


def environment_inside(*, with_network: bool) -> dict[str, str]:
    """Return the few variables that every sandboxed command gets."""
    proxy = f"http://127.0.0.1:{PROXY_PORT}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy") if with_network else ()
    away = {"NO_PROXY": "localhost,127.0.0.1,::1", "no_proxy": "localhost,127.0.0.1,::1"} if with_network else {}
    return {
        "PATH": f"{Path(sys.executable).parent}:{STANDARD_PATH}",
        "HOME": str(HOME),
        "TMPDIR": str(TEMPORARY),
        **dict.fromkeys(names, proxy),
        **away,
    }


class NotStartedError(Exception):
    """The command could not be started inside, for the reason in `why`."""

    def __init__(self, why: OSError) -> None:
        super().__init__(str(why))
        self.why = why


class SandboxedProcess:
    """Bubblewrap and the first process inside it. Whoever makes one must `close` it.

    Args:
        sandbox: the walls.
        argv: the command.
        code: the folder that it runs in.
        home: another one that it may write to; beside it a folder with devices may be made.
        environment: all of the command's environment.
        mark: `NAME=value`, by which bubblewrap itself is recognised.
        temporary_bytes: how much its temporary files may take.
        listens: whether to open the port of the proxy inside.
        stdin: a descriptor that it reads from.
        output: a descriptor that it prints to.

    Raises:
        OSError: bubblewrap cannot be started.
        ValueError: an argument or variable cannot be passed to a program.

    Attributes:
        process: bubblewrap, which ends after everything inside has ended.
        first: the id outside of process 1 inside, or None before `ready`.
        status: how the command ended, as `os.wait` tells it, or None when it was killed.
        error: why the command could not be started, or None.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        argv: Sequence[str],
        *,
        code: Path,
        home: Path,
        environment: Mapping[str, str],
        mark: str,
        temporary_bytes: int,
        listens: bool,
        stdin: int,
        output: int,
    ) -> None:
        content = pack(argv, environment=environment, listens=listens)
        self.first: int | None = None
        self._listener: socket.socket | None = None
        self.status: int | None = None
        self.error: OSError | None = None
        self._pidfd: int | None = None
        self._received = b""
        self._control, inside = socket.socketpair()
        self._control.setblocking(False)
        self._info, writing = os.pipe()
        self._handed = [writing]
        try:
            configuration = self._keep(content)
            walls = sandbox.around(code=code, home=home, temporary_bytes=temporary_bytes, in_memory=self._keep)
            start = [sys.executable, "-I", "-S", str(INSIDE), str(configuration), str(inside.fileno())]
            name, _, value = mark.partition("=")
            self.process = subprocess.Popen(
                [*walls, "--info-fd", str(writing), "--", *start],
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Process 1 inside keeps it for everybody in there to read, and the dynamic linker obeys it out here.
                env={name: value},
                cwd="/",
                pass_fds=[inside.fileno(), *self._handed],
                start_new_session=True,
            )
        except BaseException:
            self.close()
            raise
        finally:
            inside.close()
            for descriptor in self._handed:
                os.close(descriptor)

    async def ready(self) -> bool:
        """Wait until the first process is there, and tell whether it is. It waits in turn, until it is let `go`.

        Raises:
            ExecutionError: it takes too long.
        """
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._readable()
        except TimeoutError as error:
            raise ExecutionError(
                "the sandbox was not ready in time", hint="The machine is overloaded; try again.", transient=True
            ) from error
        message, descriptors, _, _ = socket.recv_fds(self._control, _MOST_STATUS_BYTES, 1)
        if descriptors:
            self._listener = socket.socket(fileno=descriptors[0])
            self._listener.setblocking(False)
        if message != b"ready\n":
            return False
        try:
            self.first = json.loads(os.read(self._info, _MOST_STATUS_BYTES))["child-pid"]
            assert self.first is not None
            self._pidfd = os.pidfd_open(self.first)
        except ProcessLookupError:
            return False
        return True

    def limit(self, limits: Mapping[int, int], *, niceness: int) -> None:
        """Set limits of the first process, which all others inherit, and let the machine prefer anything else to it."""
        assert self.first is not None
        for kind, value in limits.items():
            lower_limit(self.first, kind, value)
        # Errors: it has just ended.
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, self.first, niceness)
        with suppress(OSError):
            Path(f"/proc/{self.first}/oom_score_adj").write_text("1000")

    def take_listener(self) -> socket.socket | None:
        """Return the port inside that the proxy is to answer, if there is one; the caller's from now on."""
        taken, self._listener = self._listener, None
        return taken

    def go(self) -> None:
        """Let the command start."""
        # Errors: it has just ended.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(b"g")

    def terminate(self) -> None:
        """Ask the command's process group to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the first process inside; the kernel ends everything else in there before that one counts as ended."""
        self._signal(signal.SIGKILL)

    def read_status(self) -> None:
        """Learn how the command ended, once bubblewrap has."""
        with suppress(BlockingIOError, ConnectionResetError):
            while data := self._control.recv(_MOST_STATUS_BYTES):
                self._received = (self._received + data)[-_MOST_STATUS_BYTES:]
        for line in self._received.splitlines():
            word, _, number = line.partition(b" ")
            if word == b"error":
                self.error = OSError(int(number), os.strerror(int(number)))
            elif word == b"ended":
                self.status = int(number)

    def close(self) -> None:
        """Give descriptors back. Ends nothing."""
        self._control.close()
        for descriptor in (self._info, self._pidfd):
            if descriptor is not None:
                os.close(descriptor)
        self._info = self._pidfd = None  # type: ignore[assignment]
        if self._listener is not None:
            self._listener.close()

    def _keep(self, content: bytes) -> int:
        self._handed.append(in_memory(content))
        return self._handed[-1]

    def _signal(self, number: signal.Signals) -> None:
        if self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        loop.add_reader(self._control, arrived.set)
        try:
            await arrived.wait()
        finally:
            loop.remove_reader(self._control)


def pack(argv: Sequence[str], *, environment: Mapping[str, str], listens: bool) -> bytes:
    """Write down what the first process inside needs to know.

    Raises:
        ValueError: an argument or variable cannot be passed to a program.
    """
    if any("=" in name or not name for name in environment):
        raise ValueError("illegal environment variable name")
    variables = [f"{name}={value}" for name, value in environment.items()]
    fields = [str(CODE), "1" if listens else "0", str(len(argv)), *argv, *variables]
    if any("\0" in field for field in fields):
        raise ValueError("embedded null byte")
    return b"\0".join(map(os.fsencode, fields))
