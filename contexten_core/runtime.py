"""What one process works with: its settings, its database, its git mirrors, and its name as a holder of leases."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contexten_core.db import Database
from contexten_core.db.joined import JoinedDatabase
from contexten_core.errors.handler import ErrorHandler
from contexten_core.events.leases import LeaseKeeper
from contexten_core.events.owners import new_owner
from contexten_core.execution.git import GitMirrors
from contexten_core.execution.seats import Seats
from contexten_core.performance.monitor import PerformanceMonitor
from contexten_core.prompts.catalogue import PromptCatalogue
from contexten_core.prompts.templates.render import Renderer
from contexten_core.security.encryption import Vault, open_vault
from contexten_core.security.log_redaction import redact_logs
from contexten_core.security.redaction import Redactor, redactor_of
from contexten_core.settings import Settings, get_settings


@dataclass(frozen=True, slots=True)
class Runtime:
    """Handed to every core call.

    Attributes:
        joined: the same database, for those who write much at once.
        seats: bounds how much is carried out at once.
        errors: where what goes wrong is counted.
        performance: where what each step takes is measured; None when monitoring is off.
        vault: decrypts the settings of projects that are kept encrypted.
        prompts: the prompts that events are answered with.
        renderer: renders prompts, in a process of its own.
        redactor: takes this process's secrets out of what is kept or leaves.
    """

    settings: Settings
    database: Database
    joined: JoinedDatabase
    errors: ErrorHandler
    performance: PerformanceMonitor | None
    vault: Vault
    mirrors: GitMirrors
    leases: LeaseKeeper
    seats: Seats
    prompts: PromptCatalogue
    renderer: Renderer
    redactor: Redactor


class _Current:
    runtime: Runtime | None = None


@asynccontextmanager
async def open_runtime(
    settings: Settings, *, component: str | None = None, name: str | None = None
) -> AsyncIterator[Runtime]:
    """Build this process's runtime, and close its connections and leases afterwards.

    Args:
        component: what errors are to say they happened in.
        name: what this process's predecessors were called too, all of which have ended.
    """
    database = Database(settings.db)
    owner = new_owner(name)
    leases = LeaseKeeper(database, owner=owner, settings=settings)
    monitored = settings.enable_performance_monitoring
    try:
        async with Renderer() as renderer:
            yield Runtime(
                settings=settings,
                database=database,
                joined=JoinedDatabase(database),
                errors=ErrorHandler(database, settings=settings, component=component),
                performance=PerformanceMonitor(database=database, settings=settings, source=owner)
                if monitored
                else None,
                vault=open_vault(settings),
                mirrors=GitMirrors(settings.mirrors),
                leases=leases,
                seats=Seats(
                    commands=settings.max_concurrent_commands, per_executor=settings.max_concurrent_per_executor
                ),
                prompts=PromptCatalogue(),
                renderer=renderer,
                redactor=redactor_of(settings),
            )
    finally:
        await leases.close()
        await database.close()


@asynccontextmanager
async def serving_runtime(settings: Settings, *, name: str | None = None) -> AsyncIterator[Runtime]:
    """Open a runtime that every flow of this process shares until the block ends; for its name see `open_runtime`."""
    async with open_runtime(settings, component="worker", name=name) as runtime:
        _Current.runtime = runtime
        if runtime.performance is not None:
            await runtime.performance.initialize()
        try:
            yield runtime
        finally:
            _Current.runtime = None
            if runtime.performance is not None:
                await runtime.performance.shutdown()


@asynccontextmanager
async def current_runtime() -> AsyncIterator[Runtime]:
    """Give a flow the runtime of its process, or one of its own where an ordinary Prefect worker runs it."""
    if _Current.runtime is not None:
        yield _Current.runtime
        return
    async with serving_runtime(get_settings()) as runtime:
        redact_logs(runtime.redactor)
        yield runtime
