"""What holds the system together in one process: database, events, errors, performance."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import Database, migrate, utc_now
from contexten_core.db.strays import Strays, terminate
from contexten_core.errors import ContextenError, InvalidInputError, is_transient
from contexten_core.errors.breaker import BREAKERS, BreakerState
from contexten_core.errors.handler import ErrorHandler
from contexten_core.events.emit import PERFORMANCE_ALERT, emit
from contexten_core.events.functions import FunctionRunner, Returned, queue
from contexten_core.events.handlers import Handler, HandlerRegistry, Payload
from contexten_core.events.inputs import EventLog
from contexten_core.events.intake import Intake
from contexten_core.events.log import log_event
from contexten_core.events.models import EventHandlerModel, EventModel, EventProvider, EventStatus
from contexten_core.inputs import checked
from contexten_core.operations import Operations
from contexten_core.performance.monitor import PerformanceMonitor
from contexten_core.projects.change import create_project
from contexten_core.projects.inputs import ProjectCreate
from contexten_core.projects.models import ProjectModel
from contexten_core.settings import Settings, get_settings
from contexten_core.tasks.change import create_task, update_task
from contexten_core.tasks.inputs import TaskCreate, TaskUpdate
from contexten_core.tasks.models import TaskModel

logger = logging.getLogger(__name__)
_DRAIN_SECONDS = 3.0
Held = list[tuple[EventModel, list[EventHandlerModel]]]


class SystemOrchestrator:
    """Tasks, projects and events as calls, with everything that depends on them: events emitted, functions called.

    The first call initializes it, in the way that `start` says when an application owns it.

    Attributes:
        settings: read when the orchestrator is built.
        database: open from `initialize()` to `shutdown()`.
        error_handler: the process's one.
        performance_monitor: the process's one, or None when monitoring is off.
        functions: what is registered for events, by this class and by the providers' decorators.
        intake: where deliveries go; takes them from `initialize()` to `shutdown()`.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        enable_monitoring: bool = True,
        start: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.settings = settings if settings is not None else get_settings()
        self.database = Database()
        self.functions = HandlerRegistry()
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.error_handler = ErrorHandler(self.database, settings=self.settings)
        self.performance_monitor: PerformanceMonitor | None = None
        if enable_monitoring and self.settings.enable_performance_monitoring:
            self.performance_monitor = PerformanceMonitor(
                database=self.database, settings=self.settings, source=self.owner, on_alert=self._alert
            )
        self.intake = Intake(self.database, settings=self.settings, handlers=self.functions)
        self.runner = FunctionRunner(self.database, self.functions, self.error_handler, owner=self.owner)
        self._start = start or self.initialize
        self._components: dict[str, Any] = {}
        self._registered: dict[str, list[str]] = {}
        self._operations = self._limits()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._polling: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._strays = Strays()
        self._abandoned: list[int] = []
        self._starting: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    async def initialize(self) -> None:
        """Migrate and open the database, take the first measurements, and begin to call queued functions.

        Safe to call again, in several processes at once, and in another event loop than before.

        Raises:
            ConfigurationError: no database is configured.
            sqlalchemy.exc.SQLAlchemyError: it does not answer.
        """
        loop = asyncio.get_running_loop()
        async with self._starting.setdefault(loop, asyncio.Lock()):
            if self._loop is not loop:
                await self._initialize(loop)

    async def _initialize(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            await self._leave_loop()
        await asyncio.to_thread(migrate.upgrade, self.settings.db)
        self.database.open(self.settings.db)
        self._strays.watch(self.database.engine)
        try:
            await self.database.ping()
            if self._abandoned:
                async with self.database.transaction() as session:
                    await terminate(session, self._abandoned)
                self._abandoned = []
            await self.intake.start()
            if self.performance_monitor is not None:
                await self.performance_monitor.initialize()
        except BaseException:
            await self.intake.close()
            await self.database.close()
            raise
        self._operations = self._limits()
        self._stop = asyncio.Event()
        self._polling = asyncio.create_task(self.runner.poll(stop=self._stop), name="functions")
        self._loop = loop

    async def shutdown(self) -> None:
        """Let the functions that are being called end, store the last measurements, close the database.

        A function that takes too long is called again later, by whoever serves then. Safe to call again.
        """
        if self._loop is None:
            return
        if self._loop is not asyncio.get_running_loop():
            await self._leave_loop()
            return
        self._loop = None
        await self.intake.close()
        polling, self._polling = self._polling, None
        if polling is not None:
            self._stop.set()
            await asyncio.wait([polling], timeout=_DRAIN_SECONDS)
            polling.cancel()
            await asyncio.wait([polling])
        if self.performance_monitor is not None:
            await self.performance_monitor.shutdown()
        await self.database.close()

    async def _leave_loop(self) -> None:
        """Let go of another event loop: it is blocked or closed, so nothing in it may be waited for."""
        left, self._loop = self._loop, None
        polling, self._polling = self._polling, None
        if polling is not None and not polling.get_loop().is_closed():
            polling.get_loop().call_soon_threadsafe(polling.cancel)
        self.intake.abandon()
        is_closed = left is None or left.is_closed()
        self._abandoned += await asyncio.to_thread(self._strays.close, loop_is_closed=is_closed)
        await self.database.close()

    def is_initialized(self) -> bool:
        return self._loop is not None

    def register_component(self, name: str, component: Any) -> None:
        """Make something known under a name; the last one of a name counts."""
        self._components[name] = component

    def get_component(self, name: str) -> Any | None:
        return self._components.get(name)

    def register_event_handler(self, event_type: str, handler: Callable[..., Any]) -> None:
        """Have `handler(data)` called for each event of that type that this system emits.

        Sync handlers run in a thread. One that raises is recorded, called again a little later, up to three times, and
        shown with the event; the others are called all the same.
        """
        code = getattr(handler, "__qualname__", type(handler).__qualname__)
        name = self.functions.free_name(f"{event_type}:{handler.__module__}.{code}")

        def matches(found: str, payload: Payload) -> bool:  # noqa: ARG001 - the shape of every handler
            return found == event_type

        self.functions.add(Handler(name, EventProvider.SYSTEM, matches, handler))
        self._registered.setdefault(event_type, []).append(name)

    def unregister_event_handlers(self, event_type: str) -> None:
        """Call none of the handlers that were registered for that type any more."""
        for name in self._registered.pop(event_type, []):
            self.functions.remove(name)

    async def emit_event(self, event_type: str, data: Mapping[str, Any] | None = None) -> None:
        """Store an event of our own, and return when every function registered for it here has been called."""
        payload = {} if data is None else dict(data) if isinstance(data, Mapping) else data
        given = checked(EventLog, {"event_type": event_type, "payload": payload, "provider": "system"})
        await self._ready()
        async with self.database.transaction() as session:
            event = await emit(session, given.event_type, given.payload, held_by=self.owner)
            held = self._hold(session, [event])
        await self._call(held)

    @asynccontextmanager
    async def get_db_session(self) -> AsyncIterator[AsyncSession]:
        """Open a session that commits when the block ends and rolls back when it raises."""
        await self._ready()
        async with self.database.transaction() as session:
            yield session

    async def create_task(self, data: Mapping[str, Any]) -> TaskModel:
        """Store a task and emit `task_created`.

        Raises:
            InvalidInputError: a field is unknown, missing or wrong; names it.
        """
        given = checked(TaskCreate, data)
        await self._ready()
        async with self.database.transaction() as session:
            task, events = await create_task(session, given, held_by=self.owner)
            held = self._hold(session, events)
        await self._call(held)
        return task

    async def update_task(self, task_id: str | UUID, updates: Mapping[str, Any]) -> TaskModel | None:
        """Change a task and emit `task_updated`, and `task_completed` or `task_failed` when that is what it became.

        Returns None when there is no such task.

        Raises:
            InvalidInputError: an id that is no UUID, or a field that is unknown or wrong; names it.
            TransitionError: the task cannot go to that status from where it is.
            DependencyError: it has to wait for another.
        """
        wanted, given = _id("task_id", task_id), checked(TaskUpdate, updates)
        await self._ready()
        async with self.database.transaction() as session:
            updated = await update_task(session, wanted, given, held_by=self.owner)
            if updated is None:
                return None
            task, events = updated
            held = self._hold(session, events)
        await self._call(held)
        return task

    async def create_project(self, data: Mapping[str, Any]) -> ProjectModel:
        """Store a project and emit `project_created`.

        Raises:
            InvalidInputError: a field is unknown, missing or wrong; names it.
            ConflictError: its slug is taken.
        """
        given = checked(ProjectCreate, data)
        await self._ready()
        async with self.database.transaction() as session:
            project, event = await create_project(session, given, held_by=self.owner)
            held = self._hold(session, [event])
        await self._call(held)
        return project

    async def log_event(self, data: Mapping[str, Any]) -> EventModel:
        """Store an event. One that is pending is handled like a delivery, and the functions for it are called.

        Raises:
            InvalidInputError: a field is unknown, missing or wrong; names it.
        """
        given = checked(EventLog, data)
        await self._ready()
        async with self.database.transaction() as session:
            event = await log_event(session, given)
            if event.status is EventStatus.PENDING and event.provider is not EventProvider.SYSTEM:
                handlers = self.functions.matching(event.provider, event.event_type, event.payload)
                queue(session, event_id=event.id, handlers=handlers)
        return event

    async def get_system_health(self) -> dict[str, Any]:
        """Say how the system is: `healthy`, or `degraded` with the part that is not."""
        components = {"database": await self._database_health()}
        if self.is_initialized():
            alive = self._polling is not None and not self._polling.done()
            components["event_handlers"] = "healthy" if alive else "unhealthy: stopped"
        for dependency in BREAKERS.statuses():
            if dependency.state is not BreakerState.CLOSED:
                components[dependency.kind] = f"unhealthy: left alone for another {dependency.seconds:g} s"
        monitor = self.performance_monitor
        healthy = all(state == "healthy" for state in components.values())
        return {
            "status": "healthy" if healthy else "degraded",
            "timestamp": utc_now().isoformat(),
            "components": components,
            "performance": {"status": "disabled"} if monitor is None else await self._metrics(monitor),
        }

    async def process_with_monitoring(
        self, operation_name: str, operation: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Run an operation within the limits of this process, measured, and with its errors handled.

        At most `max_concurrent_operations` run at once, each for at most `response_timeout_seconds`. An error that may
        pass is given to the error handler's recovery, which tries the operation again; its result is returned when that
        helps, and otherwise the error is raised.
        """

        async def attempt() -> Any:
            return await self._operations.run(operation_name, operation, *args, **kwargs)

        monitor = self.performance_monitor
        with nullcontext() if monitor is None else monitor.start_operation(operation_name):
            try:
                return await attempt()
            except Exception as error:
                context = {"operation_name": operation_name, "operation": attempt}
                handled = await self.error_handler.handle_error(error, context, attempt_recovery=is_transient(error))
                if not handled["recovery_successful"]:
                    raise
                return handled["recovery_details"]["result"]

    async def call_held(self, event: EventModel, rows: Sequence[EventHandlerModel]) -> list[Returned]:
        """Make the calls that `runner.hold` queued for an event, after the commit."""
        return await self.runner.call(event, rows)

    async def _ready(self) -> None:
        """Let the first call of somebody who has not called `initialize()` do it."""
        if self._loop is not asyncio.get_running_loop():
            await self._start()

    def _hold(self, session: AsyncSession, events: Sequence[EventModel]) -> Held:
        return [(event, self.runner.hold(session, event)) for event in events]

    async def _call(self, held: Held) -> None:
        for event, rows in held:
            await self.runner.call(event, rows)

    async def _alert(self, alert: dict[str, Any]) -> None:
        # The monitor may still have something to tell while all this is being closed.
        if self.is_initialized():
            await self.emit_event(PERFORMANCE_ALERT, alert)

    async def _database_health(self) -> str:
        if not self.database.is_open:
            return "unhealthy: not open"
        try:
            if self.is_initialized():
                # Perhaps in an event loop that is closed by now, whose connections nobody can use.
                await self._ready()
            await self.database.ping()
        except (SQLAlchemyError, ContextenError) as error:
            return f"unhealthy: {type(error).__name__}"
        return "healthy"

    async def _metrics(self, monitor: PerformanceMonitor) -> dict[str, Any]:
        try:
            return await monitor.get_current_metrics()
        except SQLAlchemyError as error:
            logger.warning("the metrics of operations cannot be read: %s", error)
            return {"status": "no_data"}

    def _limits(self) -> Operations:
        return Operations(most=self.settings.max_concurrent_operations, seconds=self.settings.response_timeout_seconds)


def _id(field: str, value: str | UUID) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise InvalidInputError(f"{field}: not a UUID", fields={field: "not a UUID"}) from None
