"""Judge the present prompts against a stored event, without running anything."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase.collect import commit_facts
from contexten_core.errors import NotFoundError
from contexten_core.events import run_store
from contexten_core.events.claim import normalised
from contexten_core.events.finish import Ignored
from contexten_core.events.history import resolve_id
from contexten_core.events.models import EventModel, HandlerStatus, RunModel
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import Step
from contexten_core.projects.resolve import Target
from contexten_core.prompts.catalogue import PromptCatalogue
from contexten_core.prompts.code_fields import values_of_code
from contexten_core.prompts.explanation import Explanation, explanation_of
from contexten_core.prompts.fields import CODE, known_fields
from contexten_core.prompts.select import choose

_SAID: TypeAdapter[Any] = TypeAdapter(NormalisedEvent)
_RESOLVED: TypeAdapter[Any] = TypeAdapter(Target | Ignored)


async def match_event(session: AsyncSession, catalogue: PromptCatalogue, event_id: UUID) -> Explanation:
    """Tell which prompt a stored event would get now, and why: by the live versions, whatever an experiment picks.

    Of the code only what is stored of its commit is known. The repository's own file has no say.

    Raises:
        NotFoundError: there is no such event.
    """
    event = await session.get(EventModel, event_id)
    if event is None:
        raise NotFoundError(f"there is no event {event_id}", hint="`contexten events list` shows the newest")
    run = await run_store.latest_of(session, event_id)
    said = await _result(session, run, Step.INGEST_EVENT, _SAID)
    said = said if said is not None else normalised(event)
    target = await _result(session, run, Step.RESOLVE_PROJECT, _RESOLVED)
    facts = await commit_facts(session, run.codebase_id) if run is not None and run.codebase_id else None
    code = None if facts is None else values_of_code(facts)
    notes: list[str] = []
    if isinstance(target, Target):
        fields = known_fields(said, target, code=code)
    else:
        fields = {"event": asdict(said)}
        notes.append(target.reason if isinstance(target, Ignored) else "no run has found out the event's project yet")
    index = await catalogue.current(session)
    missing = ", ".join(f"{root}.*" for root in sorted(index.asks(fields)))
    if missing:
        how = "its commit is not analysed" if CODE in missing else "what it changes is looked up only by a run"
        notes.append(f"{missing} is not known, so that no condition about it holds: {how}")
    return choose(index, fields, notes=notes)[1]


async def stored_explanation(session: AsyncSession, given: str) -> tuple[RunModel, Explanation]:
    """Return why a run's prompt was selected; of an event its newest run's.

    Args:
        given: the id of a run or an event, or the beginning of one.

    Raises:
        NotFoundError: there is none, or no prompt has been selected for it.
    """
    try:
        run = await run_store.get(session, await resolve_id(session, RunModel, given))
    except NotFoundError:
        run = await run_store.latest_of(session, await resolve_id(session, EventModel, given))
    if run is None or run.explanation is None:
        raise NotFoundError(
            f"no prompt has been selected for {given}", hint="`contexten prompts match EVENT_ID` judges it now"
        )
    return run, explanation_of(run.explanation)


async def _result(session: AsyncSession, run: RunModel | None, step: Step, adapter: TypeAdapter[Any]) -> Any:
    """Return what a step of a run found, or None when it has not completed."""
    row = await run_store.step(session, run_id=run.id, name=step) if run is not None else None
    return adapter.validate_python(row.output_data) if row and row.status is HandlerStatus.COMPLETED else None
