"""The command executor: runs a program on a checkout, within limits, and says what came of it.

No shell, no standard input but what is given, none of the service's environment; a session of its own, and no process
of it left when it is over. Without a sandbox the program can still read whatever the service's user can.
"""

import asyncio
import errno
import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from contexten_core.errors import ExecutionError
from contexten_core.execution.network import NO_NETWORK, NetworkAccess
from contexten_core.execution.output import Redactor
from contexten_core.execution.processes import MARK
from contexten_core.execution.results import CommandResult, Ended, Exceeded, Limits, describe
from contexten_core.execution.running import RunningCommand
from contexten_core.execution.sandbox import DEVICES, NO_SANDBOX, STANDARD_PATH, Sandbox, SandboxLevel
from contexten_core.execution.sandbox_process import NotStartedError, environment_inside
from contexten_core.execution.trees import remove_tree
from contexten_core.faults import fault_point

__all__ = ["CommandResult", "Ended", "Exceeded", "Limits", "NetworkAccess", "Redactor", "describe", "run_command"]

logger = logging.getLogger(__name__)

_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


async def run_command(
    argv: Sequence[str],
    *,
    cwd: Path,
    limits: Limits,
    on_output: Callable[[str], Awaitable[None]] | None = None,
    environment: Mapping[str, str] | None = None,
    scratch: Path | None = None,
    cancel: asyncio.Event | None = None,
    sandbox: Sandbox | None = None,
    network: NetworkAccess = NO_NETWORK,
    redact: Redactor | None = None,
    stdin: bytes = b"",
) -> CommandResult:
    """Run a program to its end, and end whatever it has left running.

    When this task is cancelled the program is ended first, with the same grace as after a timeout. An exception from
    `on_output` ends the program too, and is raised.

    Args:
        argv: the program and its arguments; looked up beside this Python first, then in the system's folders.
        cwd: where it runs.
        limits: what it may use.
        on_output: given the first `limits.output_bytes` of output as they come, at most about three times a second,
            then one line that says there is more. Reading goes on meanwhile, but the end waits for its last call.
        environment: variables on top of the few that every command gets.
        scratch: a folder for its home and temporary files, left to the caller; by default one beside `cwd` that is
            removed again. In a sandbox the temporary files are held in memory instead.
        cancel: set it to end the program early and still get a result.
        sandbox: the walls, from `find_sandbox`. Inside, `cwd` is /work/code, whatever it is called outside.
        network: what it may reach from inside of the walls; without a sandbox everything can be reached.
        redact: what the output goes through before `on_output` or the result gets it; made for this command alone.
        stdin: what it reads from its standard input.

    Raises:
        ExecutionError: it could not be started; transient when the machine is short of processes, files or memory.
    """
    walls = sandbox or NO_SANDBOX
    _check(argv, cwd)
    await fault_point("before command")
    private = scratch or _make_private_folder(cwd)
    try:
        mark = f"{MARK}={os.getpid()}-{secrets.token_hex(16)}"
        folders = [private / "home", private / "tmp"]
        basis = _environment_outside(*folders)
        if walls.level is not SandboxLevel.NONE:
            basis = environment_inside(with_network=bool(network.hosts))
        name, _, value = mark.partition("=")
        complete = {**basis, "LANG": "C.UTF-8", "CI": "true", **(environment or {}), name: value}
        try:
            running = RunningCommand(
                argv,
                cwd=cwd,
                folders=folders,
                environment=complete,
                mark=mark,
                limits=limits,
                sandbox=walls,
                network=network,
                redact=redact,
                stdin=stdin,
            )
        except (OSError, ValueError) as error:
            raise _not_started(argv, error) from error
        try:
            result = await running.see_through(on_output=on_output, cancel=cancel)
        except NotStartedError as error:
            raise _not_started(argv, error.why) from error
        await fault_point("after command")
        return result
    finally:
        await asyncio.to_thread(_discard, private if scratch is None else private / DEVICES)


def _check(argv: Sequence[str], cwd: Path) -> None:
    if not argv:
        raise ExecutionError("there is no command to run", hint="Give the prompt a command.")
    if not cwd.is_dir():
        raise ExecutionError(f"{argv[0]!r} cannot run in {cwd}: no such folder", hint="Check out the code first.")


def _make_private_folder(cwd: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=".contexten-", dir=cwd.absolute().parent))
    except OSError as error:
        raise ExecutionError(
            f"no folder for temporary files can be made beside {cwd}: {error.strerror}",
            hint="Make the parent folder writable, or free disk space.",
        ) from error


def _environment_outside(home: Path, temporary: Path) -> dict[str, str]:
    for folder in (home, temporary):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = f"{Path(sys.executable).parent}:{STANDARD_PATH}"
    return {"PATH": path, "HOME": str(home), "TMPDIR": str(temporary)}


def _not_started(argv: Sequence[str], error: OSError | ValueError) -> ExecutionError:
    command = repr(argv[0][:200])
    if isinstance(error, FileNotFoundError):
        return ExecutionError(
            f"the command {command} was not found",
            hint="Install it, or check its name; for a script, check the program named in its first line too.",
        )
    if isinstance(error, PermissionError):
        return ExecutionError(f"the command {command} is not executable", hint="Make the file executable in git.")
    if isinstance(error, OSError) and error.errno == errno.ENOEXEC:
        return ExecutionError(
            f"the command {command} is not a program for this machine",
            hint="Start a script with a line such as #!/bin/sh, or name its interpreter in the command.",
        )
    if isinstance(error, OSError):
        return ExecutionError(
            f"the command {command} could not be started: {os.strerror(error.errno or 0)}",
            hint="Look at the processes, open files and memory of this machine.",
            transient=error.errno in _PASSING,
        )
    return ExecutionError(
        f"the command {command} could not be started: {error}",
        hint="Arguments and variables must be text without NUL, names of variables also without '='.",
    )


def _discard(folder: Path) -> None:
    try:
        remove_tree(folder)
    except OSError as error:
        # What the command did is known and worth more than a clean disk.
        logger.warning("temporary folder %s could not be removed: %s", folder, error)
