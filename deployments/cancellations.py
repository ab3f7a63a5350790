"""Keeps this worker, our database and Prefect agreed on what still runs: cancellations, suspensions, and ends.

A run is cancelled in our database (by API, command line, a verb, or a newer push) or in Prefect (by its UI, command
line or API). Either way the flow is cancelled where it runs, which kills its commands, and both show the reason.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psutil
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Completed, Crashed, Failed
from sqlalchemy.exc import SQLAlchemyError

from contexten_core import together
from contexten_core.db import utc_now
from contexten_core.db.notify import CANCELS, Listener
from contexten_core.errors import ContextenError
from contexten_core.events.cancel import end_or_hand_back, request_cancel
from contexten_core.events.claim import begin_run
from contexten_core.events.models import RunStatus
from contexten_core.runtime import Runtime
from deployments import flow_run_store
from deployments.catalogue import LIFECYCLE, WORK_POOL
from deployments.engine import UNREACHABLE, Engine, Execution
from deployments.flow_run_store import CarriedRun
from deployments.in_process import worker_of

logger = logging.getLogger(__name__)

BY_PREFECT = "Prefect"

_LOOK_SECONDS = 1.0
_PAGE = 200
_MOST_PAGES = 5
_MOST_CANCELS = 500
# Between being created and showing what carries it out, a flow run is nobody's for a moment.
_YOUNG = timedelta(seconds=30)
_CONTINUED = "Its worker went away; another flow run continues the work."
_GONE = "Its worker went away."


class Cancellations:
    """Does for one worker what its engine cannot know by itself."""

    def __init__(self, runtime: Runtime, engine: Engine) -> None:
        self._runtime = runtime
        self._engine = engine

    async def watch_database(self) -> None:
        """Cancel here, for ever, what somebody wants cancelled; keep hold of what is suspended."""
        async with Listener(self._runtime.database, [CANCELS]) as listener:
            while True:
                try:
                    await self.cancel_requested()
                    await self._keep_suspended()
                except SQLAlchemyError as error:
                    logger.warning("cannot look for what is to be cancelled, will try again: %s", error)
                await listener.wait(CANCELS, seconds=_LOOK_SECONDS)

    async def watch_prefect(self, *, seconds: float) -> None:
        """Do here, for ever, what somebody asks for in Prefect; tell it of ends that it has not heard of."""
        put_right = is_away = False
        while True:
            try:
                if not put_right:
                    await self.put_right()
                    put_right = True
                await self.obey_prefect()
                await self._settle_ends()
                is_away = False
            except (*UNREACHABLE, SQLAlchemyError) as error:
                level = logging.DEBUG if is_away else logging.WARNING
                logger.log(level, "Prefect or the database does not answer, will ask again: %r", error)
                is_away = True
            await asyncio.sleep(seconds)

    async def cancel_requested(self) -> None:
        """Cancel the flow runs here whose runs are to be cancelled."""
        if not any(True for _ in self._engine.running):
            return
        async with self._runtime.database.reading() as session:
            wanted = await flow_run_store.to_be_cancelled(session, limit=_MOST_CANCELS)
        here = {execution.flow_run.id: execution for execution in self._engine.running}
        for run in wanted:
            execution = here.get(run.flow_run_id)
            if execution is None:
                continue
            if self._is_alone(execution, run):
                self._engine.cancel(run.flow_run_id, message=message_of(run))
            else:
                together.cancel(run.run_id)

    async def obey_prefect(self) -> None:
        """Cancel, suspend, resume and forget what somebody has changed in Prefect."""
        for flow_run in await self._read(StateType.CANCELLING, StateType.PAUSED):
            assert flow_run.state is not None
            if flow_run.state.is_paused():
                self._engine.suspend(flow_run.id, flow_run.state)
            else:
                await self._cancel(flow_run, flow_run.state)
        held = [execution.flow_run.id for execution in self._engine.suspended]
        for flow_run in await self._read_these(held):
            state = flow_run.state
            if state is not None and state.is_final():
                await self._end_suspended(flow_run, state)
            elif state is not None and state.is_running():
                self._engine.start(flow_run)

    async def put_right(self) -> None:
        """Have Prefect show the true state of flow runs that it believes to be running, a thousand at most."""
        flow_runs = await self._read(StateType.RUNNING)
        flow_runs = [flow_run for flow_run in flow_runs if not self._engine.has(flow_run.id)]
        carried, now = await self._carried([flow_run.id for flow_run in flow_runs])
        for flow_run in flow_runs:
            state = await self._true_state(flow_run, carried.get(flow_run.id, []), now)
            if state is not None:
                await self._engine.settle(flow_run.id, state)

    async def _settle_ends(self) -> None:
        ends = dict(self._engine.unsettled)
        unknown = [flow_run_id for flow_run_id, state in ends.items() if state is None]
        carried, now = await self._carried(unknown)
        for flow_run_id, state in ends.items():
            if self._engine.has(flow_run_id):
                self._engine.unsettled.pop(flow_run_id, None)
                continue
            runs = carried.get(flow_run_id, [])
            if state is None and any(run.is_live and run.is_held(now) for run in runs):
                continue
            await self._engine.settle(flow_run_id, state or end_of(runs) or Crashed(message=_CONTINUED))

    async def _cancel(self, flow_run: FlowRun, state: State[Any]) -> None:
        reason = state.message or "cancelled in Prefect"
        carried, now = await self._carried([flow_run.id])
        runs = carried.get(flow_run.id, [])
        async with self._runtime.database.transaction() as session:
            for run in runs:
                if run.is_live:
                    await request_cancel(session, run.run_id, by=BY_PREFECT, reason=reason)
        if self._engine.has(flow_run.id):
            self._engine.cancel(flow_run.id, message=reason)
            return
        if any(self._is_elsewhere(run, now) for run in runs) or await self._has_worker(flow_run):
            return
        await self._engine.settle(flow_run.id, end_of(runs) or Cancelled(message=reason))

    async def _keep_suspended(self) -> None:
        """Keep the leases of events whose flow runs are suspended; those that had ended by then are not."""
        held = [execution.flow_run.id for execution in self._engine.suspended]
        carried, _ = await self._carried(held)
        for flow_run_id in held:
            ours = [run for run in carried.get(flow_run_id, []) if run.lease_owner == self._runtime.leases.owner]
            live = [run for run in ours if run.is_live]
            for run in live:
                self._runtime.leases.hold(run.event_id, epoch=run.lease_epoch)
            if not live:
                self._engine.release(flow_run_id)
                if end := end_of(carried.get(flow_run_id, [])):
                    self._engine.unsettled[flow_run_id] = end

    async def _end_suspended(self, flow_run: FlowRun, state: State[Any]) -> None:
        reason = state.message or f"{state.name} in Prefect"
        carried, _ = await self._carried([flow_run.id])
        live = [run for run in carried.get(flow_run.id, []) if run.is_live]
        for run in live:
            async with self._runtime.database.transaction() as session:
                await request_cancel(session, run.run_id, by=BY_PREFECT, reason=reason)
            try:
                reference = await begin_run(self._runtime, event_id=run.event_id, flow_run_id=flow_run.id)
            except ContextenError as error:
                logger.info("%s is not ours to end: %s", flow_run.name, error)
            else:
                await end_or_hand_back(self._runtime, reference)
            self._runtime.leases.release(run.event_id)
        self._engine.release(flow_run.id)

    async def _true_state(self, flow_run: FlowRun, runs: Sequence[CarriedRun], now: datetime) -> State[Any] | None:
        """Return the state that a flow run should have; None when it may well be running."""
        if any(run.is_live for run in runs):
            # Whoever takes the work over says so in Prefect.
            return None
        if end := end_of(runs):
            return end
        began = flow_run.start_time
        if began is not None and now - began < _YOUNG:
            return None
        assert flow_run.deployment_id is not None
        if self._engine.workflows[flow_run.deployment_id] is LIFECYCLE:
            return Crashed(message=_CONTINUED)
        return None if await self._has_worker(flow_run) else Crashed(message=_GONE)

    async def _has_worker(self, flow_run: FlowRun) -> bool:
        """Tell whether the worker that a flow run names is there, or it names none and may be on its way."""
        name = worker_of(flow_run.state) or worker_of(await self._last_running(flow_run.id))
        if name is None or name == self._engine.name:
            return False
        host, _, pid = name.rpartition("-")
        if host == self._engine.name.rpartition("-")[0] and pid.isdigit():
            return psutil.pid_exists(int(pid))
        workers = await self._engine.client.read_workers_for_work_pool(WORK_POOL)
        return any(worker.name == name and worker.status is WorkerStatus.ONLINE for worker in workers)

    async def _last_running(self, flow_run_id: UUID) -> State[Any] | None:
        states = await self._engine.client.read_flow_run_states(flow_run_id)
        return next((state for state in reversed(states) if state.is_running()), None)

    def _is_elsewhere(self, run: CarriedRun, now: datetime) -> bool:
        return run.is_live and run.is_held(now) and run.lease_owner != self._runtime.leases.owner

    def _is_alone(self, execution: Execution, run: CarriedRun) -> bool:
        """Tell whether a flow run carries out this run alone, so that both may be cancelled together."""
        assert execution.flow_run.deployment_id is not None
        if execution.key is not None:
            return execution.key in (run.run_id, run.event_id)
        return self._engine.workflows[execution.flow_run.deployment_id] is LIFECYCLE

    async def _carried(self, flow_run_ids: Sequence[UUID]) -> tuple[dict[UUID, list[CarriedRun]], datetime]:
        if not flow_run_ids:
            return {}, utc_now()
        async with self._runtime.database.reading() as session:
            now = await self._runtime.database.now(session)
            return await flow_run_store.carried_by(session, flow_run_ids), now

    async def _read(self, *types: StateType) -> list[FlowRun]:
        wanted = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=list(self._engine.workflows)),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))),
        )
        return await self._pages(wanted)

    async def _read_these(self, flow_run_ids: Sequence[UUID]) -> list[FlowRun]:
        return await self._pages(FlowRunFilter(id=FlowRunFilterId(any_=list(flow_run_ids)))) if flow_run_ids else []

    async def _pages(self, wanted: FlowRunFilter) -> list[FlowRun]:
        found: list[FlowRun] = []
        for page in range(_MOST_PAGES):
            read = await self._engine.client.read_flow_runs(
                flow_run_filter=wanted, sort=FlowRunSort.START_TIME_DESC, limit=_PAGE, offset=page * _PAGE
            )
            found += read
            if len(read) < _PAGE:
                break
        return found


def message_of(run: CarriedRun) -> str:
    """Say in Prefect why a run is cancelled."""
    if run.superseded_by is not None:
        return run.reason or f"superseded by event {run.superseded_by}"
    return run.reason or "cancelled"


def end_of(runs: Sequence[CarriedRun]) -> State[Any] | None:
    """Return the state that says how these runs ended; None when one has not, or there is none."""
    if not runs or any(run.is_live for run in runs):
        return None
    first = runs[0]
    if len(runs) > 1 or first.status in (RunStatus.COMPLETED, RunStatus.IGNORED):
        return Completed(message=first.reason if len(runs) == 1 else None)
    if first.status in (RunStatus.CANCELLED, RunStatus.SUPERSEDED):
        return Cancelled(message=message_of(first))
    return Failed(message=first.reason)
