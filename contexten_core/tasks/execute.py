"""Step 5: create the task, run its command in a checkout of exactly the event's commit, and store what came of it."""

from dataclasses import asdict
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase.examine import CodebaseSummary
from contexten_core.db import utc_now
from contexten_core.errors import ConfigurationError, ExecutionError, GitError, OutboundError
from contexten_core.events.models import Conclusion
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import StepRecord
from contexten_core.execution.executor import Report
from contexten_core.execution.results import Ended
from contexten_core.learning.failure import Failure, FailureKind, explain_failure
from contexten_core.offload import offload
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.prompts.templates.render import TemplateError
from contexten_core.tasks import store
from contexten_core.tasks.carry_out import Say, carry_out
from contexten_core.tasks.change import add_task, change_status
from contexten_core.tasks.instruct import Told, instruct
from contexten_core.tasks.models import TaskExecutionModel, TaskModel, TaskStatus
from contexten_core.tasks.outcome import Outcome, Unavailable
from contexten_core.tasks.watch import unless_ended

CANCELLED = "cancelled"
_LOOK_SECONDS = 2.0
# Characters; explaining more takes longer than the event loop may be kept.
_SHORT_LOG = 50_000


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
    told, hindrance = await _tell(record, event, target, choice, code)
    begin = partial(_open, record, event, target, choice, code, told, hindrance)
    task_id, execution_id, hindrance = await record.runtime.database.transact(begin)
    if hindrance is not None:
        outcome = _not_run(task_id, execution_id, hindrance)
        log = f"{hindrance.message}\n"
    else:
        try:
            work = carry_out(record, target, choice, told, execution_id, say)
            report = await unless_ended(record.runtime.database, task_id, work, every=_LOOK_SECONDS)
        except (ExecutionError, GitError, ConfigurationError, OutboundError) as error:
            if error.transient:
                raise
            outcome = _not_run(task_id, execution_id, Unavailable.because(error))
            log = f"{error.message}\n"
        else:
            if report is None:
                outcome = _not_run(task_id, execution_id, _cancelled(task_id))
                log = f"{outcome.headline}\n"
            else:
                failure = None if report.succeeded else await _explain(report)
                outcome = _outcome(task_id, execution_id, report, failure, template=told.template)
                log = report.log

    async def close(session: AsyncSession) -> Outcome:
        # First, as in `_open`, so that two workers of one event never wait for each other.
        await record.prove(session)
        await _close(session, record.run.run_id, outcome, log)
        return await record.complete(session, outcome)

    return await record.runtime.database.transact(close)


def _cancelled(task_id: UUID) -> Unavailable:
    return Unavailable(
        CANCELLED, f"task {task_id} was ended while it was carried out", "Rerun it by replaying its event."
    )


async def _tell(
    record: StepRecord, event: NormalisedEvent, target: Target, choice: Choice, code: CodebaseSummary | Unavailable
) -> tuple[Told, Unavailable | None]:
    """Return what the executor is told, and what keeps the prompt from being carried out, if anything does."""
    told = Told(choice.instruction)
    if isinstance(code, Unavailable):
        return told, code
    if choice.withheld is not None:
        return told, Unavailable("project_file", choice.withheld, "Replay the event when the repository answers again.")
    try:
        return await instruct(record, event, target, choice, code), None
    except TemplateError as error:
        return told, Unavailable.because(error)


async def _open(
    record: StepRecord,
    event: NormalisedEvent,
    target: Target,
    choice: Choice,
    code: CodebaseSummary | Unavailable,
    told: Told,
    hindrance: Unavailable | None,
    session: AsyncSession,
) -> tuple[UUID, UUID, Unavailable | None]:
    """Return the task, a new execution of it, and what keeps it from being carried out, if anything does."""
    now = utc_now()
    await record.prove(session)
    run = await record.model(session)
    task = await store.get(session, run.task_id, lock=True) if run.task_id else None
    number = 1
    if task is None:
        task = TaskModel(
            id=uuid4(),
            name=run.name,
            title=f"{choice.slug}: {run.name}",
            task_type=choice.task_type,
            priority=choice.task_priority,
            status=TaskStatus.IN_PROGRESS,
            prompt=told.text,
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
        execution_environment={"executor": choice.executor.value},
        input_parameters={**choice.executor_config, "limits": choice.limits},
        started_at=now,
        task_id=task.id,
    )
    session.add(execution)
    return task.id, execution.id, hindrance


async def _explain(report: Report) -> Failure:
    """Explain a failure; where the log is long, elsewhere than in the event loop."""
    explain = partial(explain_failure, exit_code=report.exit_code, ended=report.ended.value)
    return explain(report.log) if len(report.log) <= _SHORT_LOG else await offload(explain, report.log)


def _outcome(
    task_id: UUID, execution_id: UUID, report: Report, failure: Failure | None, *, template: str | None
) -> Outcome:
    return Outcome(
        task_id=task_id,
        execution_id=execution_id,
        conclusion=Conclusion.SUCCESS if report.succeeded else Conclusion.FAILURE,
        headline=failure.headline if failure and report.ended is not Ended.EXHAUSTED else report.headline,
        exit_code=report.exit_code,
        duration_seconds=report.duration_seconds,
        cpu_seconds=report.cpu_seconds,
        cpu_percent=report.cpu_percent,
        memory_mb=report.memory_mb,
        output_bytes=report.output_bytes,
        truncated=report.truncated,
        failure=failure,
        cost=report.cost,
        template=template,
        details={**report.evidence, "proposals": [asdict(proposal) for proposal in report.proposals]},
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
    execution.status = TaskStatus.CANCELLED if outcome.error == CANCELLED else status
    execution.completed_at = now
    execution.output = result
    execution.duration_seconds = outcome.duration_seconds
    execution.cpu_usage_percent = outcome.cpu_percent
    execution.memory_usage_mb = outcome.memory_mb
    execution.logs = log
    if "sandbox" in outcome.details:
        walls = {"sandbox": outcome.details["sandbox"]}
        execution.execution_environment = {**(execution.execution_environment or {}), **walls}
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
