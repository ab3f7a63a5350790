"""Why an event ended as it did: every gate on its way, in order, with its verdict and the reason."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events import explain_store, redelivery_store, store
from contexten_core.events.explain_store import Arrival
from contexten_core.events.history import EventHistory, event_history, outcome_of, result_of
from contexten_core.events.ignored import is_ignored
from contexten_core.events.models import (
    EffectStatus,
    EventHandlerModel,
    EventModel,
    EventProvider,
    EventStatus,
    HandlerStatus,
    OutboxModel,
    RedeliveryModel,
    RunModel,
    RunStatus,
)
from contexten_core.events.steps import Step
from contexten_core.events.summary import is_suspect, summarise_step

# A delivery's digest is a SHA-256 in hex; what was logged has a random one, of half that length.
_DIGEST_LENGTH = 64
_REPORT = "report"
_UNFINISHED = (HandlerStatus.PENDING, HandlerStatus.RETRYING, HandlerStatus.RUNNING)
_MADE_TO_END = (RunStatus.SUPERSEDED, RunStatus.CANCELLED)
_NAMES = {
    EventProvider.GITHUB: "GitHub",
    EventProvider.LINEAR: "Linear",
    EventProvider.SLACK: "Slack",
    EventProvider.DEPLOYMENT: "a deployment source",
}
_PROOFS = {EventProvider.DEPLOYMENT: "its sender proved who it is"}


class Verdict(StrEnum):
    """What a gate did with an event."""

    PASSED = "passed"
    STOPPED = "stopped"
    WAITING = "waiting"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate; `evidence` is what it went by, as JSON's types."""

    name: str
    verdict: Verdict
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventExplanation:
    """An event's way through the gates, those of its newest run, and in one sentence where that has led to."""

    event_id: UUID
    title: str
    outcome: str
    summary: str
    gates: list[Gate]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "event_id": str(self.event_id)}


async def explain_event(session: AsyncSession, event_id: UUID) -> EventExplanation:
    """Explain an event. Raises NotFoundError when there is none of that id."""
    history = await event_history(session, event_id)
    event = history.event
    asked: Sequence[RedeliveryModel] = ()
    if event.external_id is not None and event.provider is EventProvider.GITHUB:
        asked = await redelivery_store.of_delivery(session, event.external_id)
    return explain(
        history,
        arrival=await explain_store.arrival(session, event_id),
        asked=asked,
        same_id=(await store.earlier_of_same_id(session, [event_id])).get(event_id),
    )


def explain(
    history: EventHistory,
    *,
    arrival: Arrival | None = None,
    asked: Sequence[RedeliveryModel] = (),
    same_id: UUID | None = None,
) -> EventExplanation:
    """Return the gates of an event, from what is stored of it.

    Args:
        arrival: what is known of the bytes that came.
        asked: how GitHub was asked to send it again.
        same_id: another event that came under the same delivery id, with another body.
    """
    gates = [
        _received(history.event, arrival, asked, same_id),
        *_way(history),
        _functions(history.functions),
    ]
    return EventExplanation(
        event_id=history.event.id,
        title=history.event.title,
        outcome=history.outcome,
        summary=_summary(history, gates),
        gates=gates,
    )


def _summary(history: EventHistory, gates: Sequence[Gate]) -> str:
    event = history.event
    if event.is_record:
        return f"{history.outcome}: {_no_flow(event)}"
    open_gate = next((gate for gate in gates[:-1] if gate.verdict in (Verdict.STOPPED, Verdict.WAITING)), None)
    newest = history.newest.run if history.newest else None
    if event.status is EventStatus.PENDING and newest is not None and newest.status is not RunStatus.RUNNING:
        return f"waiting: it will be handled again; the gates are those of attempt {newest.attempt}"
    if history.outcome in _MADE_TO_END:
        return _made_to_end(history)
    if open_gate is None or open_gate.name == _REPORT:
        conclusion = newest.conclusion.value if newest is not None and newest.conclusion else None
        said = event.error_message if event.status is EventStatus.FAILED else conclusion
        unsaid = f"; {open_gate.reason}" if open_gate else ""
        return history.outcome + (f": {said}" if said else "") + unsaid
    state = "waiting" if open_gate.verdict is Verdict.WAITING else history.outcome
    return f"{state} at {open_gate.name}: {open_gate.reason}"


def _made_to_end(history: EventHistory) -> str:
    successor = history.newest.successor if history.newest else None
    told = history.event.reason or history.outcome
    return told + (f"; its newest run is {successor.id}: {result_of(successor)}" if successor else "")


def _received(
    event: EventModel, arrival: Arrival | None, asked: Sequence[RedeliveryModel], same_id: UUID | None
) -> Gate:
    evidence: dict[str, Any] = {
        "delivery_id": event.external_id,
        "received_at": event.created_at.isoformat(),
        "headers": event.headers or {},
        "content_type": arrival.content_type if arrival else None,
        "size_bytes": arrival.size_bytes if arrival else None,
        "redeliveries": [_asked(row) for row in asked],
        "other_event_of_same_delivery_id": str(same_id) if same_id else None,
    }
    return Gate("received", Verdict.PASSED, _how_received(event, asked, same_id), evidence)


def _how_received(event: EventModel, asked: Sequence[RedeliveryModel], same_id: UUID | None) -> str:
    when = _moment(event.created_at)
    if event.provider is EventProvider.SYSTEM:
        return f"an event of our own, {when}"
    if event.is_record:
        return f"simulated, {when}: it did not happen"
    if len(event.digest) != _DIGEST_LENGTH:
        return f"logged, {when}, by an application or over the API; no sender signed it"
    parts = [
        f"{when} from {_NAMES.get(event.provider, event.provider.value)}"
        + (f", delivery {event.external_id}" if event.external_id else ""),
        f"{_PROOFS.get(event.provider, 'its signature was verified')}, and it is stored once",
        f"GitHub was asked to send it again, {_moment(asked[-1].requested_at)}" if asked else "",
        f"event {same_id} has the same delivery id and another body" if same_id else "",
    ]
    return "; ".join(part for part in parts if part)


def _asked(row: RedeliveryModel) -> dict[str, Any]:
    requested_at = row.requested_at.isoformat() if row.requested_at else None
    return {"hook": row.hook, "times": row.attempts, "requested_at": requested_at, "error": row.last_error}


def _way(history: EventHistory) -> list[Gate]:
    """Return the gates of a run; behind one that does not let it through, none is reached.

    What has been said is there all the same: a run that broke says so.
    """
    event = history.event
    gates: list[Gate] = []
    for name, judge in _WAY:
        before = gates[-1] if gates else None
        is_shut = before is not None and before.verdict is not Verdict.PASSED
        if is_shut and not (judge is _report and _effects(history)):
            gates.append(Gate(name, Verdict.NOT_REACHED, ""))
        elif event.is_record:
            gates.append(Gate(name, Verdict.STOPPED, _no_flow(event)))
        else:
            gates.append(judge(name, history))
    return gates


def _no_flow(event: EventModel) -> str:
    kind = "an event of our own" if event.provider is EventProvider.SYSTEM else "an event that did not happen"
    return f"no flow handles {kind}; only the functions registered for it are called"


def _readable(name: str, history: EventHistory) -> Gate:
    event = history.event
    if event.parked_at is None or is_suspect(event):
        return Gate(name, Verdict.PASSED, "the body says what it is about", {"event_type": event.event_type})
    why = event.reason or event.error_message or "the body could not be read"
    evidence = {"parked_at": event.parked_at.isoformat(), "event_type": event.event_type}
    reason = f"parked, {_moment(event.parked_at)}: {why}; `contexten events replay` reads its bytes again"
    return Gate(name, Verdict.STOPPED, reason, evidence)


def _parsed(name: str, history: EventHistory) -> Gate:
    return _of_step(name, history, Step.INGEST_EVENT)


def _not_ours(name: str, history: EventHistory) -> Gate:
    said = _result(history, Step.INGEST_EVENT)
    actor = said.get("actor")
    evidence = {"actor": actor, "from_bot": said.get("from_bot"), "own": said.get("own")}
    if said.get("own") is True:
        return Gate(
            name, Verdict.STOPPED, f"{actor or 'whoever did it'} is ourselves; nothing answers itself", evidence
        )
    kind = "a bot, but not one of ours" if said.get("from_bot") is True else "not one of ours"
    return Gate(name, Verdict.PASSED, f"{actor} is {kind}" if actor else "it names nobody of ours", evidence)


def _project(name: str, history: EventHistory) -> Gate:
    return _of_step(name, history, Step.RESOLVE_PROJECT)


def _prompt(name: str, history: EventHistory) -> Gate:
    gate = _of_step(name, history, Step.SELECT_PROMPT)
    explanation = history.newest.run.explanation if history.newest else None
    if explanation is None:
        return gate
    reason = explanation["reason"] if gate.verdict is Verdict.PASSED else gate.reason
    return Gate(name, gate.verdict, reason, {**gate.evidence, **explanation})


def _codebase(name: str, history: EventHistory) -> Gate:
    gate = _of_step(name, history, Step.ANALYSE_CODEBASE)
    if gate.verdict is Verdict.STOPPED and _step(history, Step.EXECUTE_TASK) is not None:
        # The task is created all the same, so that it fails where a person looks for it.
        return Gate(name, Verdict.PASSED, f"not analysed: {gate.reason}", gate.evidence)
    return gate


def _execution(name: str, history: EventHistory) -> Gate:
    return _of_step(name, history, Step.EXECUTE_TASK)


def _report(name: str, history: EventHistory) -> Gate:
    effects = _effects(history)
    evidence = {"effects": [_effect(effect) for effect in effects]}
    if not effects:
        return Gate(name, Verdict.PASSED, "there is nothing to report to: the event names no commit", evidence)
    last = effects[-1]
    what = f"{last.kind} {last.content.get('state', '')}".rstrip()
    match last.status:
        case EffectStatus.SENT:
            return Gate(name, Verdict.PASSED, f"{what} was posted, {_moment(last.sent_at)}", evidence)
        case EffectStatus.PENDING:
            tried = f"; tried {last.attempts} ×, {last.last_error}" if last.last_error else ""
            return Gate(name, Verdict.WAITING, f"{what} is to be posted{tried}", evidence)
        case EffectStatus.DEAD | EffectStatus.WITHHELD:
            why = last.reason or last.last_error or last.status.value
            return Gate(name, Verdict.STOPPED, f"{what} was not posted: {why}", evidence)


def _effects(history: EventHistory) -> list[OutboxModel]:
    return history.newest.effects if history.newest else []


def _effect(effect: OutboxModel) -> dict[str, Any]:
    return {
        "kind": effect.kind,
        "status": effect.status.value,
        "state": effect.content.get("state"),
        "description": effect.content.get("description"),
        "attempts": effect.attempts,
        "sent_at": effect.sent_at.isoformat() if effect.sent_at else None,
        "error": effect.last_error,
        "reason": effect.reason,
    }


_Judge = Callable[[str, EventHistory], Gate]
_WAY: tuple[tuple[str, _Judge], ...] = (
    ("readable", _readable),
    ("parsed", _parsed),
    ("not ours", _not_ours),
    ("project", _project),
    ("prompt", _prompt),
    ("codebase", _codebase),
    ("execution", _execution),
    (_REPORT, _report),
)


def _functions(calls: Sequence[EventHandlerModel]) -> Gate:
    evidence = {"calls": [_call(call) for call in calls]}
    if not calls:
        return Gate("functions", Verdict.PASSED, "no function was registered for it", evidence)
    failed = [call for call in calls if call.status is HandlerStatus.FAILED]
    open_calls = [call for call in calls if call.status in _UNFINISHED]
    if open_calls:
        reason = f"{open_calls[0].handler_name} is {open_calls[0].status.value}"
        return Gate("functions", Verdict.WAITING, reason, evidence)
    if failed:
        reason = f"{failed[0].handler_name} failed: {failed[0].error_message}"
        return Gate("functions", Verdict.STOPPED, reason, evidence)
    return Gate("functions", Verdict.PASSED, ", ".join(call.handler_name for call in calls), evidence)


def _call(call: EventHandlerModel) -> dict[str, Any]:
    return {
        "function": call.handler_name,
        "status": call.status.value,
        "retries": call.retry_count,
        "error": call.error_message,
    }


def _of_step(name: str, history: EventHistory, step: Step) -> Gate:
    """Return what a step of the newest run said, or what it waits for."""
    row = _step(history, step)
    if row is None:
        return _before(name, history)
    evidence = {"step": row.handler_name, "duration_ms": row.duration_ms, "retries": row.retry_count}
    match row.status:
        case HandlerStatus.COMPLETED:
            result = row.output_data or {}
            if is_ignored(result):
                return Gate(name, Verdict.STOPPED, str(result["reason"]), evidence)
            return Gate(name, Verdict.PASSED, summarise_step(row.handler_name, result), evidence)
        case HandlerStatus.FAILED:
            return _failed(name, history, f"{row.error_message}", evidence)
        case HandlerStatus.RUNNING | HandlerStatus.PENDING | HandlerStatus.RETRYING:
            if history.event.status is not EventStatus.PROCESSING:
                return _before(name, history)
            under_way = f"under way since {_moment(row.started_at)}"
            return Gate(name, Verdict.WAITING, under_way + _about_to_end(history), evidence)


def _failed(name: str, history: EventHistory, error: str, evidence: dict[str, Any]) -> Gate:
    event = history.event
    if event.status is EventStatus.RETRYING:
        again = f"{error}; {_when_again(event)}{_about_to_end(history)}"
        return Gate(name, Verdict.WAITING, again, evidence)
    said = f"{event.reason}; before, {error}" if history.outcome in _MADE_TO_END else error
    return Gate(name, Verdict.STOPPED, said, evidence)


def _before(name: str, history: EventHistory) -> Gate:
    """Return why a step has not begun."""
    event, run = history.event, history.newest.run if history.newest else None
    evidence: dict[str, Any] = {"status": event.status.value, "lease_owner": event.lease_owner}
    match event.status:
        case EventStatus.PENDING:
            return Gate(
                name, Verdict.WAITING, _why_pending(history) + _about_to_end(history), _queue(history, evidence)
            )
        case EventStatus.PROCESSING:
            working = f"{event.lease_owner or 'a worker'} is working on it"
            return Gate(name, Verdict.WAITING, working + _about_to_end(history), evidence)
        case EventStatus.RETRYING:
            again = f"{event.error_message}; {_when_again(event)}"
            return Gate(name, Verdict.WAITING, again + _about_to_end(history), _queue(history, evidence))
        case EventStatus.COMPLETED | EventStatus.FAILED | EventStatus.SKIPPED:
            evidence["superseded_by"] = str(event.superseded_by) if event.superseded_by else None
            if is_suspect(event):
                evidence["details"] = event.error_details
            return Gate(name, Verdict.STOPPED, _ended_early(event, run), evidence)


def _why_pending(history: EventHistory) -> str:
    event, ahead = history.event, history.ahead
    if ahead is not None:
        state = "is being handled" if ahead.status is EventStatus.PROCESSING else "comes first"
        return f"another event of {event.subject} {state}: {ahead.name}, event {ahead.id}"
    if event.supersedes and history.newest is None and event.available_at > event.created_at:
        return f"a worker takes it from {_moment(event.available_at)} on, unless another push comes before"
    return "a worker takes it next, once one is free"


def _about_to_end(history: EventHistory) -> str:
    run = history.newest.run if history.newest else None
    if run is None or run.status is not RunStatus.RUNNING or run.cancel_requested_at is None:
        return ""
    return f"; it is about to end: {run.cancel_reason}"


def _queue(history: EventHistory, evidence: Mapping[str, Any]) -> dict[str, Any]:
    waits_for = str(history.ahead.id) if history.ahead else None
    return {**evidence, "waits_for": waits_for, "causes": history.event.causes or []}


def _ended_early(event: EventModel, run: RunModel | None) -> str:
    if is_suspect(event):
        then = "`contexten events replay` has it handled again, `contexten events discard` gives it up"
        return f"parked, {_moment(event.parked_at)}: {event.reason}; {then}"
    if run is None and event.reason is None:
        return f"it was recorded as {outcome_of(event)}, so no flow took it up"
    said = event.reason or (run.reason if run else None) or event.error_message
    return said or f"the run ended before, as {run.status.value if run else outcome_of(event)}"


def _when_again(event: EventModel) -> str:
    return f"tried again from {_moment(event.available_at)} ({event.retry_count} of {event.max_retries})"


def _step(history: EventHistory, step: Step) -> EventHandlerModel | None:
    steps = history.newest.steps if history.newest else []
    return next((row for row in steps if row.handler_name == step), None)


def _result(history: EventHistory, step: Step) -> Mapping[str, Any]:
    row = _step(history, step)
    return (row.output_data if row else None) or {}


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "at an unknown time"
