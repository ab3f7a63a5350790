"""Whether what an event brings may be worked on without asking, and what happens when it may not.

Whoever can push to a repository can have anything run there already. What others bring, in a pull request from a
fork or under somebody else's, waits until a person with write permission has approved exactly that commit and plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.errors import OutboundError
from contexten_core.events import outbox_store, run_store
from contexten_core.events.ignored import Ignored
from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import StepRecord
from contexten_core.execution.results import Limits
from contexten_core.integrations import report_store
from contexten_core.integrations.statuses import pending_status
from contexten_core.projects import store as project_store
from contexten_core.projects.target import Target
from contexten_core.prompts.models import Executor
from contexten_core.runtime import Runtime
from contexten_core.security.permissions import Permission, can_ask, client_of, knows_repository, permission_of
from contexten_core.security.text import one_line
from contexten_core.settings import Settings
from contexten_core.tasks.approve import SHORTEST_SHA, PlanOf, approval_for, plan_of, request_approval, supersede
from contexten_core.tasks.budget import Choosing, allowance
from contexten_core.tasks.forecast import forecast
from contexten_core.tasks.models import ApprovalModel, ApprovalStatus

_LONGEST_NAME = 100
_TRIES_BEFORE_WITHOUT = 2


class Choice(PlanOf, Choosing, Protocol):
    """What of a selected prompt is looked at; `contexten_core.prompts.select.Choice` is one."""

    @property
    def executor(self) -> Executor: ...


@dataclass(frozen=True, slots=True)
class Trusted:
    """It may be worked on without asking."""


@dataclass(frozen=True, slots=True)
class NeedsApproval:
    """Somebody has to say yes first, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a selected prompt is carried out now.

    Attributes:
        stop: why it is not; None when it is.
        notes: what the explanation is to say besides.
        limits: those of the prompt's limits that are lower for this run, by what is left of a budget.
    """

    stop: Ignored | None = None
    notes: tuple[str, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)


async def verdict(record: StepRecord, event: NormalisedEvent, target: Target) -> Trusted | NeedsApproval:
    """Return whether the one who caused an event may have code run here. To be called outside of a transaction.

    Where nobody's permission can be asked for, because no token is configured or the API is none like GitHub's, who
    pushed to the repository itself is trusted, and a fork is not.

    Raises:
        OutboundError: GitHub does not answer for the moment; at the third try an approval is needed instead.
    """
    if (known := _without_asking(record.runtime, event, target)) is not None:
        return known
    async with record.runtime.database.reading() as session:
        row = await run_store.step(session, run_id=record.run.run_id, name=record.step)
    insist = row is not None and row.retry_count < _TRIES_BEFORE_WITHOUT
    return await _by_permission(record.runtime, target, event.actor or "", insist=insist)


async def is_trusted(runtime: Runtime, event: NormalisedEvent, target: Target) -> bool:
    """Tell whether `verdict` will say so; it then has nothing to ask for a while. What cannot be found out is a no."""
    found = _without_asking(runtime, event, target)
    if found is None:
        found = await _by_permission(runtime, target, event.actor or "", insist=False)
    return isinstance(found, Trusted)


def _without_asking(runtime: Runtime, event: NormalisedEvent, target: Target) -> Trusted | NeedsApproval | None:
    if event.provider is not EventProvider.GITHUB or not event.type.startswith("pull_request"):
        return Trusted()
    if event.from_fork:
        return NeedsApproval("the pull request comes from a fork")
    return None if can_ask(runtime.settings, _api_url(runtime, target)) else Trusted()


async def _by_permission(runtime: Runtime, target: Target, actor: str, *, insist: bool) -> Trusted | NeedsApproval:
    client, api_url = client_of(runtime), _api_url(runtime, target)
    permission = await permission_of(client, api_url, target.repository, actor, insist=insist)
    if permission.may_write:
        return Trusted()
    shown = one_line(actor, _LONGEST_NAME) or "whoever did it"
    if permission is not Permission.NONE:
        return NeedsApproval(f"{shown} has no more than {permission} permission in {target.repository}")
    try:
        if not await knows_repository(client, api_url, target.repository):
            return Trusted()
    except OutboundError as error:
        if insist and error.transient:
            raise
    return NeedsApproval(f"{shown} is not known to have write permission in {target.repository}")


def _api_url(runtime: Runtime, target: Target) -> str:
    return target.api_url or runtime.settings.github_api_url


async def admit(
    session: AsyncSession,
    record: StepRecord,
    event: NormalisedEvent,
    target: Target,
    choice: Choice,
    found: Trusted | NeedsApproval,
) -> Admission:
    """Return whether a selected prompt is carried out now: within its budgets, and approved where that is needed.

    What is missing is asked for: the approval is stored, and the commit says how to give it.
    """
    runtime, now = record.runtime, utc_now()
    environment = runtime.settings.environment.value
    config = await project_store.config(session, target.project_id, vault=runtime.vault, environment=environment)
    allowed = await allowance(
        session,
        choice,
        config=config,
        project_id=target.project_id,
        run_id=record.run.run_id,
        subject=event.subject,
        commit=target.commit,
        now=now,
        usual_seconds=_usual_seconds(runtime.settings, choice.executor),
        again=record.run.attempt > 1,
    )
    await _warn(session, record, allowed.notes)
    if isinstance(found, Trusted):
        if event.subject is not None and event.type.startswith("pull_request"):
            await supersede(session, subject=event.subject, commit=target.commit)
        return Admission(allowed.stop, allowed.notes, allowed.limits)
    if allowed.stop is not None:
        return Admission(allowed.stop, allowed.notes)
    expected = await forecast(session, prompt_id=choice.prompt_id, version=choice.version, now=now)
    plan = plan_of(choice, expected=expected)
    approval = await approval_for(
        session, event_id=record.run.event_id, commit=target.commit, plan_digest=plan.digest, now=now
    )
    if approval is not None:
        who = one_line(f"{approval.decided_by} approved {_short(approval)} through {approval.decided_through}", 300)
        return Admission(notes=(*allowed.notes, who), limits=allowed.limits)
    approval = await request_approval(
        session,
        event_id=record.run.event_id,
        subject=event.subject or target.repository,
        target=target,
        plan=plan,
        reason=found.reason,
        now=now,
    )
    if approval.status is ApprovalStatus.REFUSED:
        return Admission(
            Ignored(f"{approval.decided_by} refused the approval of {_short(approval)}: {found.reason}", refused=True)
        )
    await _tell(session, record, target, choice, approval)
    how = f"`/approve {_short(approval)}` by somebody with write permission starts it"
    return Admission(
        Ignored(f"waits for approval of {_short(approval)}: {found.reason}; {how}", refused=True), allowed.notes
    )


def _usual_seconds(settings: Settings, executor: Executor) -> float:
    return settings.llm_timeout_seconds if executor is Executor.LLM else Limits().wall_seconds


async def _warn(session: AsyncSession, record: StepRecord, warnings: Sequence[str]) -> None:
    """Keep what the reports of a run are to say of budgets."""
    if warnings:
        run = await record.model(session)
        run.metadata_ = {**(run.metadata_ or {}), report_store.WARNINGS: list(warnings)}


def _short(approval: ApprovalModel) -> str:
    return approval.commit_sha[:SHORTEST_SHA]


async def _tell(
    session: AsyncSession, record: StepRecord, target: Target, choice: Choice, approval: ApprovalModel
) -> None:
    if not target.commit_status:
        return
    running = pending_status(record.runtime.settings, record.run, target, choice.slug)
    said = f"waits for approval: /approve {_short(approval)}"
    effect = replace(running, content={**running.content, "description": said})
    await outbox_store.enqueue(session, **asdict(effect))
