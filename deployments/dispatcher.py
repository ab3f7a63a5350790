"""The dispatcher: gives new events their place, claims those that are next, and has the engine run their lifecycles."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from contexten_core import together
from contexten_core.db.notify import EVENTS, Listener
from contexten_core.errors import LeaseLostError
from contexten_core.events import dispatch_store
from contexten_core.events.admit import admit_events
from contexten_core.events.burst import attach_burst, burst_name, wants_burst
from contexten_core.events.cancel import end_or_hand_back, request_cancel
from contexten_core.events.claim import RunRef, attach_flow_run, claim_events
from contexten_core.events.finish import hand_back, ours
from contexten_core.events.park import park_suspects
from contexten_core.runtime import Runtime
from deployments.cancellations import BY_PREFECT
from deployments.catalogue import BURST, LIFECYCLE
from deployments.engine import UNREACHABLE, Engine

logger = logging.getLogger(__name__)

_BATCH = 50
_ADMIT_BATCH = 200
_PAUSE_SECONDS = 1.0
_REAP_SECONDS = 2.0
# How often to look, while nothing waits, for what workers that went away have left.
_TAKE_OVER_SECONDS = 1.0
_STARTS_AT_ONCE = 4
_LEAST_TOGETHER = 2
_BURSTS_AT_ONCE = 2
_BURST_SECONDS = 2.0
_FIRST_BURST = 40
_BETWEEN_LOOKS_SECONDS = 0.1
_TAKEN_OVER = "another worker has taken it over"


async def dispatch(runtime: Runtime, engine: Engine) -> None:
    """Admit and claim events for ever, and start a flow run for each; while many wait, for many of them."""
    dispatcher = _Dispatcher(runtime, engine)
    runtime.leases.lost = dispatcher.lost
    async with Listener(runtime.database, [EVENTS]) as listener, asyncio.TaskGroup() as loops:
        loops.create_task(dispatcher.reap(), name="reaper")
        loops.create_task(dispatcher.dispatch(listener), name="claims")


class _Dispatcher:
    def __init__(self, runtime: Runtime, engine: Engine) -> None:
        self._runtime = runtime
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._runs: dict[UUID, UUID] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._is_bursting = False
        self._is_prefect_away = False
        self._bursts: dict[UUID, float] = {}
        self._claimed_at = 0.0

    async def dispatch(self, listener: Listener) -> None:
        while True:
            looked_at = 0
            try:
                looked_at = await self._look()
            except SQLAlchemyError as error:
                logger.warning("the database does not answer, will ask again: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
            if self._is_bursting:
                # What a burst itself stores gives notice as well.
                await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
            if looked_at < _BATCH:
                await listener.wait(EVENTS, seconds=self._runtime.settings.poll_seconds)

    async def reap(self) -> None:
        """Set aside the events that seem to kill their workers."""
        while True:
            try:
                for event_id in await park_suspects(self._runtime, limit=_BATCH):
                    logger.error("event %s is parked: its workers went away again and again", event_id)
            except SQLAlchemyError as error:
                logger.warning("the database does not answer, will ask again: %s", error)
            await asyncio.sleep(_REAP_SECONDS)

    def lost(self, event_id: UUID) -> None:
        """Stop a run that another worker has taken over; called by the thread that renews leases."""
        self._loop.call_soon_threadsafe(self._stop, event_id)

    async def _look(self) -> int:
        admitted = await admit_events(self._runtime, limit=_ADMIT_BATCH)
        if not self._engine.free or self._engine.is_paused(LIFECYCLE):
            return admitted
        if self._is_prefect_away and not await self._engine.is_answered():
            return admitted
        self._is_prefect_away = False
        waiting = await self._count_waiting()
        self._is_bursting = wants_burst(waiting, self._is_bursting, self._runtime.settings)
        if self._is_bursting and not self._may_burst():
            return admitted
        if not waiting and monotonic() - self._claimed_at < _TAKE_OVER_SECONDS:
            return admitted
        self._claimed_at = monotonic()
        most = self._most_of_a_burst() if self._is_bursting else min(self._engine.free, _BATCH)
        room = max(self._runtime.settings.max_concurrent_operations - len(self._runs), 0)
        claimed = await claim_events(self._runtime, limit=min(most, room)) if room else []
        if not await self._start_all(claimed):
            await asyncio.sleep(_PAUSE_SECONDS)
        return max(admitted, len(claimed))

    async def _count_waiting(self) -> int:
        """Count the events that wait for a worker; more than begin a burst need not be counted."""
        async with self._runtime.database.reading() as session:
            now = await self._runtime.database.now(session)
            return await dispatch_store.backlog(session, now=now, most=self._runtime.settings.burst_from)

    def _may_burst(self) -> bool:
        """Tell whether another burst may begin: what is handled takes the processor, what waits outside does not."""
        return len(self._bursts) < _BURSTS_AT_ONCE or monotonic() - max(self._bursts.values()) > _BURST_SECONDS

    def _most_of_a_burst(self) -> int:
        """Return for how many events a burst may be: the first is small, so that commands soon run beside the next."""
        most = self._runtime.settings.burst_size
        return most if self._bursts else min(most, _FIRST_BURST)

    async def _start_all(self, runs: Sequence[RunRef]) -> bool:
        """Start claimed runs; what cannot be started now is handed back. Tell whether all could."""
        # What was taken over has a flow run of its own to be seen after.
        fresh = [run for run in runs if run.abandoned_flow_run_id is None and not run.is_cancelled]
        many = fresh if self._is_bursting and len(fresh) >= _LEAST_TOGETHER else []
        starts = [self._start_or_hand_back(self._start, [run]) for run in runs if run not in many]
        if many:
            starts.append(self._start_or_hand_back(self._start_burst, many))
        return all(await asyncio.gather(*starts))

    async def _start_or_hand_back(
        self, start: Callable[[Sequence[RunRef]], Awaitable[None]], runs: Sequence[RunRef]
    ) -> bool:
        async with self._starting:
            try:
                await start(runs)
            except (*UNREACHABLE, SQLAlchemyError) as error:
                logger.warning("%s could not be started, will be tried again: %s", runs[0].name, error)
                self._is_prefect_away = isinstance(error, UNREACHABLE)
                await hand_back(self._runtime, *runs)
                return False
            return True

    async def _start_burst(self, runs: Sequence[RunRef]) -> None:
        engine, first = self._engine, runs[0]
        flow_run = await engine.create(
            BURST,
            name=burst_name(runs),
            parameters={"event_ids": [str(run.event_id) for run in runs]},
            idempotency_key=f"burst:{first.event_id}:{first.epoch}",
        )
        async with self._runtime.database.transaction() as session:
            kept = await attach_burst(session, runs, flow_run_id=flow_run.id)
        for run in runs:
            if run not in kept:
                # This process stood still for longer than its lease.
                self._runtime.leases.release(run.event_id)
        self._runs.update({run.event_id: run.run_id for run in kept})
        self._bursts[flow_run.id] = monotonic()

        def ended() -> None:
            self._bursts.pop(flow_run.id, None)
            for run in kept:
                self._forget(run)

        engine.start(flow_run, ended=ended)

    async def _start(self, runs: Sequence[RunRef]) -> None:
        engine, (run,) = self._engine, runs
        if run.abandoned_flow_run_id is not None and await self._ended_in_prefect(run, run.abandoned_flow_run_id):
            return
        flow_run = await engine.create(
            LIFECYCLE,
            name=run.name,
            tags=run.tags,
            parameters={"event_id": str(run.event_id)},
            idempotency_key=f"{run.event_id}:{run.epoch}",
        )
        try:
            async with self._runtime.database.transaction() as session:
                await ours(session, run)
                await attach_flow_run(session, run_id=run.run_id, flow_run_id=flow_run.id)
        except LeaseLostError as error:
            # This process stood still for longer than its lease.
            logger.warning("%s is not started here: %s", run.name, error)
            if self._runtime.leases.holds(run.event_id, epoch=run.epoch):
                self._runtime.leases.release(run.event_id)
            await engine.give_up(flow_run.id)
            return
        if run.abandoned_flow_run_id is not None:
            await engine.give_up(run.abandoned_flow_run_id)
        self._runs[run.event_id] = run.run_id
        engine.start(flow_run, key=run.run_id, ended=lambda: self._forget(run))

    async def _ended_in_prefect(self, run: RunRef, flow_run_id: UUID) -> bool:
        """End a run whose flow run somebody cancelled in Prefect while another worker than ours carried it out."""
        reason = await self._engine.cancelled_because(flow_run_id)
        if reason is None:
            return False
        async with self._runtime.database.transaction() as session:
            await request_cancel(session, run.run_id, by=BY_PREFECT, reason=reason)
        await self._settle(run)
        return True

    def _forget(self, run: RunRef) -> None:
        if self._runs.get(run.event_id) == run.run_id:
            del self._runs[run.event_id]
        if self._runtime.leases.holds(run.event_id, epoch=run.epoch):
            settling = self._loop.create_task(self._settle(run), name=f"settle {run.name}")
            self._settling.add(settling)
            settling.add_done_callback(self._settling.discard)

    async def _settle(self, run: RunRef) -> None:
        """Let go of an event whose flow ended before it came to handling it, or could not write down how it ended."""
        while self._runtime.leases.holds(run.event_id, epoch=run.epoch):
            try:
                await end_or_hand_back(self._runtime, run)
                self._runtime.leases.release(run.event_id)
            except SQLAlchemyError as error:
                logger.warning("cannot let go of %s, will try again: %s", run.name, error)
                await asyncio.sleep(_PAUSE_SECONDS)

    def _stop(self, event_id: UUID) -> None:
        run_id = self._runs.get(event_id)
        if run_id is None:
            return
        if together.cancel(run_id) or self._engine.abandon(run_id, message=_TAKEN_OVER):
            logger.warning("run %s was taken over by another worker, and is stopped here", run_id)
