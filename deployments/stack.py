"""The stack: PostgreSQL, the Prefect server, the web process and the worker process, started and kept running."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGINT

from pydantic import SecretStr

from contexten_core.db import migrate, utc_now
from contexten_core.execution.trees import remove_tree
from contexten_core.settings import DatabaseConfig, DatabaseKind, Settings, as_environment
from deployments.child import Child
from deployments.embedded_postgres import EmbeddedPostgres
from deployments.home import Home
from deployments.listening import LISTEN_FD_VARIABLE, listen
from deployments.ports import Ports
from deployments.prefect_server import USUAL_PORT, api_url, client_environment, prefect_server, ui_url
from deployments.process_table import ProcessId
from deployments.state import RunningChild, StackState
from deployments.succession import WORKER_NAME_VARIABLE, new_worker_name
from deployments.supervisor import Supervisor
from deployments.takeover import end_orphans

logger = logging.getLogger(__name__)

OUR_DATABASE = "contexten"
PREFECT_DATABASE = "prefect"
WEB = "web"
WORKER = "worker"
WEBHOOK_SECRET = "github-webhook"  # noqa: S105 - the name of the file that holds it
_START_SECONDS = 120.0
_WEB_PATIENCE = 8.0
_HAND_BACK_PATIENCE = 6.0
_OTHERS_STOP_WITHIN = 15.0
_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack: its supervisor, and settings that lead to its parts."""

    settings: Settings
    supervisor: Supervisor
    record: "StateRecord"
    urls: dict[str, str]
    ports: Ports
    replace_web: Callable[[], Awaitable[None]]

    def announce(self, name: str, url: str) -> None:
        """Let others find one more part under its name."""
        self.urls[name] = url
        self.record.set_urls(self.urls)


@asynccontextmanager
async def running_stack(settings: Settings, *, say: Say, hurry: asyncio.Event | None = None) -> AsyncIterator[Stack]:
    """Start everything that the settings do not name as being elsewhere; end it all when the block ends.

    Args:
        say: told, in one line each, what is being done.
        hurry: set before or while it ends, what could still be finished is not waited for.

    Raises:
        StackError: another stack has this home, or a part does not start.
    """
    async with opened_stack(settings, say=say, hurry=hurry) as builder:
        await builder.start_database()
        yield await builder.start_services(WEB, WORKER)


@asynccontextmanager
async def opened_stack(
    settings: Settings, *, say: Say, hurry: asyncio.Event | None = None
) -> AsyncIterator["StackBuilder"]:
    """Take this home for a stack whose parts the caller starts; end all that was started when the block ends.

    Raises:
        StackError: another stack has this home.
    """
    home = Home(settings.home.absolute())
    home.create()
    with home.lock():
        for orphan in await end_orphans(home):
            say(f"Ended {orphan.name} (pid {orphan.process.pid}), left over from a stack that was killed")
        for leftover in home.checkouts.iterdir():
            await asyncio.to_thread(remove_tree, leftover)
        state = StackState(supervisor=ProcessId.of_started(os.getpid()), started_at=utc_now().isoformat(), urls={})
        record = StateRecord(home, state)
        stop_within = settings.drain_seconds + _OTHERS_STOP_WITHIN
        supervisor = Supervisor(on_change=record.set_children, stop_within=stop_within, hurry=hurry)
        builder = StackBuilder(home, settings.model_copy(deep=True), record, supervisor, say)
        try:
            async with supervisor:
                try:
                    yield builder
                finally:
                    builder.stop_listening()
        finally:
            builder.close()
            # However the block was left: what cannot be ended stays known to the next stack.
            if not supervisor.running:
                home.clear_state()


class StateRecord:
    """Keeps the state file equal to what runs."""

    def __init__(self, home: Home, state: StackState) -> None:
        self._home = home
        self._state = state
        home.write_state(state)

    def set_children(self, children: tuple[RunningChild, ...]) -> None:
        self._change(replace(self._state, children=children))

    def set_addresses(self, *, urls: dict[str, str], database: str | None) -> None:
        self._change(replace(self._state, urls=urls, database=database))

    def set_urls(self, urls: dict[str, str]) -> None:
        self._change(replace(self._state, urls=dict(urls)))

    def _change(self, state: StackState) -> None:
        self._state = state
        self._home.write_state(state)


class StackBuilder:
    """Brings the parts up in the order that they need each other.

    Attributes:
        settings: lead to the parts, as far as they have been started.
        supervisor: keeps them running.
    """

    def __init__(self, home: Home, settings: Settings, record: StateRecord, supervisor: Supervisor, say: Say) -> None:
        self.settings = settings
        self.supervisor = supervisor
        self._home = home
        self._record = record
        self._say = say
        self._prefect_dsn: str | None = None
        self._cwd = Path.cwd()
        self._ports = Ports()
        self._postgres = EmbeddedPostgres(home, binaries=settings.postgres_bin)
        self._listener: socket.socket | None = None
        self._worker_name = new_worker_name()

    async def replace_web(self) -> None:
        """Put a new web process in the place of each, with nobody refused meanwhile."""
        await self.supervisor.replace(*self._names(WEB))

    def stop_listening(self) -> None:
        """Leave the socket to the web processes, which close it when they have answered."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def close(self) -> None:
        self.stop_listening()
        self._ports.close()
        self._postgres.close()

    async def start_services(self, *roles: str) -> Stack:
        """Start Prefect's server, unless it is elsewhere, and processes of ours in these roles.

        Without `web` among them, the caller listens already where the settings say.
        """
        settings, supervisor = self.settings, self.supervisor
        if WEB in roles:
            settings.api_port = self._ports.take(settings.api_port, settings.api_host)
            self._listener = listen(settings.api_host, settings.api_port)
        base = _base_url(settings)
        settings.public_url = settings.public_url or base
        children = []
        if settings.prefect_api_url is None:
            port = self._ports.take(USUAL_PORT)
            settings.prefect_api_url = api_url(port)
            children.append(
                prefect_server(
                    self._home, port=port, database_dsn=self._prefect_dsn, environment=os.environ, cwd=self._cwd
                )
            )
        prefect_ui = ui_url(settings.prefect_api_url)
        urls = {"web": base, "prefect": prefect_ui, "prefect_api": settings.prefect_api_url}
        await asyncio.to_thread(migrate.upgrade, settings.db)
        parts = [*(child.name for child in children), *roles]
        self._say(f"Starting {', '.join(parts)}")
        # Together, but in two groups: a worker that finishes its runs needs Prefect to the end.
        await asyncio.gather(supervisor.start(*children), supervisor.start(*self._roles(roles)))
        self._record.set_addresses(urls=urls, database=_without_password(settings.db))
        return Stack(settings, supervisor, self._record, urls, self._ports, self.replace_web)

    async def start_database(self) -> None:
        """Start PostgreSQL where we or Prefect need it."""
        settings, supervisor = self.settings, self.supervisor
        if not settings.github_webhook_secrets:
            settings.github_webhook_secrets = (SecretStr(self._home.secret(WEBHOOK_SECRET)),)
        ours = settings.db.kind is DatabaseKind.EMBEDDED
        for_prefect = settings.prefect_api_url is None and settings.db.kind is not DatabaseKind.SQLITE
        if not ours and not for_prefect:
            return
        self._say("Starting PostgreSQL")
        postgres = self._postgres
        await postgres.prepare()
        await supervisor.start(postgres.child())
        await postgres.create_databases(OUR_DATABASE, PREFECT_DATABASE)
        if ours:
            settings.db.url = SecretStr(postgres.dsn(OUR_DATABASE))
            # An application of this home can use it already, whether or not the rest follows.
            self._record.set_addresses(urls={}, database=_without_password(settings.db))
        self._prefect_dsn = postgres.dsn(PREFECT_DATABASE) if for_prefect else None

    def _roles(self, roles: Sequence[str]) -> list[Child]:
        return [self._role(role, name) for role in roles for name in self._names(role)]

    def _names(self, role: str) -> list[str]:
        further = range(2, self.settings.api_workers + 1) if role == WEB else ()
        return [role, *(f"{role}-{number}" for number in further)]

    def _role(self, role: str, name: str) -> Child:
        environment = role_environment(self.settings, self._home, os.environ)
        inherited: tuple[int, ...] = ()
        patience = _WEB_PATIENCE
        if role == WORKER:
            environment[WORKER_NAME_VARIABLE] = self._worker_name
            patience = self.settings.drain_seconds + _HAND_BACK_PATIENCE
        elif self._listener is not None:
            inherited = (self._listener.fileno(),)
            environment[LISTEN_FD_VARIABLE] = str(self._listener.fileno())
        return Child(
            name=name,
            argv=(sys.executable, "-m", "contexten", "serve", "--role", role),
            env=environment,
            cwd=self._cwd,
            log=self._home.log(name),
            start_timeout=_START_SECONDS,
            patience=patience,
            hurry_signals=(SIGINT,),
            inherited=inherited,
        )


def role_environment(settings: Settings, home: Home, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that makes a process of ours part of this stack."""
    return {**base, **as_environment(settings), "CONTEXTEN_HOME": str(home.root), **client_environment(home)}


def _without_password(database: DatabaseConfig) -> str:
    return database.address.set(password=None).render_as_string()


def _base_url(settings: Settings) -> str:
    host = "localhost" if settings.api_host in _ANYWHERE else settings.api_host
    return f"http://{host}:{settings.api_port}"
