"""Have a person say yes to a commit and a plan before it is worked on, and note what they said.

An approval counts for one event, one commit and one plan, and for 72 hours. Another commit of the same subject, or
another plan of the same prompt, makes it void. However it ends, the commit's status and the report say so.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol, Self, TypedDict
from uuid import UUID, uuid4

from pydantic_core import to_jsonable_python
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from contexten_core.events import outbox_store, run_store
from contexten_core.events import store as event_store
from contexten_core.events.models import EffectStatus, EventModel, EventStatus
from contexten_core.integrations import reports
from contexten_core.security.text import one_line
from contexten_core.tasks import approval_store as store
from contexten_core.tasks.forecast import UNKNOWN, Forecast
from contexten_core.tasks.models import ApprovalModel, ApprovalStatus

VALID_FOR = timedelta(hours=72)
"""How long somebody may take to answer, and how long the answer counts."""

SHORTEST_SHA = 7
_SHA = re.compile(rf"[0-9a-f]{{{SHORTEST_SHA},64}}")
_LONGEST_REASON = 500
_LONGEST_NAME = 200
_LONGEST_STATUS = 140
_MOST_EXPIRED = 20
_ENDED = (EventStatus.COMPLETED, EventStatus.FAILED, EventStatus.SKIPPED)
_COMMIT_STATUS = "github.commit_status"


class PlanOf(Protocol):
    """What of a selected prompt an approval is bound to; `contexten_core.prompts.select.Choice` is one."""

    @property
    def slug(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def instruction(self) -> str: ...
    @property
    def system_prompt(self) -> str | None: ...
    @property
    def executor(self) -> Any: ...
    @property
    def executor_config(self) -> Mapping[str, Any]: ...
    @property
    def limits(self) -> Mapping[str, Any]: ...
    @property
    def outputs(self) -> Mapping[Any, Any]: ...


class TargetOf(Protocol):
    """What of a target an approval is bound to; `contexten_core.projects.resolve.Target` is one."""

    @property
    def project_id(self) -> UUID: ...
    @property
    def repository(self) -> str: ...
    @property
    def commit(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to be done if somebody says yes.

    Attributes:
        shown: as JSON's types, for whoever decides.
        digest: over all of it, and over what is not shown.
    """

    prompt: str
    shown: dict[str, Any]
    digest: str


class _Where(TypedDict):
    subject: str | None
    repositories: Sequence[str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for an approval, as people name it.

    Attributes:
        sha: the beginning of the commit's id, at least 7 digits.
        subject: `owner/name#7`; None for whatever waits in the repositories.
    """

    sha: str
    subject: str | None = None
    repositories: tuple[str, ...] = ()

    @classmethod
    def on(cls, repository: str, number: int, sha: str) -> Self:
        return cls(sha, subject=f"{repository}#{number}")


def plan_of(choice: PlanOf, *, expected: Forecast = UNKNOWN) -> Plan:
    """Return the plan that a selected prompt is.

    Args:
        expected: what it is likely to take, which is shown and no part of the digest.
    """
    shown = to_jsonable_python(
        {
            "prompt": choice.slug,
            "version": choice.version,
            "executor": str(choice.executor),
            "executor_config": choice.executor_config,
            "limits": choice.limits,
            "outputs": choice.outputs,
            "expected": expected.as_dict(),
        }
    )
    return Plan(choice.slug, shown, plan_digest(choice))


def plan_digest(choice: PlanOf) -> str:
    """Return what tells one plan from another: SHA-256 in hex over everything that decides what is done."""
    parts = [
        choice.slug,
        choice.version,
        choice.instruction,
        choice.system_prompt,
        str(choice.executor),
        choice.executor_config,
        choice.limits,
        choice.outputs,
    ]
    return sha256(json.dumps(to_jsonable_python(parts), sort_keys=True).encode()).hexdigest()


async def request_approval(
    session: AsyncSession, *, event_id: UUID, subject: str, target: TargetOf, plan: Plan, reason: str, now: datetime
) -> ApprovalModel:
    """Ask for an approval, once for an event, commit and plan, and return it; it may have been refused already.

    What waits for the same subject with another commit, or for the same prompt with another plan or event, is void
    from now on. An approval that has expired, or was void, is asked for anew.
    """
    await supersede(session, subject=subject, commit=target.commit)
    for other in await store.waiting(session, subject=subject):
        is_this = other.event_id == event_id and other.plan_digest == plan.digest
        if status_at(other, now) is ApprovalStatus.EXPIRED:
            other.status = ApprovalStatus.EXPIRED
        elif other.plan.get("prompt") == plan.prompt and not is_this:
            other.status = ApprovalStatus.VOID
    await store.insert(
        session,
        {
            "id": uuid4(),
            "name": f"{plan.prompt} on {target.commit[:SHORTEST_SHA]}",
            "event_id": event_id,
            "subject": subject,
            "repository": target.repository,
            "commit_sha": target.commit,
            "plan_digest": plan.digest,
            "plan": plan.shown,
            "reason": one_line(reason, _LONGEST_REASON),
            "expires_at": now + VALID_FOR,
            "project_id": target.project_id,
        },
    )
    approval = await store.of_plan(session, event_id=event_id, commit=target.commit, plan_digest=plan.digest, lock=True)
    assert approval is not None
    is_over = approval.status is ApprovalStatus.APPROVED and approval.expires_at <= now
    if is_over or approval.status in (ApprovalStatus.EXPIRED, ApprovalStatus.VOID):
        approval.status, approval.expires_at = ApprovalStatus.PENDING, now + VALID_FOR
        approval.decided_at = approval.decided_by = approval.decided_through = None
    return approval


async def supersede(session: AsyncSession, *, subject: str, commit: str) -> None:
    """Make void what waits for another commit of a subject than this, and say so on that commit.

    The report is that of the run which brought this commit.
    """
    for other in await store.waiting(session, subject=subject):
        if other.commit_sha != commit:
            other.status = ApprovalStatus.VOID
            await _conclude(session, other, said=f"not run: {commit[:SHORTEST_SHA]} came before anybody approved it")


async def approval_for(
    session: AsyncSession, *, event_id: UUID, commit: str, plan_digest: str, now: datetime
) -> ApprovalModel | None:
    """Return the approval of exactly this event, commit and plan, if somebody gave it and it still counts."""
    approval = await store.of_plan(session, event_id=event_id, commit=commit, plan_digest=plan_digest)
    if approval is None or approval.status is not ApprovalStatus.APPROVED or approval.expires_at <= now:
        return None
    return approval


async def decide(
    session: AsyncSession,
    voice: reports.Voice,
    which: UUID | Waiting,
    *,
    approved: bool,
    by: str,
    through: str,
    now: datetime,
) -> ApprovalModel:
    """Note what somebody said, and return the approval; with a yes its event is handled again, as a new run.

    A commit for which several prompts wait is answered for all of them; the newest is returned.

    Args:
        which: an approval's id, or the beginning of the commit's and where it waits.
        through: `github`, `slack`, `linear`, `api` or `cli`.

    Raises:
        InvalidInputError: what is given of the commit's id is not at least 7 hexadecimal digits.
        NotFoundError: nothing such waits.
        ConflictError: it was answered already, has expired, is void, or more than one commit begins like that.
        UnavailableError: the run that asked for it has not ended yet; trying again shortly helps.
        ConfigurationError: a setting of its project was encrypted with another key.
    """
    ids = [which] if isinstance(which, UUID) else await _named(session, which)
    for approval_id in ids:
        await _lock_event(session, approval_id)
    rows = [await _open(session, approval_id, now=now) for approval_id in ids]
    for row in rows:
        row.status = ApprovalStatus.APPROVED if approved else ApprovalStatus.REFUSED
        row.decided_at, row.decided_by, row.decided_through = now, one_line(by, _LONGEST_NAME), through
        if approved:
            row.expires_at = now + VALID_FOR
            await _handle_again(session, row, now=now)
        else:
            await _conclude(session, row, said=f"{row.decided_by} refused the approval")
        await reports.answered(session, voice, row)
    return rows[0]


async def withdraw(session: AsyncSession, voice: reports.Voice, *, subject: str) -> int:
    """Make every pending approval of a subject void; returns how many there were."""
    waiting = await store.waiting(session, subject=subject)
    for approval in waiting:
        approval.status = ApprovalStatus.VOID
        await _conclude(session, approval, said="cancelled; no approval is asked for any more")
    # After all of them: who answers one holds it before the repository is held for its report.
    for approval in waiting:
        await reports.answered(session, voice, approval)
    return len(waiting)


async def expire_due(voice: reports.Voice) -> int:
    """Note of the approvals whose time is over that they have expired, and say so; returns how many there were.

    Each is a transaction of its own; somebody may answer one at the same time, and then it is left alone.
    """
    async with voice.database.reading() as session:
        due = await store.expired(session, now=await voice.database.now(session), limit=_MOST_EXPIRED)
    count = 0
    for approval_id in due:
        async with voice.database.transaction() as session:
            await _lock_event(session, approval_id)
            row = await store.get(session, approval_id, lock=True)
            now = await voice.database.now(session)
            if row is None or row.status is not ApprovalStatus.PENDING or row.expires_at > now:
                continue
            row.status = ApprovalStatus.EXPIRED
            await _conclude(session, row, said="nobody approved it in time")
            await reports.answered(session, voice, row)
            count += 1
    return count


async def _named(session: AsyncSession, which: Waiting) -> Sequence[UUID]:
    prefix = which.sha.lower()
    if _SHA.fullmatch(prefix) is None:
        problem = f"is not the beginning of a commit's id with at least {SHORTEST_SHA} digits"
        raise InvalidInputError(f"{one_line(which.sha, 80)!r} {problem}", fields={"sha": problem})
    where: _Where = {"subject": which.subject, "repositories": which.repositories}
    waiting = await store.waiting(session, **where)
    found = [row for row in waiting if row.commit_sha.startswith(prefix)]
    if not found:
        shown = ", ".join(dict.fromkeys(row.commit_sha[:SHORTEST_SHA] for row in waiting))
        raise NotFoundError(
            f"nothing waits for an approval of {prefix[:SHORTEST_SHA]}"
            + (f" in {which.subject}" if which.subject else ""),
            hint=f"what waits is {shown}" if shown else "`contexten approvals list` shows what there is",
        )
    # Ids that begin alike are soon made: what was looked at must not be another commit than what is approved.
    if await store.is_ambiguous(session, prefix, **where):
        raise ConflictError(f"more than one commit begins with {prefix}", hint="give more of its id")
    return [row.id for row in found]


async def _lock_event(session: AsyncSession, approval_id: UUID) -> None:
    """Lock the event before its approval, as the step does that asks for one."""
    approval = await store.get(session, approval_id)
    if approval is not None:
        await event_store.get_locked(session, approval.event_id)


async def _open(session: AsyncSession, approval_id: UUID, *, now: datetime) -> ApprovalModel:
    row = await store.get(session, approval_id, lock=True)
    if row is None:
        raise NotFoundError(
            f"there is no approval {approval_id}", hint="`contexten approvals list` shows what there is"
        )
    status = status_at(row, now)
    if status is ApprovalStatus.PENDING:
        return row
    ends = {
        ApprovalStatus.EXPIRED: "has expired",
        ApprovalStatus.VOID: "is void: its commit or its plan has changed meanwhile",
    }
    said = ends.get(status, f"was {status.value} by {row.decided_by} already")
    raise ConflictError(
        f"the approval of {row.commit_sha[:SHORTEST_SHA]} for {row.subject} {said}",
        hint="`contexten events replay` asks for it anew" if status in ends else None,
    )


def status_at(approval: ApprovalModel, now: datetime) -> ApprovalStatus:
    """Return how an approval stands, whether or not it was noted yet that it has expired."""
    is_over = approval.status is ApprovalStatus.PENDING and approval.expires_at <= now
    return ApprovalStatus.EXPIRED if is_over else approval.status


def approval_line(approval: ApprovalModel, now: datetime) -> dict[str, Any]:
    """Return an approval as JSON's types, as it stands now."""
    return {**approval.to_dict(), "status": status_at(approval, now).value}


async def _handle_again(session: AsyncSession, approval: ApprovalModel, *, now: datetime) -> None:
    event = await event_store.get_locked(session, approval.event_id)
    assert event is not None
    if event.status is EventStatus.PROCESSING:
        raise UnavailableError(
            f"the run that asked for the approval of {approval.commit_sha[:SHORTEST_SHA]} has not ended yet",
            hint="try it again in a few seconds",
            transient=True,
        )
    handle_again(event, now=now)


def handle_again(event: EventModel, *, now: datetime) -> bool:
    """Have an event that has ended, and that the caller has locked, handled again; False when it waits anyway."""
    if event.status not in _ENDED:
        return False
    event.status, event.available_at = EventStatus.PENDING, now
    event.claims, event.causes, event.superseded_by = 0, None, None
    event.parked_at = event.reason = event.error_message = event.error_details = None
    return True


async def _conclude(session: AsyncSession, approval: ApprovalModel, *, said: str) -> None:
    """End what the run that asked says on its commit."""
    run = await run_store.latest_of(session, approval.event_id)
    for effect in [] if run is None else await outbox_store.of_run(session, run.id, kind=_COMMIT_STATUS):
        if effect.content.get("state") == "pending" and effect.status is not EffectStatus.WITHHELD:
            await outbox_store.enqueue(
                session,
                kind=effect.kind,
                effect_key=f"{effect.run_id}:commit_status:final",
                stream=effect.stream,
                position=1,
                run_id=effect.run_id,
                content={**effect.content, "state": "error", "description": one_line(said, _LONGEST_STATUS)},
            )
