"""What a prompt would say, about a stored event or about given fields. Nothing is written, and nothing is fetched."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase.collect import commit_facts
from contexten_core.errors import InvalidInputError, NotFoundError
from contexten_core.events import run_store
from contexten_core.events.claim import normalised
from contexten_core.events.finish import Ignored
from contexten_core.events.models import EventModel, HandlerStatus, RunModel
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step
from contexten_core.projects.resolve import Target
from contexten_core.prompts.conditions import look_up
from contexten_core.prompts.fields import CHANGE, CODE, FIELDS, FieldType, known_fields, root_of
from contexten_core.prompts.spec import PromptSpec, VariableType, spec_of
from contexten_core.prompts.templates.check import mistyped, parse_reference
from contexten_core.prompts.templates.instruction import Rendered, fill_in, prepare
from contexten_core.prompts.templates.language import suggestion
from contexten_core.prompts.templates.render import Renderer
from contexten_core.prompts.versions import get_reference

_TYPES = {
    FieldType.TEXT: VariableType.STRING,
    FieldType.NUMBER: VariableType.NUMBER,
    FieldType.BOOLEAN: VariableType.BOOLEAN,
    FieldType.LIST: VariableType.LIST,
}
_EVENT: TypeAdapter[NormalisedEvent] = TypeAdapter(NormalisedEvent)
_RESOLVED: TypeAdapter[Target | Ignored] = TypeAdapter(Target | Ignored)
_FROM_RUNS = ("project", "repository")


@dataclass(frozen=True, slots=True)
class Preview:
    """What a prompt would say.

    Attributes:
        slug: the prompt.
        version: the one that was shown; None for one that is not stored.
        absent: the fields that its texts use, and that were not known.
        notes: why some were not.
    """

    slug: str
    version: int | None
    rendered: Rendered
    absent: tuple[str, ...]
    notes: tuple[str, ...]


async def preview(
    session: AsyncSession,
    renderer: Renderer,
    *,
    prompt: PromptSpec | str,
    event_id: UUID | None = None,
    fields: Mapping[str, Any] | None = None,
    language: str | None = None,
    context_type: str | None = None,
) -> Preview:
    """Render a prompt as it would be for an event.

    Args:
        prompt: one that need not be stored, or `slug`, `slug@label`, `slug@3`.
        event_id: the event, whose last run says what project and code it was about.
        fields: values by their path, `event.title`, which come before those of the event.
        language: for its templates of one language; the main one of the code when left out.
        context_type: for its templates of one kind of context; the event's type when left out.

    Raises:
        NotFoundError: there is no such prompt or event.
        InvalidInputError: a given field does not exist, or its value is of another type.
        TemplateError: a text, an include or a value is not as it has to be.
    """
    spec, version = (prompt, None) if isinstance(prompt, PromptSpec) else await _stored(session, prompt)
    given = _given(fields or {})
    known, notes = await _of_event(session, event_id) if event_id is not None else ({}, [])
    for path, value in given.items():
        known.setdefault(root_of(path), {})[path.partition(".")[2]] = value
    instruction = await prepare(
        session,
        spec,
        language=language or look_up(known, f"{CODE}.primary_language"),
        context_type=context_type or look_up(known, "event.type"),
    )
    rendered = await fill_in(renderer, instruction, known)
    absent = sorted(path for path in instruction.paths if look_up(known, path) is None)
    roots = {root_of(path) for path in absent}
    said = [note for root, note in notes if root in roots]
    return Preview(spec.slug, version, rendered, tuple(absent), tuple(said))


async def _stored(session: AsyncSession, reference: str) -> tuple[PromptSpec, int]:
    parsed = parse_reference(reference)
    if parsed is None:
        raise NotFoundError(
            f"{reference[:80]!r} is no reference to a prompt",
            hint="such as house-style, house-style@staging or house-style@3",
        )
    prompt, version = await get_reference(session, *parsed)
    return spec_of(prompt.slug, version.content), version.version


def _given(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    problems = {path: problem for path, value in fields.items() if (problem := _field_problem(path, value))}
    if problems:
        message = "; ".join(f"{path}: {problem}" for path, problem in problems.items())
        raise InvalidInputError(message, fields=problems)
    return fields


def _field_problem(path: str, value: Any) -> str | None:
    if path not in FIELDS:
        return f"there is no such field{suggestion(path, list(FIELDS))}"
    return None if value is None else mistyped(_TYPES[FIELDS[path].type], value)


async def _of_event(session: AsyncSession, event_id: UUID) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return what is known of an event, and by the first part of the fields that are not, why."""
    event = await session.get(EventModel, event_id)
    if event is None:
        raise NotFoundError(f"there is no event {event_id}", hint="`contexten events list` shows the newest")
    run = await run_store.latest_of(session, event_id)
    said = await _result(session, run, Step.INGEST_EVENT, _EVENT)
    said = said if isinstance(said, NormalisedEvent) else normalised(event)
    target = await _result(session, run, Step.RESOLVE_PROJECT, _RESOLVED)
    notes = [(CHANGE, "what an event changes is not looked up in a preview; give change.* as fields")]
    facts = await commit_facts(session, run.codebase_id) if run is not None and run.codebase_id is not None else None
    code = None
    if facts is None:
        notes.append((CODE, "the commit of the event is not analysed"))
    else:
        names = [path.partition(".")[2] for path in FIELDS if root_of(path) == CODE]
        code = {name: getattr(facts.totals, name) for name in names}
    if isinstance(target, Target):
        return known_fields(said, target, code=code), notes
    why = target.reason if isinstance(target, Ignored) else "the event has not been resolved to a project yet"
    return {"event": _EVENT.dump_python(said)} | ({CODE: code} if code else {}), notes + [
        (root, why) for root in _FROM_RUNS
    ]


async def _result(session: AsyncSession, run: RunModel | None, step: Step, adapter: TypeAdapter[Any]) -> Any:
    """Return what a step of a run found, or None when it has not completed."""
    row = await run_store.step(session, run_id=run.id, name=step) if run is not None else None
    return adapter.validate_python(row.output_data) if row and row.status is HandlerStatus.COMPLETED else None
