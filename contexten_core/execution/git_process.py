"""One git process: fixed options, a clean environment, and a bound on its time, output and files."""

import os
import resource
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from contexten_core.errors import GitError
from contexten_core.execution.git_config import restore_config
from contexten_core.execution.git_errors import git_failure
from contexten_core.execution.rlimits import lower_limit

_CHUNK = 64 * 1024
_STDERR_KEPT = 16 * 1024
_MAX_RECORD = 64 * 1024
_MAX_FILE_BYTES = 8 * 1024**3
_MAX_MEMORY_BYTES = 4 * 1024**3
_MAX_OUTPUT_BYTES = 16 * 1024**3
_STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# On the command line, where they win over the configuration of the mirror.
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.autocrlf=false",
    "core.sshCommand=",
    "core.askPass=",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.alternateRefsCommand=",
    "credential.helper=",
    "diff.external=",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    # A redirect could carry the credentials of this call to another host.
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "protocol.allow=never",
    "protocol.ext.allow=never",
)

_ENVIRONMENT = {
    "HOME": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ControlMaster=no -o ForwardAgent=no",
    "GIT_SSH_VARIANT": "ssh",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": ":",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PROTOCOL_FROM_USER": "0",
    # Unlike the settings above it also reaches the git that runs in a repository of this machine.
    "GIT_ALLOW_PROTOCOL": "",
}


class GitProcess:
    """A running git, used as a context manager; leaving the block ends it and everything it started.

    Args:
        what: names the call in errors, as in "git fetch of https://...".
        arguments: the subcommand and what follows it.
        git_dir: the repository; git never looks for one itself.
        timeout_seconds: how long a single wait for git may last in all, see `extend`.
        config: further `name=value` settings; they are visible to every user of the machine, so never secrets.
        environment: further variables; the place for secrets.
        inherit: names of variables of this process to pass on.
        secrets: texts that must not appear in errors.
        stdin: an open file, or None for no input.
        memory_bytes: how much memory git, and each process that it starts, may allocate.
        pass_fds: descriptors that git and its children keep open.
    """

    def __init__(
        self,
        what: str,
        arguments: Sequence[str],
        *,
        git_dir: Path,
        timeout_seconds: float,
        config: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        inherit: Sequence[str] = (),
        secrets: Sequence[str] = (),
        stdin: BinaryIO | None = None,
        pass_fds: Sequence[int] = (),
        memory_bytes: int = _MAX_MEMORY_BYTES,
    ) -> None:
        restore_config(git_dir)
        self._what = what
        self._timeout = timeout_seconds
        self._secrets = secrets
        self._stderr = b""
        self._buffer = bytearray()
        self._received = 0
        options = [word for setting in (*_CONFIG, *config) for word in ("-c", setting)]
        self._process = _start(
            ["--no-pager", f"--git-dir={git_dir}", *options, *arguments],
            environment={
                **_ENVIRONMENT,
                **{name: os.environ[name] for name in inherit if name in os.environ},
                **(environment or {}),
            },
            stdin=stdin,
            pass_fds=pass_fds,
            memory_bytes=memory_bytes,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._out, self._err = self._process.stdout.fileno(), self._process.stderr.fileno()
        self._poll = select.poll()
        self._open = {self._out, self._err}
        for descriptor in self._open:
            self._poll.register(descriptor, select.POLLIN)
        self.extend()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()

    def extend(self) -> None:
        """Start the time limit anew, after the caller and not git has used up the time."""
        self._deadline = time.monotonic() + self._timeout

    def read(self, size: int, *, keep: bool = True) -> bytes:
        """Return exactly `size` bytes of output, or, without `keep`, throw them away."""
        remaining, kept = size, bytearray()
        while remaining:
            if not self._buffer and not self._fill():
                raise self._failure(self._wait())
            taken = self._buffer[:remaining]
            del self._buffer[:remaining]
            remaining -= len(taken)
            if keep:
                kept += taken
        return bytes(kept)

    def read_record(self, terminator: bytes) -> bytes | None:
        """Return the output up to the next one-byte `terminator`, without it; None at the end of the output."""
        searched = 0
        while (end := self._buffer.find(terminator, searched)) < 0:
            searched = len(self._buffer)
            if searched > _MAX_RECORD:
                raise GitError(
                    f"{self._what} failed: a line of git's answer is longer than {_MAX_RECORD} bytes",
                    hint="A file name of that length cannot be handled.",
                )
            if not self._fill():
                return None
        record = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return record

    def read_line(self) -> str:
        """Return one line of output.

        Raises:
            GitError: the output ended before it.
        """
        record = self.read_record(b"\n")
        if record is None:
            raise self._failure(self._wait())
        return record.decode("utf-8", "replace")

    def records(self, terminator: bytes) -> Iterator[bytes]:
        while (record := self.read_record(terminator)) is not None:
            yield record

    def beginnings(self, terminator: bytes, *, keep: int) -> Iterator[bytes]:
        """Yield the first `keep` bytes of each record, however long it is; one at the end may lack its terminator."""
        start, is_within = b"", False
        while self._buffer or self._fill():
            end = self._buffer.find(terminator)
            piece = self._buffer if end < 0 else self._buffer[:end]
            start, is_within = start + bytes(piece[: keep - len(start)]), True
            del self._buffer[: len(self._buffer) if end < 0 else end + 1]
            if end >= 0:
                yield start
                start, is_within = b"", False
        if is_within:
            yield start

    def finish(self) -> None:
        """Wait for git's end, ignoring what output is left.

        Raises:
            GitError: git ended with anything but 0.
        """
        status = self._wait()
        if status != 0:
            raise self._failure(status)

    def _wait(self) -> int:
        while self._fill():
            self._buffer.clear()
        try:
            return self._process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise self._too_slow() from error

    def _fill(self) -> bool:
        while self._open:
            remaining = self._deadline - time.monotonic()
            ready = self._poll.poll(remaining * 1000) if remaining > 0 else []
            if not ready:
                raise self._too_slow()
            for descriptor, _ in ready:
                data = os.read(descriptor, _CHUNK)
                if not data:
                    self._poll.unregister(descriptor)
                    self._open.discard(descriptor)
                elif descriptor == self._out:
                    self._buffer += data
                    self._received += len(data)
                else:
                    self._stderr = (self._stderr + data)[-_STDERR_KEPT:]
            if self._received > _MAX_OUTPUT_BYTES:
                raise GitError(
                    f"{self._what} failed: git's answer is longer than {_MAX_OUTPUT_BYTES} bytes",
                    hint="Repositories of this size are not supported.",
                )
            if self._buffer:
                return True
        return False

    def _failure(self, status: int) -> GitError:
        return git_failure(self._what, status=status, stderr=self._stderr, secrets=self._secrets)

    def _too_slow(self) -> GitError:
        return GitError(
            f"{self._what} did not finish within {self._timeout:g} s",
            hint="The server or the network is slow, or the repository is very large.",
            transient=True,
        )

    def _kill(self) -> None:
        if self._process.returncode is None:
            # Not reaped yet, so the group is still git's own.
            # macOS answers with a permission error when it has ended already.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def run_git(
    what: str,
    arguments: Sequence[str],
    *,
    git_dir: Path,
    timeout_seconds: float,
    config: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run git to its end; see `GitProcess` for the arguments.

    Raises:
        GitError: git could not be started, failed or took too long.
    """
    with GitProcess(
        what, arguments, git_dir=git_dir, timeout_seconds=timeout_seconds, config=config, environment=environment
    ) as process:
        process.finish()


def _start(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: BinaryIO | None,
    pass_fds: Sequence[int],
    memory_bytes: int,
) -> "subprocess.Popen[bytes]":
    # GitPython looks for git when it is imported, and fails there where it is missing.
    try:
        from git.cmd import Git
        from git.exc import GitCommandNotFound
    except ImportError as error:
        raise GitError("git cannot be used on this machine", hint="Install git.") from error

    executable = shutil.which(str(Git.GIT_PYTHON_GIT_EXECUTABLE)) or "git"
    environment = {"PATH": f"{Path(executable).parent}:{_STANDARD_PATH}", **environment}
    # GitPython hands git the whole environment of this process and can only add to it; env takes the rest away again.
    unset = [word for name in sorted(os.environ.keys() - environment.keys()) for word in ("-u", name)]
    try:
        running = Git().execute(
            ["env", *unset, executable, *arguments],
            istream=stdin,
            as_process=True,
            env=environment,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    except (GitCommandNotFound, OSError) as error:
        raise GitError(f"git could not be started: {error}", hint="Install git on this machine.") from error
    assert isinstance(running, Git.AutoInterrupt)
    process = cast("subprocess.Popen[bytes]", running.proc)
    # From here on this module ends the process, and not the garbage collector.
    running.proc = None
    lower_limit(process.pid, resource.RLIMIT_FSIZE, _MAX_FILE_BYTES)
    lower_limit(process.pid, resource.RLIMIT_DATA, memory_bytes)
    return process
