"""All SQL about what is reported of runs."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, exists, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.shared import ask
from contexten_core.events.models import (
    Conclusion,
    EventHandlerModel,
    EventModel,
    HandlerStatus,
    OutboxModel,
    RunModel,
    RunStatus,
)
from contexten_core.events.steps import Step
from contexten_core.execution.executor import Cost
from contexten_core.integrations.report_words import ReportedRun, State
from contexten_core.tasks.forecast import told
from contexten_core.tasks.models import ApprovalModel, ApprovalStatus

TOLD = "told"
"""What the metadata of a run that broke or was cancelled has under this name may be said to anybody."""

WARNINGS = "warnings"
"""The metadata of a run has under this name what is said besides: budgets that are nearly used up."""

KINDS = ("github.sticky", "linear.sticky", "slack.message")
"""The kinds of effects by which runs speak at one place."""

_MOST_RUNS = 60
_STATES = {
    Conclusion.SUCCESS: State.SUCCEEDED,
    Conclusion.FAILURE: State.FAILED,
    Conclusion.ERROR: State.BROKEN,
}
_STEPS = (Step.SELECT_PROMPT, Step.EXECUTE_TASK, Step.RECORD_ANALYTICS)


_About = tuple[UUID | None, str | None, UUID]
_Reported = tuple[Row[Any], Mapping[str, Row[Any]], ApprovalModel | None]


async def runs_about(session: AsyncSession, run: RunModel, *, now: datetime) -> list[ReportedRun]:
    """Return a run, and the newest of the others of its subject that have said something at one place.

    Nothing is said of those for which no prompt applied.
    """
    rows = await ask(session, _rows_about, (run.repository_id, run.subject, run.id)) or []
    return [_reported(row, steps, approval, now) for row, steps, approval in rows]


async def _rows_about(session: AsyncSession, keys: Sequence[_About]) -> dict[_About, list[_Reported]]:
    """Return the rows about runs, each given with its repository and subject."""
    spoke = exists().where(OutboxModel.run_id == RunModel.id, OutboxModel.kind.in_(KINDS))
    repository_ids, subjects, run_ids = zip(*keys, strict=True)
    named = [subject for subject in subjects if subject is not None]
    is_nameless = and_(literal(len(named) < len(subjects)), RunModel.subject.is_(None))
    newest = (EventModel.created_at.desc(), RunModel.started_at.desc())
    numbered = (
        select(
            RunModel.id,
            RunModel.event_id,
            RunModel.repository_id,
            RunModel.subject,
            RunModel.status,
            RunModel.reason,
            RunModel.commit_sha,
            RunModel.metadata_,
            RunModel.started_at,
            EventModel.created_at.label("arrived_at"),
            EventModel.payload["before"].as_string().label("replaced"),
            spoke.label("spoke"),
            func.row_number()
            .over(partition_by=(RunModel.repository_id, RunModel.subject), order_by=newest)
            .label("place"),
        )
        .join(EventModel, EventModel.id == RunModel.event_id)
        .where(
            RunModel.repository_id.in_(repository_ids),
            or_(RunModel.subject.in_(named), is_nameless),
            or_(RunModel.id.in_(run_ids), spoke),
        )
        .subquery()
    )
    statement = select(numbered).where(numbered.c.place <= _MOST_RUNS).order_by(numbered.c.place)
    rows = (await session.execute(statement)).all()
    steps = await _steps(session, [row.id for row in rows])
    ignored = {row.event_id for row in rows if row.status is RunStatus.IGNORED}
    approvals = await _approvals(session, ignored) if ignored else {}
    of_subjects: dict[tuple[UUID | None, str | None], list[Row[Any]]] = {}
    for row in rows:
        of_subjects.setdefault((row.repository_id, row.subject), []).append(row)
    return {
        (repository_id, subject, run_id): [
            (row, steps.get(row.id, {}), approvals.get(row.event_id))
            for row in of_subjects.get((repository_id, subject), ())
            if row.spoke or row.id == run_id
        ]
        for repository_id, subject, run_id in keys
    }


async def _steps(session: AsyncSession, run_ids: Sequence[UUID]) -> dict[UUID, dict[str, Row[Any]]]:
    """Return what is worth telling of the steps that runs have completed; the whole records may be large."""
    output = EventHandlerModel.output_data
    statement = select(
        EventHandlerModel.run_id,
        EventHandlerModel.handler_name,
        output["slug"].as_string().label("slug"),
        output["conclusion"].as_string().label("conclusion"),
        output["headline"].as_string().label("headline"),
        output["duration_seconds"].as_float().label("seconds"),
        output[("cost", "calls")].as_float().label("calls"),
        output[("cost", "tokens_in")].as_float().label("tokens_in"),
        output[("cost", "tokens_out")].as_float().label("tokens_out"),
        output[("cost", "dollars")].as_float().label("dollars"),
    ).where(
        EventHandlerModel.run_id.in_(run_ids),
        EventHandlerModel.handler_name.in_(_STEPS),
        EventHandlerModel.status == HandlerStatus.COMPLETED,
    )
    found: dict[UUID, dict[str, Row[Any]]] = {}
    for row in await session.execute(statement):
        found.setdefault(row.run_id, {})[row.handler_name] = row
    return found


def _reported(
    row: Row[Any], steps: Mapping[str, Row[Any]], approval: ApprovalModel | None, now: datetime
) -> ReportedRun:
    selected, executed = steps.get(Step.SELECT_PROMPT), steps.get(Step.EXECUTE_TASK)
    prompt = selected.slug if selected is not None else None
    # A run that broke after its report was written stands as that says.
    if row.status is RunStatus.FAILED and Step.RECORD_ANALYTICS not in steps:
        state, message, executed = State.BROKEN, (row.metadata_ or {}).get(TOLD), None
    elif row.status in (RunStatus.CANCELLED, RunStatus.SUPERSEDED) and Step.RECORD_ANALYTICS not in steps:
        state, message, executed = State.CANCELLED, (row.metadata_ or {}).get(TOLD), None
    elif row.status is RunStatus.IGNORED:
        state, message = State.REFUSED, row.reason
        if approval is not None:
            prompt = approval.plan.get("prompt")
            # A run that began after the answer has another reason of its own.
            if approval.decided_at is None or row.started_at <= approval.decided_at:
                state, message = _asked(approval, now)
            else:
                approval = None
    elif executed is not None:
        state, message = _STATES[Conclusion(executed.conclusion)], executed.headline
    else:
        state, message = State.RUNNING, None
    return ReportedRun(
        run_id=row.id,
        event_id=row.event_id,
        state=state,
        arrived_at=row.arrived_at,
        started_at=row.started_at,
        prompt=prompt,
        commit=row.commit_sha,
        replaced=row.replaced,
        message=message,
        seconds=executed.seconds if executed is not None else None,
        cost=_cost(executed) if executed is not None else Cost(),
        approval=approval.id if approval is not None else None,
        expected=told(approval.plan.get("expected")) if approval is not None and state is State.WAITING else None,
        warnings=tuple((row.metadata_ or {}).get(WARNINGS, ())),
    )


def _asked(approval: ApprovalModel, now: datetime) -> tuple[State, str]:
    """Return how a run stands that somebody has to approve, and why."""
    match approval.status:
        case ApprovalStatus.PENDING if approval.expires_at > now:
            return State.WAITING, approval.reason
        case ApprovalStatus.PENDING | ApprovalStatus.EXPIRED:
            return State.REFUSED, f"{approval.reason}; nobody approved it in time"
        case ApprovalStatus.APPROVED:
            return State.RUNNING, f"{approval.decided_by} approved it"
        case ApprovalStatus.REFUSED:
            return State.REFUSED, f"{approval.reason}; {approval.decided_by} refused to approve it"
        case ApprovalStatus.VOID:
            return State.REFUSED, f"{approval.reason}; the approval that was asked for is void"


def _cost(row: Row[Any]) -> Cost:
    return Cost(int(row.calls or 0), int(row.tokens_in or 0), int(row.tokens_out or 0), row.dollars)


async def excerpts(session: AsyncSession, run_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the telling lines of the logs of those of these runs that have them."""
    if not run_ids:
        return {}
    excerpt = EventHandlerModel.output_data[("failure", "excerpt")].as_string()
    statement = select(EventHandlerModel.run_id, excerpt).where(
        EventHandlerModel.run_id.in_(run_ids),
        EventHandlerModel.handler_name == Step.EXECUTE_TASK,
        EventHandlerModel.status == HandlerStatus.COMPLETED,
    )
    return {run_id: text for run_id, text in await session.execute(statement) if run_id is not None and text}


async def _approvals(session: AsyncSession, event_ids: Collection[UUID]) -> dict[UUID, ApprovalModel]:
    """Return the newest approval that was asked for each of these events."""
    statement = select(ApprovalModel).where(ApprovalModel.event_id.in_(event_ids))
    found = (await session.execute(statement.order_by(ApprovalModel.created_at, ApprovalModel.id))).scalars()
    return {approval.event_id: approval for approval in found}


async def is_waiting(session: AsyncSession, event_id: UUID) -> bool:
    """Tell whether an approval of an event is waited for."""
    statement = select(ApprovalModel.id).where(
        ApprovalModel.event_id == event_id, ApprovalModel.status == ApprovalStatus.PENDING
    )
    return (await session.execute(statement.limit(1))).scalar_one_or_none() is not None


async def last_content(session: AsyncSession, stream: str) -> Mapping[str, Any]:
    """Return the content of the newest effect of a stream; nothing when there is none."""
    return await ask(session, _last_contents, stream) or {}


async def _last_contents(session: AsyncSession, streams: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    newest = (OutboxModel.created_at.desc(), OutboxModel.position.desc())
    place = func.row_number().over(partition_by=OutboxModel.stream, order_by=newest).label("place")
    numbered = select(OutboxModel.id, place).where(OutboxModel.stream.in_(streams)).subquery()
    statement = select(OutboxModel.stream, OutboxModel.content).join(numbered, numbered.c.id == OutboxModel.id)
    return dict((await session.execute(statement.where(numbered.c.place == 1))).tuples().all())


async def superseded(session: AsyncSession, run_ids: Collection[UUID]) -> list[tuple[UUID, EventModel]]:
    """Return those of these runs that were superseded, each with its event, unless that is to be handled again."""
    statement = (
        select(RunModel.id, EventModel)
        .join(EventModel, EventModel.id == RunModel.event_id)
        .where(RunModel.id.in_(run_ids), RunModel.status == RunStatus.SUPERSEDED, EventModel.superseded_by.is_not(None))
    )
    return [(run_id, event) for run_id, event in await session.execute(statement)]


async def spoken(session: AsyncSession, streams: Collection[str]) -> set[str]:
    """Return those of these streams that an effect was ever put into."""
    statement = select(OutboxModel.stream).where(OutboxModel.stream.in_(streams)).distinct()
    return set((await session.execute(statement)).scalars())
