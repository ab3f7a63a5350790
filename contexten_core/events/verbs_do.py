"""What people can ask for in comments and messages, done."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.errors import ConflictError, ContextenError, InvalidInputError, NotFoundError
from contexten_core.events import store as event_store
from contexten_core.events import verbs_store
from contexten_core.events.cancel import request_cancel
from contexten_core.events.explain import explain_event
from contexten_core.events.models import EventProvider, RunModel, RunStatus
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import StepRecord
from contexten_core.events.verbs_parse import COMMAND, USAGE, Verb, VerbName
from contexten_core.projects import store as project_store
from contexten_core.projects.models import ProjectModel
from contexten_core.security.text import one_line
from contexten_core.tasks import approval_store
from contexten_core.tasks.approve import SHORTEST_SHA, Waiting, decide, handle_again, withdraw

_MOST_RUNS = 20
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, by whom, and where."""

    verb: Verb
    event: NormalisedEvent
    payload: Mapping[str, Any]
    project: ProjectModel
    config: Mapping[tuple[str, str], Any]
    api_url: str

    @property
    def by(self) -> str:
        return one_line(self.event.actor or "somebody", _LONGEST_NAME)

    @property
    def subject(self) -> str:
        return self.event.subject or self.event.name


@dataclass(frozen=True, slots=True)
class Said:
    """What came of it.

    Attributes:
        text: for the run, and for the answer where one is given.
        aloud: whether it is answered by more than a reaction.
    """

    text: str
    done: bool = True
    aloud: bool = False


async def carry_out(session: AsyncSession, record: StepRecord, asked: Asked) -> Said:
    """Do what was asked for, inside the transaction that ends its run.

    Raises:
        UnavailableError: what is approved is just being held; nothing was written.
    """
    try:
        return await _VERBS[asked.verb.name](session, record, asked)
    except (ConflictError, InvalidInputError, NotFoundError) as error:
        return Said(_told(error), done=False, aloud=True)


def _told(error: ContextenError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


async def _decide(session: AsyncSession, record: StepRecord, asked: Asked) -> Said:
    approved = asked.verb.name is VerbName.APPROVE
    if asked.verb.sha is None:
        return Said("say which commit: /approve SHA, with at least 7 digits", done=False, aloud=True)
    through = asked.event.provider.value
    which: UUID | Waiting
    if asked.verb.approval is not None:
        which = await _pressed(session, asked, asked.verb.approval, asked.verb.sha)
    elif asked.event.provider is EventProvider.GITHUB:
        which = Waiting(asked.verb.sha, subject=asked.subject)
    else:
        names = [row.full_name for row in await project_store.repositories_of(session, asked.project.id)]
        which = Waiting(asked.verb.sha, repositories=tuple(names))
    now = utc_now()
    approval = await decide(session, record.runtime, which, approved=approved, by=asked.by, through=through, now=now)
    outcome = "approved; it is handled again" if approved else "refused; it is not carried out"
    return Said(f"{approval.commit_sha[:7]} of {approval.subject} is {outcome}")


async def _pressed(session: AsyncSession, asked: Asked, approval_id: UUID, commit: str) -> UUID:
    """Return the approval that a button is about, if it is one of the project that may be decided about here.

    Raises:
        NotFoundError: it is not, or is about another commit.
    """
    approval = await approval_store.get(session, approval_id)
    if approval is None or approval.project_id != asked.project.id or approval.commit_sha != commit:
        raise NotFoundError(
            f"nothing waits here for an approval of {commit[:SHORTEST_SHA]}",
            hint="`contexten approvals list` shows what there is",
        )
    return approval.id


async def _rerun(session: AsyncSession, record: StepRecord, asked: Asked) -> Said:
    for run in await _runs(session, record, asked):
        if run.status is RunStatus.RUNNING:
            return Said(f"run {run.id} of it is not over yet", done=False, aloud=True)
        event = await event_store.get_locked(session, run.event_id)
        if event is None or event.is_record:
            continue
        if not handle_again(event, now=utc_now()):
            return Said("it waits to be handled already", done=False, aloud=True)
        return Said(f"the event of run {run.id} is handled again")
    return _nothing(asked)


async def _cancel(session: AsyncSession, record: StepRecord, asked: Asked) -> Said:
    """Have the runs of a subject cancelled. What waits for an approval, waits no longer."""
    withdrawn = await withdraw(session, record.runtime, subject=asked.subject)
    ended = 0
    for run in await _runs(session, record, asked):
        ended += await request_cancel(session, run.id, by=asked.by, reason=f"cancelled by {asked.by}")
    if not ended and not withdrawn:
        return Said(f"nothing runs or waits for {asked.subject}", done=False, aloud=True)
    return Said(f"{ended} run(s) cancelled, {withdrawn} approval(s) no longer asked for")


async def _explain(session: AsyncSession, record: StepRecord, asked: Asked) -> Said:
    runs = await _runs(session, record, asked)
    if not runs:
        return _nothing(asked)
    return Said((await explain_event(session, runs[0].event_id)).summary, aloud=True)


async def _set_autofix(session: AsyncSession, _record: StepRecord, asked: Asked) -> Said:
    is_off = asked.verb.name is VerbName.AUTOFIX_OFF
    await project_store.set_config(
        session,
        project_id=asked.project.id,
        config_type=verbs_store.AUTOFIX,
        key=asked.subject,
        value=verbs_store.OFF if is_off else verbs_store.ON,
    )
    return Said(f"{'no ' if is_off else ''}fixes are proposed for {asked.subject}")


async def _help(_session: AsyncSession, _record: StepRecord, _asked: Asked) -> Said:
    return Said(f"{COMMAND} takes {USAGE}", done=False, aloud=True)


def _nothing(asked: Asked) -> Said:
    return Said(f"nothing has been carried out for {asked.subject} yet", done=False, aloud=True)


async def _runs(session: AsyncSession, record: StepRecord, asked: Asked) -> list[RunModel]:
    found = await verbs_store.runs_of(
        session, project_id=asked.project.id, subject=asked.subject, but=record.run.run_id, limit=_MOST_RUNS
    )
    return list(found)


_VERBS: Mapping[VerbName, Callable[[AsyncSession, StepRecord, Asked], Awaitable[Said]]] = {
    VerbName.RERUN: _rerun,
    VerbName.CANCEL: _cancel,
    VerbName.APPROVE: _decide,
    VerbName.REFUSE: _decide,
    VerbName.EXPLAIN: _explain,
    VerbName.AUTOFIX_OFF: _set_autofix,
    VerbName.AUTOFIX_ON: _set_autofix,
    VerbName.HELP: _help,
}
