"""Step 3: which prompt an event calls for, and why that one."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.errors import GitError
from contexten_core.events.finish import Ignored
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import StepRecord
from contexten_core.integrations import reports
from contexten_core.projects.resolve import Target
from contexten_core.prompts import catalogue_store, store
from contexten_core.prompts.code_fields import code_fields
from contexten_core.prompts.conditions import ConditionVerdict
from contexten_core.prompts.experiments.conduct import variant_for
from contexten_core.prompts.explanation import Candidate, Explanation, explain
from contexten_core.prompts.fields import known_fields
from contexten_core.prompts.index.index import LivePrompt, PromptIndex
from contexten_core.prompts.models import Executor
from contexten_core.prompts.project_file.read import FILE_NAME, ProjectFile, apply, idle_narrowings, is_from_file
from contexten_core.prompts.project_file.source import project_file_of
from contexten_core.prompts.spec import OutputSpec, OutputType, PromptSpec, TemplateSpec, VariableSpec
from contexten_core.security.text import one_line
from contexten_core.tasks import trust
from contexten_core.tasks.models import TaskPriority, TaskType

__all__ = ["Candidate", "Choice", "ConditionVerdict", "Explanation", "choose", "known_fields", "select"]

_TRIES_BEFORE_WITHOUT = 2
_LONGEST_NOTE = 500


@dataclass(frozen=True, slots=True)
class Choice:
    """The prompt that was selected: the instruction, who carries it out, and its limits.

    Attributes:
        version: the one that answers this event; an experiment may have picked another than the live one.
        probability: how likely that version was, when it was picked.
        outputs: what may be proposed.
        withheld: why it may not be carried out: what the repository itself allows could not be read.
    """

    prompt_id: UUID
    slug: str
    version: int
    instruction: str
    executor: Executor
    executor_config: dict[str, Any]
    limits: dict[str, Any]
    task_type: TaskType
    task_priority: TaskPriority
    probability: float = 1.0
    experiment_id: UUID | None = None
    outputs: dict[OutputType, OutputSpec] = field(default_factory=dict)
    system_prompt: str | None = None
    templates: tuple[TemplateSpec, ...] = ()
    variables: dict[str, VariableSpec] = field(default_factory=dict)
    withheld: str | None = None


async def select(record: StepRecord, event: NormalisedEvent, target: Target) -> Choice | Ignored:
    """Select the prompt for an event, store the explanation on the run, and announce the choice.

    Raises:
        GitError: the repository's own file, or the code that a condition asks about, cannot be had for the moment; at
            the third try the event is judged without it.
    """
    while True:
        case = await _judge(record, event, target)
        live, explanation = case.winner, case.explanation
        trusted = await trust.verdict(record, event, target) if live is not None else trust.Trusted()
        async with record.runtime.database.transaction() as session:
            await record.prove(session)
            is_stored = live is not None and not is_from_file(live)
            if live is not None and is_stored and not await store.hold_prompt(session, live.prompt_id):
                # Removed since: whatever else applies comes next.
                continue
            run = await record.model(session)
            if live is None:
                run.explanation = explanation.as_dict()
                return await record.complete(session, Ignored(case.why_none))
            choice = await _choice(session, case, live, subject=event.subject, run_id=run.id)
            admitted = await trust.admit(session, record, event, target, choice, trusted)
            notes = [*explanation.notes, *admitted.notes]
            run.explanation = replace(explanation, version=choice.version, notes=notes).as_dict()
            run.prompt_id, run.prompt_version = (choice.prompt_id, choice.version) if is_stored else (None, None)
            run.probability = choice.probability
            if admitted.stop is not None:
                return await record.complete(session, admitted.stop)
            choice = replace(choice, limits={**choice.limits, **admitted.limits})
            await reports.announce(session, record, event, target, prompt=choice.slug)
            return await record.complete(session, choice)


@dataclass(frozen=True, slots=True)
class _Case:
    """An event that was judged, by which fields, and what the repository's own file says."""

    winner: LivePrompt | None
    explanation: Explanation
    fields: dict[str, Any]
    file: ProjectFile | None
    withheld: str | None = None

    @property
    def why_none(self) -> str:
        problem = self.file.problem if self.file is not None else None
        return f"{self.explanation.reason}; {problem}" if problem else self.explanation.reason


async def _judge(record: StepRecord, event: NormalisedEvent, target: Target) -> _Case:
    """Judge the prompts of an event's repository; the code is looked at only where that decides."""
    async with record.runtime.database.reading() as session:
        index = await record.runtime.prompts.current(session)
    insist = record.retries < _TRIES_BEFORE_WITHOUT
    file, withheld = await _file_of(record, event, target, insist=insist)
    notes = [withheld] if withheld else []
    if file is not None:
        notes += _notes_on(file, index)
        index = index.varied(apply(index.prompts, file))
    fields = known_fields(event, target)
    if wanted := index.asks(fields):
        found = await code_fields(
            record.runtime,
            event_id=record.run.event_id,
            event=event,
            target=target,
            wanted=wanted,
            insist=insist,
        )
        fields = known_fields(event, target, code=found.code, change=found.change)
        notes += found.notes
    # In a thread: patterns that are made to be slow must not keep the leases from being renewed.
    winner, explanation = await asyncio.to_thread(choose, index, fields, notes=notes)
    return _Case(winner, explanation, fields, file, withheld)


async def _file_of(
    record: StepRecord, event: NormalisedEvent, target: Target, *, insist: bool
) -> tuple[ProjectFile | None, str | None]:
    """Return what the repository itself says about prompts, or else why that could not be read.

    Where it cannot be read the event is still judged, so that a repository that is gone ends as such; but nothing may
    be carried out that the file might have forbidden.
    """
    if not record.runtime.settings.repository_prompts:
        return None, None
    try:
        return await project_file_of(record.runtime, target, event), None
    except GitError as error:
        if insist and error.transient:
            raise
        return None, one_line(f"{FILE_NAME} could not be asked for: {error.message}", _LONGEST_NOTE)


def _notes_on(file: ProjectFile, index: PromptIndex) -> list[str]:
    notes = [one_line(file.problem or f"{file.name} has a say", _LONGEST_NOTE)]
    if idle := idle_narrowings(index.prompts, file):
        notes.append(one_line(f"{file.name} narrows what is no prompt: {', '.join(idle)}", _LONGEST_NOTE))
    return notes


def choose(
    index: PromptIndex, fields: Mapping[str, Any], *, notes: Sequence[str] = ()
) -> tuple[LivePrompt | None, Explanation]:
    """Pick the prompt with the highest priority of those whose conditions hold; the slug decides between equals.

    Conditions about code that was not looked up do not hold, whatever they ask.
    """
    judged = index.judge(fields)
    winner = judged.applying[0] if judged.applying else None
    return winner, explain(index, judged, fields, notes=notes)


async def _choice(session: AsyncSession, case: _Case, live: LivePrompt, *, subject: str | None, run_id: UUID) -> Choice:
    """Return what is carried out: the live version, or the one that an experiment picks."""
    spec, version, probability = live.spec, live.version, 1.0
    if live.experiment_id is not None:
        variant = await variant_for(session, live.prompt_id, live.version, subject, run_id, case.fields)
        picked = await catalogue_store.version_spec(session, live, variant.version)
        if picked is not None:
            spec = picked if case.file is None else case.file.narrowed(picked)
            version, probability = variant.version, variant.probability
    choice = _choice_of(live, spec, version=version, probability=probability)
    return replace(choice, withheld=case.withheld)


def _choice_of(live: LivePrompt, spec: PromptSpec, *, version: int, probability: float) -> Choice:
    return Choice(
        prompt_id=live.prompt_id,
        slug=spec.slug,
        version=version,
        instruction=spec.template,
        executor=spec.executor,
        executor_config=spec.executor_config,
        limits=spec.limits,
        task_type=spec.task_type,
        task_priority=spec.task_priority,
        probability=probability,
        experiment_id=live.experiment_id,
        outputs=spec.outputs,
        system_prompt=spec.system_prompt,
        templates=spec.templates,
        variables=spec.variables,
    )
