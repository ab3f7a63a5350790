"""The in-process engine: executes deployment runs in this worker's own event loop instead of a process for each."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.exceptions import Abort, ObjectNotFound, Pause, PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelled, Crashed, Pending

from contexten_core.faults import outside
from deployments.catalogue import WORK_POOL, Workflow
from deployments.in_process import InProcessRun

logger = logging.getLogger(__name__)

HANDED_BACK = "handed back: the worker is stopping"
UNREACHABLE = (httpx.HTTPError, PrefectHTTPStatusError)
"""What Prefect's client raises when the server does not answer as it should."""

_ANSWER_SECONDS = 5.0
_LOOK_AHEAD = timedelta(seconds=1)
_HEARTBEAT_SECONDS = 30.0
# People and schedules are served even when every place is taken by events.
_RESERVED = 8
# A flow that a cancellation did not end is cancelled once more after this.
_STUBBORN_SECONDS = 10.0
_HAND_BACK_SECONDS = 4.0
_SHORTEST_SLEEP = 0.1


@contextmanager
def asked_once() -> Iterator[None]:
    """Have Prefect's client try nothing again by itself, in this block and in tasks that are begun in it.

    It waits up to half a minute between tries, so that work would stand still for long after Prefect is back. For those
    who ask again anyway; flow runs do not, and keep the client's patience.
    """
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        yield


@dataclass(slots=True, eq=False)
class Execution:
    """One flow run that this engine executes, or holds while it is suspended.

    Attributes:
        key: the id of the run or event that it was started for.
        ended: called when it is over.
    """

    flow_run: FlowRun
    key: UUID | None
    ended: Callable[[], None]
    run: InProcessRun
    task: asyncio.Task[None] | None = None
    cancelled_at: float | None = None
    is_suspended: bool = False

    def is_for(self, key: UUID) -> bool:
        return key in (self.key, self.flow_run.id)


class Engine:
    """Runs flow runs of known deployments, at most `limit` at once.

    Attributes:
        unsettled: flow runs whose end Prefect may not know yet, with the state they should have where that is known.
    """

    def __init__(self, client: PrefectClient, workflows: dict[UUID, Workflow], *, limit: int, name: str) -> None:
        self.client = client
        self.workflows = workflows
        self.name = name
        self.unsettled: dict[UUID, State[Any] | None] = {}
        self._limit = limit
        self._running: dict[UUID, Execution] = {}
        self._suspended: dict[UUID, Execution] = {}
        self._paused: frozenset[UUID] = frozenset()
        self._is_stopping = False
        self._context = copy_context()

    @property
    def free(self) -> int:
        """How many more runs may be started now."""
        return 0 if self._is_stopping else max(self._limit - len(self._running), 0)

    @property
    def running(self) -> Iterator[Execution]:
        return iter(tuple(self._running.values()))

    def is_running(self, workflow: Workflow) -> bool:
        """Tell whether a flow run of this workflow is executed here."""
        deployment_id = self.deployment_id(workflow)
        return any(execution.flow_run.deployment_id == deployment_id for execution in self._running.values())

    @property
    def suspended(self) -> Iterator[Execution]:
        return iter(tuple(self._suspended.values()))

    def deployment_id(self, workflow: Workflow) -> UUID:
        return next(key for key, value in self.workflows.items() if value is workflow)

    def is_paused(self, workflow: Workflow) -> bool:
        """Tell whether somebody has paused the workflow's deployment, or our work pool, in Prefect."""
        return self.deployment_id(workflow) in self._paused

    def has(self, flow_run_id: UUID) -> bool:
        """Tell whether a flow run is executed or held here."""
        return flow_run_id in self._running or flow_run_id in self._suspended

    def start(self, flow_run: FlowRun, *, key: UUID | None = None, ended: Callable[[], None] = lambda: None) -> None:
        """Execute a flow run in the background, and call `ended` afterwards, however it went.

        One that this engine already executes is left alone. One that is suspended here goes on, and keeps its `ended`
        for the end; it is the same while it is suspended.

        Args:
            key: what `cancel` is to find it by: the id of our run, or of its event.
        """
        if flow_run.id in self._running or flow_run.deployment_id not in self.workflows:
            return
        run = InProcessRun(
            flow=self.workflows[flow_run.deployment_id].load(),
            flow_run=flow_run,
            parameters=dict(flow_run.parameters),
            worker=self.name,
        )
        held = self._suspended.pop(flow_run.id, None)
        if held is not None:
            key, ended = held.key, held.ended
        execution = Execution(flow_run, key, ended, run)
        # Not the caller's: how often Prefect is asked differs, see `asked_once`.
        context = self._context.copy()
        execution.task = asyncio.create_task(
            self._execute(execution), name=f"flow-run {flow_run.name}", context=context
        )
        execution.task.add_done_callback(lambda task: self._forget(execution, task))
        self._running[flow_run.id] = execution

    def cancel(self, key: UUID, *, message: str) -> bool:
        """Cancel a flow run that is executed here: its flow clears up, its commands are killed, Prefect shows why.

        Args:
            key: what it was started with, or its own id.
            message: what Prefect is to say with its state Cancelled.

        Returns:
            False when it is not executed here. It may go on for a moment after this.
        """
        return self._end(key, Cancelled(message=message))

    def abandon(self, key: UUID, *, message: str) -> bool:
        """End a flow run whose work another worker continues; as `cancel`, but Prefect shows it as crashed."""
        return self._end(key, Crashed(message=message))

    def suspend(self, flow_run_id: UUID, state: State[Any]) -> None:
        """Have a flow run that is executed here stop after its present step, until it is resumed."""
        execution = self._running.get(flow_run_id)
        if execution is not None:
            execution.run.suspend(state)

    def release(self, flow_run_id: UUID) -> None:
        """Hold a suspended flow run no longer: it is over."""
        execution = self._suspended.pop(flow_run_id, None)
        if execution is not None:
            execution.ended()

    async def give_up(self, flow_run_id: UUID) -> None:
        """Have Prefect show a flow run as crashed whose worker is gone; one that has ended is left as it is."""
        await self.settle(flow_run_id, Crashed(message="Its worker went away; another flow run continues the work."))

    async def settle(self, flow_run_id: UUID, state: State[Any]) -> None:
        """Give a flow run its last state, unless it has one. Prefect is asked again later when it does not answer."""
        try:
            flow_run = await self.client.read_flow_run(flow_run_id)
            if flow_run.state is None or not flow_run.state.is_final():
                async with outside("Prefect"):
                    await self.client.set_flow_run_state(flow_run_id, state, force=True)
        except ObjectNotFound:
            logger.info("Prefect no longer knows the flow run %s", flow_run_id)
        except UNREACHABLE as error:
            logger.warning("flow run %s could not be marked as %s: %s", flow_run_id, state.name, error)
            self.unsettled[flow_run_id] = state
            return
        self.unsettled.pop(flow_run_id, None)

    async def is_answered(self) -> bool:
        """Tell whether Prefect's server answers, within five seconds."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self.client.api_healthcheck() is None
        except TimeoutError:
            return False

    async def create(self, workflow: Workflow, **described: Any) -> FlowRun:
        """Have Prefect make a flow run of a workflow, pending, for this engine to start.

        Args:
            described: as for `create_flow_run_from_deployment`; the same `idempotency_key` gets the same flow run.

        Raises:
            httpx.HTTPError, PrefectHTTPStatusError: Prefect does not answer.
        """

        async def make() -> FlowRun:
            return await self.client.create_flow_run_from_deployment(
                self.deployment_id(workflow), state=Pending(), **described
            )

        async with outside("Prefect"):
            try:
                return await make()
            except (httpx.NetworkError, httpx.ProtocolError):
                # A connection that was idle for too long, perhaps.
                return await make()

    async def cancelled_because(self, flow_run_id: UUID) -> str | None:
        """Return why somebody cancelled a flow run in Prefect; None when nobody did, or Prefect has forgotten it."""
        try:
            state = (await self.client.read_flow_run(flow_run_id)).state
        except ObjectNotFound:
            return None
        is_cancelled = state is not None and state.type in (StateType.CANCELLING, StateType.CANCELLED)
        return (state.message or "cancelled in Prefect") if is_cancelled and state is not None else None

    async def poll_scheduled(self, *, seconds: float) -> None:
        """Pick up, for ever, the runs that Prefect's schedules and UI have put into our work pool."""
        beat_at, is_away = 0.0, False
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                await asyncio.gather(self._start_scheduled(), self.look_for_pauses())
                if began >= beat_at:
                    await self.client.send_worker_heartbeat(WORK_POOL, self.name, _HEARTBEAT_SECONDS)
                    beat_at = began + _HEARTBEAT_SECONDS
                if is_away:
                    logger.info("Prefect answers again")
                is_away = False
            except UNREACHABLE as error:
                logger.log(logging.DEBUG if is_away else logging.WARNING, "Prefect does not answer: %r", error)
                is_away = True
            await asyncio.sleep(max(began + seconds - clock(), _SHORTEST_SLEEP))

    async def look_for_pauses(self) -> None:
        """Ask Prefect which of our deployments may not start anything now."""
        known = list(self.workflows)
        pool = await self.client.read_work_pool(WORK_POOL)
        paused = frozenset(known)
        if not pool.is_paused:
            # Not `read_deployments`, which knows no such filter: there is nothing to read, most of the time.
            filters = {"id": {"any_": [str(deployment_id) for deployment_id in known]}, "paused": {"eq_": True}}
            asked = {"deployments": filters, "limit": len(known)}
            found = await self.client.request("POST", "/deployments/filter", json=asked)
            paused = frozenset(UUID(deployment["id"]) for deployment in found.json())
        for changed in paused ^ self._paused:
            did = "paused" if changed in paused else "resumed"
            logger.info("%s was %s in Prefect", self.workflows[changed].full_name, did)
        self._paused = paused

    async def drain(self, *, seconds: float, hurry: asyncio.Event) -> None:
        """Wait for the runs in progress, then hand back what is left: each lets go of its event as it ends.

        Args:
            seconds: how long to wait.
            hurry: ends the waiting once it is set.
        """
        self._is_stopping = True
        if self._running:
            hurried = asyncio.create_task(hurry.wait())
            ended = asyncio.create_task(self._end_of_all(), name="end of all runs")
            await asyncio.wait([hurried, ended], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
            ended.cancel()
        for execution in self.running:
            self._cancel(execution, Crashed(message=HANDED_BACK))
        with suppress(TimeoutError):
            async with asyncio.timeout(_HAND_BACK_SECONDS):
                await self._end_of_all()

    async def _end_of_all(self) -> None:
        while tasks := [execution.task for execution in self.running if execution.task is not None]:
            await asyncio.wait(tasks)
            # Each is forgotten by a callback that comes after this.
            await asyncio.sleep(0)

    async def _execute(self, execution: Execution) -> None:
        name = execution.flow_run.name
        try:
            state = await execution.run.run()
        except Pause as pause:
            logger.info("%s was suspended: %s", name, pause)
            execution.is_suspended = True
        except Abort as refusal:
            logger.info("%s was not run: %s", name, refusal)
        except UNREACHABLE as error:
            logger.warning("%s broke off, Prefect does not answer: %s", name, error)
        else:
            logger.info("%s: %s", name, state.name)

    def _forget(self, execution: Execution, task: asyncio.Task[None]) -> None:
        flow_run_id = execution.flow_run.id
        self._running.pop(flow_run_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s broke", execution.flow_run.name, exc_info=error)
        if execution.is_suspended and execution.cancelled_at is None:
            self._suspended[flow_run_id] = execution
            return
        last = execution.run.flow_run
        if last is None or last.state is None or not last.state.is_final():
            self.unsettled[flow_run_id] = execution.run.ends_as
        execution.ended()

    def _end(self, key: UUID, state: State[Any]) -> bool:
        found = [execution for execution in self.running if execution.is_for(key)]
        for execution in found:
            self._cancel(execution, state)
        return bool(found)

    def _cancel(self, execution: Execution, state: State[Any]) -> None:
        now = asyncio.get_running_loop().time()
        if execution.task is None or (
            execution.cancelled_at is not None and now - execution.cancelled_at < _STUBBORN_SECONDS
        ):
            return
        execution.cancelled_at = now
        execution.run.ends_as = execution.run.ends_as or state
        execution.task.cancel()

    async def _start_scheduled(self) -> None:
        spare = 0 if self._is_stopping else self._limit + _RESERVED - len(self._running)
        if spare <= 0:
            return
        waiting = await self.client.get_scheduled_flow_runs_for_work_pool(
            WORK_POOL, scheduled_before=datetime.now(UTC) + _LOOK_AHEAD
        )
        for response in waiting[:spare]:
            flow_run = response.flow_run
            if flow_run.id in self._running or flow_run.deployment_id not in self.workflows:
                continue
            if await self._take(flow_run):
                self.start(flow_run)

    async def _take(self, flow_run: FlowRun) -> bool:
        """Move a scheduled run to pending; only one worker succeeds."""
        try:
            async with outside("Prefect"):
                answer: OrchestrationResult[Any] = await self.client.set_flow_run_state(flow_run.id, Pending())
        except ObjectNotFound:
            return False
        if answer.status is not SetStateStatus.ACCEPT:
            return False
        flow_run.state = answer.state
        return True
