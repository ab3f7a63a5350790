"""Which of the things that an executor proposed are done: checked, made harmless, and handed to the outbox."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.codebase.examine import open_mirror
from contexten_core.db import utc_now
from contexten_core.events import outbox_store
from contexten_core.events.claim import normalised
from contexten_core.events.models import EventModel
from contexten_core.events.steps import StepRecord
from contexten_core.events.verbs import autofix_allowed
from contexten_core.execution.git import Mirror
from contexten_core.execution.git_history import FileKind
from contexten_core.integrations.statuses import Effect
from contexten_core.outputs.check import Checked, Refused, check
from contexten_core.outputs.effects import PULL_REQUEST, effects_of
from contexten_core.outputs.place import place_of
from contexten_core.projects import store as project_store
from contexten_core.projects.target import Target
from contexten_core.prompts.select import Choice
from contexten_core.prompts.spec import OutputType
from contexten_core.tasks import budget, budget_store
from contexten_core.tasks.outcome import Outcome

_MOST_EARLIER = 20
_PATCHABLE = {FileKind.REGULAR, FileKind.EXECUTABLE}


@dataclass(frozen=True, slots=True)
class Released:
    """What came of an executor's proposals.

    Attributes:
        effects: what is done outside, or would be done, where the project asks to be shown only.
        refused: what is not, and why.
        is_shown_only: whether the project wants nothing to be done: its setting `dry_run` of `outputs`.
    """

    effects: tuple[Effect, ...] = ()
    refused: tuple[Refused, ...] = ()
    is_shown_only: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON's types; of files of a patch only the names."""
        return {
            "dry_run": self.is_shown_only,
            "effects": [{"kind": one.kind, "key": one.effect_key, **_told(one)} for one in self.effects],
            "refused": [asdict(one) for one in self.refused],
        }


NOTHING = Released()


async def judge(record: StepRecord, target: Target, choice: Choice, outcome: Outcome) -> Released:
    """Check what an executor proposed against what its prompt allows, at the place that the event is about.

    Raises:
        GitError: a patch is proposed, and the code that it is for cannot be read.
    """
    proposals = outcome.details.get("proposals")
    if not isinstance(proposals, list) or not proposals:
        return NOTHING
    runtime = record.runtime
    async with runtime.database.reading() as session:
        event = await session.get(EventModel, record.run.event_id)
        settings = await project_store.config(
            session, target.project_id, environment=runtime.settings.environment.value
        )
        assert event is not None
        subject = normalised(event).subject
        fixes = subject is None or await autofix_allowed(session, subject, event.payload)
        left = await budget.effects_left(
            session, budget.budgets_in(settings), project_id=target.project_id, now=utc_now()
        )
        earlier: Sequence[Mapping[str, Any]] = ()
        # Whoever has it done again wants it again.
        if subject is not None and record.run.attempt == 1:
            earlier = await budget_store.changes_proposed(
                session, project_id=target.project_id, subject=subject, but=record.run.run_id, limit=_MOST_EARLIER
            )
    withheld = {} if fixes else {OutputType.PATCH: f"fixes are switched off for {subject}"}
    place = place_of(normalised(event), target, event.payload)

    def checked() -> Checked:
        read = _reader(open_mirror(runtime, target), target.commit)
        return check(proposals, choice.outputs, place, redact=runtime.redactor.redact, read=read, withheld=withheld)

    found = await asyncio.to_thread(checked)
    effects = effects_of(runtime.settings, record.run, found.accepted, place, prompt=choice.slug)
    kept, dropped = _new_ones(effects, earlier)
    if left is not None and len(kept) > left.left:
        dropped += [Refused(one.kind, f"the project's budget is used up, {left}") for one in kept[int(left.left) :]]
        kept = kept[: int(left.left)]
    return Released(tuple(kept), (*found.refused, *dropped), settings.get(("outputs", "dry_run")) is True)


def _new_ones(effects: Sequence[Effect], earlier: Sequence[Mapping[str, Any]]) -> tuple[list[Effect], list[Refused]]:
    """Return the effects without those that open a pull request with the very change of an earlier one."""
    kept, repeated = [], []
    for effect in effects:
        if any(_change(effect.content) == _change(content) for content in earlier if effect.kind == PULL_REQUEST):
            repeated.append(
                Refused(effect.kind, "the same change was proposed before; trying again brought no progress")
            )
        else:
            kept.append(effect)
    return kept, repeated


def _change(content: Mapping[str, Any]) -> tuple[Any, ...]:
    return content.get("repository"), content.get("base"), content.get("files")


async def enqueue(session: AsyncSession, released: Released) -> None:
    """Hand what is to be done to the outbox; each effect once, however often this is called."""
    if released.is_shown_only:
        return
    for effect in released.effects:
        await outbox_store.enqueue(session, **asdict(effect))


def _reader(mirror: Mirror, commit: str) -> Callable[[str], bytes | None]:
    """Return what reads a file of a commit; the list of files is read when the first is asked for."""
    known: dict[str, str] = {}

    def read(path: str) -> bytes | None:
        if not known:
            known.update({entry.path: entry.blob_id for entry in mirror.tree(commit) if entry.mode in _PATCHABLE})
            known.setdefault("", "")
        blob_id = known.get(path)
        return next((content for _, content in mirror.read([blob_id])), None) if blob_id else None

    return read


def _told(effect: Effect) -> dict[str, Any]:
    content = {name: value for name, value in effect.content.items() if name not in {"api_url", "files"}}
    files = effect.content.get("files")
    return {"content": content, **({"files": sorted(files)} if files else {})}
