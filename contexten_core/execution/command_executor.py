"""The command executor: a program of the repository's own, on a checkout, in the sandbox."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from contexten_core.errors import ConfigurationError
from contexten_core.execution.command import run_command
from contexten_core.execution.executor import Assignment, Report, Say
from contexten_core.execution.network import NetworkAccess
from contexten_core.execution.results import CommandResult, Limits
from contexten_core.execution.sandbox import NO_SANDBOX, Sandbox, SandboxLevel, find_sandbox
from contexten_core.security.redaction import redactor_of
from contexten_core.settings import SandboxUse, Settings

_NUMBERS = {
    "wall_seconds": "wall_seconds",
    "output_bytes": "output_bytes",
    "memory_bytes": "total_memory_bytes",
    "processes": "processes",
}
_INSTALL = "install bubblewrap, or set SANDBOX=auto, which runs commands without one where there is none"


class CommandExecutor:
    """Runs the program that the prompt names; its exit code decides."""

    needs_checkout = True
    context_tokens = 0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self, assignment: Assignment) -> None:
        arguments_of(assignment)
        limits_of(assignment)
        sandbox_of(self._settings)

    async def run(self, assignment: Assignment, say: Say) -> Report:
        return report_of(await run_on_checkout(self._settings, assignment, say, arguments_of(assignment)))


async def run_on_checkout(
    settings: Settings,
    assignment: Assignment,
    say: Say,
    arguments: Sequence[str],
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    scratch: Path | None = None,
) -> CommandResult:
    """Run a program on an assignment's checkout, within its limits and behind the walls that the settings ask for.

    Args:
        stdin: what it reads from its standard input.
        environment: variables on top of the few that every command gets.
        scratch: a folder for its home and temporary files, left to the caller; by default one that is removed again.

    Raises:
        ConfigurationError: a sandbox is required and there is none, or a limit is no number.
        ExecutionError: it could not be started.
    """
    assert assignment.checkout is not None
    return await run_command(
        arguments,
        cwd=assignment.checkout,
        limits=limits_of(assignment),
        on_output=say,
        environment=environment,
        scratch=scratch,
        sandbox=sandbox_of(settings),
        network=NetworkAccess(hosts=tuple(assignment.limits.get("network", ()))),
        redact=redactor_of(settings).stream(),
        stdin=stdin,
    )


def sandbox_of(settings: Settings) -> Sandbox:
    """Return the walls that commands run behind.

    Raises:
        ConfigurationError: a sandbox is required, and there is none.
    """
    if settings.sandbox is SandboxUse.OFF:
        return NO_SANDBOX
    found = find_sandbox(hidden=(settings.home.absolute(),), shown=settings.sandbox_shown)
    if found.level is SandboxLevel.NONE and settings.sandbox is SandboxUse.REQUIRED:
        raise ConfigurationError(
            f"commands may run in a sandbox only, and there is none: {found.reason}", hint=found.hint or _INSTALL
        )
    return found


def arguments_of(assignment: Assignment) -> list[str]:
    """Return the command as a list of arguments; a line is split like a shell's, and run without one.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    command = assignment.config.get("command")
    if isinstance(command, list) and command and all(isinstance(part, str) for part in command):
        return list(command)
    try:
        arguments = shlex.split(command) if isinstance(command, str) else []
    except ValueError as error:
        raise ConfigurationError(f"the command of the prompt {assignment.prompt} cannot be read: {error}") from error
    if not arguments:
        raise ConfigurationError(
            f"the prompt {assignment.prompt} has no command", hint='its executor_config needs {"command": "..."}'
        )
    return arguments


def limits_of(assignment: Assignment) -> Limits:
    """Return a prompt's limits as those of a command.

    Raises:
        ConfigurationError: one is not a positive number.
    """
    known = {key: assignment.limits[key] for key in _NUMBERS if key in assignment.limits}
    for key, value in known.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ConfigurationError(
                f"the limit {key} of the prompt {assignment.prompt} is {value!r}, not a positive number"
            )
    return Limits(**{_NUMBERS[key]: value for key, value in known.items()})


def report_of(result: CommandResult) -> Report:
    """Return what came of a command as a report."""
    return Report(
        ended=result.ended,
        succeeded=result.succeeded,
        headline=f"Succeeded in {result.duration_seconds:.1f} s" if result.succeeded else result.summary,
        log=result.output,
        duration_seconds=result.duration_seconds,
        exit_code=result.exit_code,
        cpu_seconds=result.cpu_seconds,
        cpu_percent=result.cpu_percent,
        memory_mb=result.peak_memory_mb,
        output_bytes=result.output_bytes_total,
        truncated=result.truncated,
        sandbox=result.sandbox.value,
        evidence={
            "ended": result.ended.value,
            "summary": result.summary,
            "sandbox": result.sandbox.value,
            **({"exceeded": result.limit or result.exceeded.value} if result.exceeded else {}),
            **({"refused_hosts": list(result.refused_hosts)} if result.refused_hosts else {}),
        },
    )
