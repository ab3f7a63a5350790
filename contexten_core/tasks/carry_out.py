"""Have an executor carry out the selected prompt, on a checkout of exactly the event's commit where it asks for one."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy.exc import SQLAlchemyError

from contexten_core.codebase.examine import open_mirror
from contexten_core.events.steps import StepRecord
from contexten_core.execution.executor import Assignment, Executor, Report, executor_for
from contexten_core.execution.proposals import Proposal
from contexten_core.execution.trees import remove_tree
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.tasks import store
from contexten_core.tasks.instruct import Told, code_shown

logger = logging.getLogger(__name__)

Say = Callable[[str], None]

_PROPOSAL: TypeAdapter[Proposal] = TypeAdapter(Proposal)


async def carry_out(
    record: StepRecord, target: Target, choice: Choice, told: Told, execution_id: UUID, say: Say
) -> Report:
    """Return what came of it. Its log is stored as it grows, and nothing of the checkout is left.

    Raises:
        ContextenError: the executor lacks something, or could not begin or finish.
        GitError: the commit cannot be checked out.
    """
    executor = executor_for(choice.executor.value, record.runtime.settings)
    workspace = record.runtime.settings.checkouts / str(execution_id)
    checkout = workspace / "code" if executor.needs_checkout else None
    assignment = _assignment(record, choice, told, checkout)
    executor.prepare(assignment)
    if executor.context_tokens:
        assignment = replace(assignment, code=await code_shown(record, budget_tokens=executor.context_tokens))
    log = _LogStream(record, execution_id, say)
    seats = record.runtime.seats.taken(choice.executor.value, on_checkout=checkout is not None)
    if checkout is None:
        async with seats:
            return await _run(record, executor, assignment, log)
    mirror = open_mirror(record.runtime, target)
    async with seats:
        try:
            await asyncio.to_thread(_check_out, mirror.checkout, target.commit, checkout)
            return await _run(record, executor, assignment, log)
        finally:
            await asyncio.to_thread(remove_tree, workspace)


async def _run(record: StepRecord, executor: Executor, assignment: Assignment, log: "_LogStream") -> Report:
    report = await executor.run(assignment, log.write)
    await log.end()
    redact = record.runtime.redactor.redact
    return replace(
        report,
        headline=redact(report.headline),
        log=redact(report.log),
        evidence=_redacted(report.evidence, redact),
        proposals=tuple(_PROPOSAL.validate_python(_redacted(asdict(one), redact)) for one in report.proposals),
    )


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    """Return a JSON value with every text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redacted(item, redact) for key, item in value.items()}
    return [_redacted(item, redact) for item in value] if isinstance(value, list | tuple) else value


def _assignment(record: StepRecord, choice: Choice, told: Told, checkout: Path | None) -> Assignment:
    return Assignment(
        name=record.run.name,
        prompt=choice.slug,
        instruction=told.text,
        system=told.system,
        config=choice.executor_config,
        limits=choice.limits,
        outputs={kind.value: allowed.most for kind, allowed in choice.outputs.items()},
        checkout=checkout,
        key=str(record.run.run_id),
    )


def _check_out(checkout: Callable[[str, Path], None], commit: str, destination: Path) -> None:
    destination.parent.mkdir(parents=True, mode=0o700)
    checkout(commit, destination)


class _LogStream:
    """Appends to the stored log as an executor speaks, and repeats it to whoever else listens."""

    def __init__(self, record: StepRecord, execution_id: UUID, say: Say) -> None:
        self._database = record.runtime.database
        self._execution_id = execution_id
        self._say = say
        self._position = 0
        self._redacting = record.runtime.redactor.stream()

    async def write(self, text: str) -> None:
        """Keep a piece of log; the store being away must not end the work, whose whole log is stored at its end."""
        await self._write(self._redacting.feed(text))

    async def end(self) -> None:
        """Keep what was held back in case that a secret had begun in it."""
        await self._write(self._redacting.end())

    async def _write(self, text: str) -> None:
        if not text:
            return
        self._say(text)
        try:
            async with self._database.transaction() as session:
                await store.append_log(session, execution_id=self._execution_id, position=self._position, content=text)
        except SQLAlchemyError as error:
            logger.warning("a piece of the log of execution %s was not stored: %s", self._execution_id, error)
        self._position += 1
