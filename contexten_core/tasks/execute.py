"""Step 5: create the task, run its command in a checkout of exactly the event's commit, and store what came of it."""

import asyncio
import logging
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase.examine import CodebaseSummary, open_mirror
from contexten_core.db import utc_now
from contexten_core.errors import ConfigurationError, ExecutionError, GitError
from contexten_core.events.models import Conclusion
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import StepRecord
from contexten_core.execution.command import CommandResult, Limits, run_command
from contexten_core.execution.trees import remove_tree
from contexten_core.learning.failure import Failure, FailureKind, explain_failure
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.tasks import store
from contexten_core.tasks.change import add_task, change_status
from contexten_core.tasks.models import TaskExecutionModel, TaskModel, TaskStatus
from contexten_core.tasks.outcome import Outcome, Unavailable

logger = logging.getLogger(__name__)

Say = Callable[[str], None]


async def execute(
    record: StepRecord,
    event: NormalisedEvent,
    target: Target,
    choice: Choice,
    code: CodebaseSummary | Unavailable,
    say: Say,
) -> Outcome:
    """Carry out the selected prompt. A command that fails is an outcome, not an error.

    `say` is given the log as it grows, for whoever watches besides the store. Resumed after a dead worker, the same
    task gets another execution.
    """
    task_id, execution_id, hindrance = await _open(record, event, target, choice, code)
    if hindrance is not None:
        outcome = _not_run(task_id, execution_id, hindrance)
        log = f"{hindrance.message}\n"
    else:
        try:
            result = await _run(record, target, choice, execution_id, say)
        except (ExecutionError, GitError, ConfigurationError) as error:
            if error.transient:
                raise
            outcome = _not_run(task_id, execution_id, Unavailable.because(error))
            log = f"{error.message}\n"
        else:
            outcome = _outcome(task_id, execution_id, result)
            log = result.output
    async with record.runtime.database.transaction() as session:
        # First, as in `_open`, so that two workers of one event never wait for each other.
        await record.prove(session)
        await _close(session, record.run.run_id, outcome, log)
        return await record.complete(session, outcome)


async def _open(
    record: StepRecord, event: NormalisedEvent, target: Target, choice: Choice, code: CodebaseSummary | Unavailable
) -> tuple[UUID, UUID, Unavailable | None]:
    """Return the task, a new execution of it, and what keeps it from being run, if anything does."""
    now = utc_now()
    hindrance = code if isinstance(code, Unavailable) else None
    async with record.runtime.database.transaction() as session:
        await record.prove(session)
        run = await record.model(session)
        task = await store.get(session, run.task_id, lock=True) if run.task_id else None
        if task is None:
            task = TaskModel(
                id=uuid4(),
                name=run.name,
                title=f"{choice.slug}: {run.name}",
                task_type=choice.task_type,
                priority=choice.task_priority,
                status=TaskStatus.IN_PROGRESS,
                prompt=choice.instruction,
                context={
                    "event": asdict(event),
                    "repository": target.repository,
                    "commit": target.commit,
                    "codebase_id": None if isinstance(code, Unavailable) else str(code.codebase_id),
                },
                constraints=choice.limits,
                assigned_agent=choice.executor.value,
                started_at=now,
                project_id=target.project_id,
            )
            await add_task(session, task, data={"run_id": str(run.id)})
            run.task_id = task.id
        else:
            await store.abandon_running(session, task.id, now=now, reason="the worker that ran it went away")
            if task.status is not TaskStatus.IN_PROGRESS:
                hindrance = Unavailable(f"task_{task.status}", f"task {task.id} has become {task.status} meanwhile")
        number = await store.next_number(session, task.id)
        execution = TaskExecutionModel(
            id=uuid4(),
            name=f"{run.name} ({number})",
            execution_number=number,
            status=TaskStatus.IN_PROGRESS,
            execution_environment={"executor": choice.executor.value, "sandbox": "none"},
            input_parameters={**choice.executor_config, "limits": choice.limits},
            started_at=now,
            task_id=task.id,
        )
        session.add(execution)
        return task.id, execution.id, hindrance


async def _run(record: StepRecord, target: Target, choice: Choice, execution_id: UUID, say: Say) -> CommandResult:
    argv = _arguments(choice)
    limits = _limits(choice)
    workspace = record.runtime.settings.checkouts / str(execution_id)
    checkout = workspace / "code"
    log = _LogStream(record, execution_id, say)
    mirror = open_mirror(record.runtime, target)
    try:
        await asyncio.to_thread(_check_out, mirror.checkout, target.commit, checkout)
        async with record.runtime.commands:
            return await run_command(argv, cwd=checkout, limits=limits, on_output=log.write)
    finally:
        await asyncio.to_thread(remove_tree, workspace)


def _check_out(checkout: Callable[[str, Path], None], commit: str, destination: Path) -> None:
    destination.parent.mkdir(parents=True, mode=0o700)
    checkout(commit, destination)


def _arguments(choice: Choice) -> list[str]:
    command = choice.executor_config.get("command")
    if isinstance(command, list) and command and all(isinstance(part, str) for part in command):
        return list(command)
    try:
        arguments = shlex.split(command) if isinstance(command, str) else []
    except ValueError as error:
        raise ConfigurationError(f"the command of the prompt {choice.slug} cannot be read: {error}") from error
    if not arguments:
        raise ConfigurationError(
            f"the prompt {choice.slug} has no command", hint='its executor_config needs {"command": "..."}'
        )
    return arguments


def _limits(choice: Choice) -> Limits:
    known = {key: choice.limits[key] for key in ("wall_seconds", "output_bytes") if key in choice.limits}
    for key, value in known.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ConfigurationError(f"the limit {key} of the prompt {choice.slug} is {value!r}, not a positive number")
    return Limits(**known)


class _LogStream:
    """Appends to the stored log as the command speaks, and repeats it to whoever else listens."""

    def __init__(self, record: StepRecord, execution_id: UUID, say: Say) -> None:
        self._database = record.runtime.database
        self._execution_id = execution_id
        self._say = say
        self._position = 0

    async def write(self, text: str) -> None:
        """Keep a piece of log; the store being away must not end the command, whose whole log is stored at its end."""
        self._say(text)
        try:
            async with self._database.transaction() as session:
                await store.append_log(session, execution_id=self._execution_id, position=self._position, content=text)
        except SQLAlchemyError as error:
            logger.warning("a piece of the log of execution %s was not stored: %s", self._execution_id, error)
        self._position += 1


def _outcome(task_id: UUID, execution_id: UUID, result: CommandResult) -> Outcome:
    failure = None
    if not result.succeeded:
        failure = explain_failure(result.output, exit_code=result.exit_code, ended=result.ended.value)
    return Outcome(
        task_id=task_id,
        execution_id=execution_id,
        conclusion=Conclusion.SUCCESS if result.succeeded else Conclusion.FAILURE,
        headline=failure.headline if failure else f"Succeeded in {result.duration_seconds:.1f} s",
        exit_code=result.exit_code,
        duration_seconds=result.duration_seconds,
        cpu_seconds=result.cpu_seconds,
        cpu_percent=result.cpu_percent,
        memory_mb=result.peak_memory_mb,
        output_bytes=result.output_bytes_total,
        truncated=result.truncated,
        failure=failure,
        details={"ended": result.ended.value, "summary": result.summary},
    )


def _not_run(task_id: UUID, execution_id: UUID, why: Unavailable) -> Outcome:
    return Outcome(
        task_id=task_id,
        execution_id=execution_id,
        conclusion=Conclusion.ERROR,
        headline=why.message,
        failure=Failure(
            headline=why.message, excerpt=why.message, failed_tests=(), kind=FailureKind.ENVIRONMENT, line=None
        ),
        error=why.code,
        details={"hint": why.hint, "transient": why.transient},
    )


async def _close(session: AsyncSession, run_id: UUID, outcome: Outcome, log: str) -> None:
    task = await store.get(session, outcome.task_id, lock=True)
    execution = await store.get_execution(session, outcome.execution_id)
    assert task is not None
    assert execution is not None
    now = utc_now()
    status = TaskStatus.COMPLETED if outcome.succeeded else TaskStatus.FAILED
    result = {
        "conclusion": outcome.conclusion.value,
        "headline": outcome.headline,
        "exit_code": outcome.exit_code,
        "failed_tests": list(outcome.failure.failed_tests) if outcome.failure else [],
        **outcome.details,
    }
    execution.status = status
    execution.completed_at = now
    execution.output = result
    execution.duration_seconds = outcome.duration_seconds
    execution.cpu_usage_percent = outcome.cpu_percent
    execution.memory_usage_mb = outcome.memory_mb
    execution.logs = log
    await store.drop_log_chunks(session, execution.id)
    given: dict[str, Any] = {"result": result}
    if outcome.failure is not None:
        given["error_message"] = outcome.headline
        execution.error_details = {
            "code": outcome.error or "command_failed",
            "kind": outcome.failure.kind.value,
            "message": outcome.headline,
            "excerpt": outcome.failure.excerpt,
        }
    # What somebody made of the task while it ran, stands.
    if task.status is TaskStatus.IN_PROGRESS:
        await change_status(session, task, status, now=now, data={"run_id": str(run_id)}, given=given)
