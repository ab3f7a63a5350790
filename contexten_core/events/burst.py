"""When the backlog is deep, one Prefect flow run handles many events: when that is, and how such a flow run begins."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events import run_store, store
from contexten_core.events.claim import RunRef, reference
from contexten_core.events.finish import LifecycleResult
from contexten_core.events.models import EventModel, EventStatus, RunStatus
from contexten_core.runtime import Runtime
from contexten_core.settings import Settings


@dataclass(frozen=True, slots=True)
class BurstResult:
    """How the runs of a burst ended.

    Attributes:
        ended: how many ended in each way, by the words of `RunStatus`.
        broke: how many broke; each is tried again or has failed by itself, as its run says.
    """

    ended: Mapping[str, int] = field(default_factory=dict)
    broke: int = 0


def wants_burst(backlog: int, now_bursting: bool, settings: Settings) -> bool:
    """Tell whether events are to be handled many at a time.

    Args:
        backlog: how many events wait.
        now_bursting: whether they are now; the way back has a threshold of its own, so that it is not to and fro.
    """
    return backlog > settings.burst_until if now_bursting else backlog >= settings.burst_from


async def attach_burst(session: AsyncSession, runs: Sequence[RunRef], *, flow_run_id: UUID) -> list[RunRef]:
    """Remember which Prefect flow run carries these runs out; return those that are still this worker's."""
    locked = await store.lock_all(session, [run.event_id for run in runs], payloads=False)
    events = {event.id: event for event in locked}
    kept = [run for run in runs if _is_ours(events.get(run.event_id), run)]
    await run_store.set_flow_run(session, [run.run_id for run in kept], flow_run_id=flow_run_id)
    return kept


async def begin_burst(runtime: Runtime, *, event_ids: Sequence[UUID], flow_run_id: UUID) -> list[RunRef]:
    """Return the runs that a Prefect flow run is to carry out: those of these events that are still this worker's.

    The dispatcher has opened them. What has been taken over by another worker, or has ended, is left out.
    """
    async with runtime.database.transaction() as session:
        events = {event.id: event for event in await store.lock_all(session, event_ids, payloads=False)}
        runs = await run_store.latest_of_all(session, event_ids)
    begun = []
    for event_id in event_ids:
        event, run = events.get(event_id), runs.get(event_id)
        if event is None or run is None:
            continue
        ours = event.status is EventStatus.PROCESSING and event.lease_owner == runtime.leases.owner
        if ours and run.status is RunStatus.RUNNING and run.flow_run_id == flow_run_id:
            begun.append(reference(run, event))
    return begun


def burst_name(runs: Sequence[RunRef]) -> str:
    """Return what Prefect calls a flow run that handles these runs."""
    return f"lifecycle ×{len(runs)}"


def groups_of(runs: Sequence[RunRef], *, size: int) -> list[Sequence[RunRef]]:
    """Return the runs in groups of at most `size`, in their order."""
    return [runs[start : start + size] for start in range(0, len(runs), size)]


def outcome_of(ended: Iterable[LifecycleResult | BaseException]) -> BurstResult:
    """Return how runs ended, added up."""
    counted: Counter[str] = Counter()
    broke = 0
    for end in ended:
        if isinstance(end, BaseException):
            # What was made to stop did not break.
            broke += isinstance(end, Exception)
        else:
            counted[end.status.value] += 1
    return BurstResult(dict(counted), broke)


def added_up(results: Iterable[BurstResult]) -> BurstResult:
    counted: Counter[str] = Counter()
    broke = 0
    for result in results:
        counted.update(result.ended)
        broke += result.broke
    return BurstResult(dict(counted), broke)


async def burst_result(session: AsyncSession, flow_run_id: UUID) -> dict[str, Any] | None:
    """Return how the runs stand that a Prefect flow run carried out, by status; None when it had none."""
    counted = await run_store.count_of_flow_run(session, flow_run_id)
    return {status.value: count for status, count in counted.items()} or None


def _is_ours(event: EventModel | None, run: RunRef) -> bool:
    return event is not None and event.status is EventStatus.PROCESSING and event.lease_epoch == run.epoch
