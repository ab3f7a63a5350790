"""Prefect's engine for one flow run, fitted to a process that executes a thousand of them in one event loop.

As it comes, it gives each flow run two threads and a websocket of its own, blocks the event loop until they are up and
again until they are gone, and takes SIGTERM over while any flow runs. Here one request every two seconds asks for all
runs what those asked for one, see `deployments.cancellations`, and the worker keeps its signals.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from anyio import CancelScope
from prefect import flow_engine
from prefect.client.schemas.objects import State
from prefect.flow_engine import AsyncFlowRunEngine
from prefect.states import Cancelled

from contexten_core.events.finish import LifecycleResult
from contexten_core.events.models import RunStatus
from contexten_core.faults import outside

_CANCELLED = (RunStatus.CANCELLED, RunStatus.SUPERSEDED)
_MESSAGE = "Running in worker "


@dataclass
class InProcessRun(AsyncFlowRunEngine[Any, Any]):
    """One flow run of an async flow.

    Attributes:
        worker: the name of this worker, which Prefect shows with the running state.
        ends_as: the state that the run is to have when it is cancelled; Prefect's own choice is Crashed.
    """

    worker: str = ""
    ends_as: State[Any] | None = None

    async def run(self) -> State[Any]:
        """Execute the flow, and return its last state.

        Raises:
            Pause: it was suspended from outside.
            Abort: Prefect does not want it to run.
        """
        async with self.start():
            while self.is_running():
                async with self.run_context():
                    _ = await self.call_flow_fn()
        return self.state

    def suspend(self, state: State[Any]) -> None:
        """Have the flow raise Pause when its present step has ended."""
        self._flow_run_suspension_request.mark_requested(state)

    @property
    def heartbeat_seconds(self) -> int | None:
        """Send no heartbeats: our own leases notice a dead worker sooner, and these take a thread for each run."""
        return None

    @contextmanager
    def setup_flow_run_suspension_request(self) -> Generator[Any, None, None]:
        request = self._get_flow_run_suspension_request()
        request.raise_if_requested()
        yield request

    async def set_state(self, state: State[Any], force: bool = False) -> State[Any]:
        if state.is_running() and not state.message:
            state.message = running_message(self.worker)
        async with outside("Prefect"):
            return await super().set_state(state, force=force)

    async def handle_success(self, result: Any) -> Any:
        """Show as cancelled what the flow itself found to be cancelled; everything else it returns is a success."""
        if isinstance(result, LifecycleResult) and result.status in _CANCELLED:
            await self.set_state(Cancelled(message=result.reason))
            self._return_value = result
            return result
        return await super().handle_success(result)

    async def handle_crash(self, exc: BaseException) -> None:
        if self.ends_as is None:
            await super().handle_crash(exc)
            return
        with CancelScope(shield=True):
            await self.set_state(self.ends_as, force=True)
        self._telemetry.record_exception(exc)
        self._telemetry.end_span_on_failure(self.ends_as.message)


def running_message(worker: str) -> str:
    return f"{_MESSAGE}{worker}"


def worker_of(state: State[Any] | None) -> str | None:
    """Return the name of the worker that a running state names, if one of ours made it."""
    message = (state.message or "") if state is not None else ""
    return message.removeprefix(_MESSAGE) if message.startswith(_MESSAGE) else None


@contextmanager
def signals_left_alone() -> Iterator[None]:
    """Keep Prefect from answering SIGTERM by an exception in the midst of the event loop: the worker drains instead."""
    name = "capture_sigterm"
    original = getattr(flow_engine, name)
    setattr(flow_engine, name, nullcontext)
    try:
        yield
    finally:
        setattr(flow_engine, name, original)
