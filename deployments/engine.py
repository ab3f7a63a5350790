"""The in-process engine: executes deployment runs in this worker's own event loop instead of a process for each."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.exceptions import Abort, ObjectNotFound, PrefectHTTPStatusError
from prefect.flow_engine import run_flow
from prefect.states import Crashed, Pending

from deployments.catalogue import WORK_POOL, Workflow

logger = logging.getLogger(__name__)

_LOOK_AHEAD = timedelta(seconds=1)
_HEARTBEAT_SECONDS = 30.0
UNREACHABLE = (httpx.HTTPError, PrefectHTTPStatusError)


class Engine:
    """Runs flow runs of known deployments, at most `limit` at once."""

    def __init__(self, client: PrefectClient, workflows: dict[UUID, Workflow], *, limit: int, name: str) -> None:
        self.client = client
        self.workflows = workflows
        self.name = name
        self._limit = limit
        self._running: dict[UUID, asyncio.Task[None]] = {}

    @property
    def free(self) -> int:
        """How many more runs may be started now."""
        return max(self._limit - len(self._running), 0)

    def deployment_id(self, workflow: Workflow) -> UUID:
        return next(key for key, value in self.workflows.items() if value is workflow)

    def start(self, flow_run: FlowRun, *, ended: Callable[[], None] = lambda: None) -> None:
        """Execute a flow run in the background, and call `ended` afterwards, however it went.

        A run that this engine already executes is left alone.
        """
        if flow_run.id in self._running or flow_run.deployment_id not in self.workflows:
            return
        task = asyncio.create_task(self._execute(flow_run), name=f"flow-run {flow_run.name}")
        self._running[flow_run.id] = task

        def forget(_: asyncio.Task[None]) -> None:
            self._running.pop(flow_run.id, None)
            ended()

        task.add_done_callback(forget)

    async def give_up(self, flow_run_id: UUID) -> None:
        """Have Prefect show a flow run as crashed whose worker is gone; one that has ended is left as it is."""
        try:
            flow_run = await self.client.read_flow_run(flow_run_id)
            if flow_run.state is None or not flow_run.state.is_final():
                state: State[Any] = Crashed(message="Its worker went away; another flow run continues the work.")
                await self.client.set_flow_run_state(flow_run_id, state, force=True)
        except ObjectNotFound:
            logger.info("Prefect no longer knows the flow run %s", flow_run_id)
        except UNREACHABLE as error:
            logger.warning("flow run %s could not be marked as crashed: %s", flow_run_id, error)

    async def _execute(self, flow_run: FlowRun) -> None:
        assert flow_run.deployment_id is not None
        flow = self.workflows[flow_run.deployment_id].load()
        try:
            running: Any = run_flow(flow, flow_run=flow_run, return_type="state")
            state: State[Any] = await running
        except Abort as refusal:
            logger.info("%s was not run: %s", flow_run.name, refusal)
        except UNREACHABLE as error:
            logger.warning("%s broke off, Prefect does not answer: %s", flow_run.name, error)
        else:
            logger.info("%s: %s", flow_run.name, state.name)

    async def poll_scheduled(self, *, seconds: float) -> None:
        """Pick up, for ever, the runs that Prefect's schedules and UI have put into our work pool."""
        beat_at = 0.0
        clock = asyncio.get_running_loop().time
        while True:
            try:
                if clock() >= beat_at:
                    await self.client.send_worker_heartbeat(WORK_POOL, self.name, _HEARTBEAT_SECONDS)
                    beat_at = clock() + _HEARTBEAT_SECONDS
                if self.free:
                    await self._start_scheduled()
            except UNREACHABLE as error:
                logger.warning("Prefect does not answer, will ask again: %s", error)
            await asyncio.sleep(seconds)

    async def _start_scheduled(self) -> None:
        waiting = await self.client.get_scheduled_flow_runs_for_work_pool(
            WORK_POOL, scheduled_before=datetime.now(UTC) + _LOOK_AHEAD
        )
        for response in waiting[: self.free]:
            flow_run = response.flow_run
            if flow_run.id in self._running or flow_run.deployment_id not in self.workflows:
                continue
            if await self._take(flow_run):
                self.start(flow_run)

    async def _take(self, flow_run: FlowRun) -> bool:
        """Move a scheduled run to pending; only one worker succeeds."""
        try:
            answer: OrchestrationResult[Any] = await self.client.set_flow_run_state(flow_run.id, Pending())
        except ObjectNotFound:
            return False
        if answer.status is not SetStateStatus.ACCEPT:
            return False
        flow_run.state = answer.state
        return True

    async def drain(self, *, seconds: float) -> None:
        """Wait for the runs in progress, then cancel what is left; each hands its event back as it ends."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=seconds)
        left = list(self._running.values())
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=seconds)
