"""The stack: PostgreSQL, the Prefect server, the web process and the worker process, started and kept running."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import make_url

from contexten_core.db import migrate, utc_now
from contexten_core.execution.trees import remove_tree
from contexten_core.settings import DatabaseKind, Settings
from deployments.child import Child
from deployments.embedded_postgres import EmbeddedPostgres
from deployments.home import Home
from deployments.ports import Ports
from deployments.prefect_server import USUAL_PORT, api_url, client_environment, prefect_server, ui_url
from deployments.process_table import ProcessId
from deployments.state import RunningChild, StackState
from deployments.supervisor import Supervisor
from deployments.takeover import end_orphans

logger = logging.getLogger(__name__)

OUR_DATABASE = "contexten"
PREFECT_DATABASE = "prefect"
WEBHOOK_SECRET = "github-webhook"  # noqa: S105 - the name of the file that holds it
_START_SECONDS = 120.0
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

    def announce(self, name: str, url: str) -> None:
        """Let others find one more part under its name."""
        self.urls[name] = url
        self.record.set_urls(self.urls)


@asynccontextmanager
async def running_stack(settings: Settings, *, say: Say) -> AsyncIterator[Stack]:
    """Start everything that the settings do not name as being elsewhere; end it all when the block ends.

    Args:
        say: told, in one line each, what is being done.

    Raises:
        StackError: another stack has this home, or a part does not start.
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
        builder = _Builder(home, settings.model_copy(deep=True), record, say)
        supervisor = Supervisor(on_change=record.set_children)
        try:
            async with supervisor:
                yield await builder.build(supervisor)
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


class _Builder:
    """Brings the parts up in the order that they need each other."""

    def __init__(self, home: Home, settings: Settings, record: StateRecord, say: Say) -> None:
        self._home = home
        self._settings = settings
        self._record = record
        self._say = say
        self._cwd = Path.cwd()
        self._ports = Ports()
        self._postgres = EmbeddedPostgres(home, binaries=settings.postgres_bin)

    def close(self) -> None:
        self._ports.close()
        self._postgres.close()

    async def build(self, supervisor: Supervisor) -> Stack:
        settings = self._settings
        if not settings.github_webhook_secrets:
            settings.github_webhook_secrets = (SecretStr(self._home.secret(WEBHOOK_SECRET)),)
        prefect_dsn = await self._start_database(supervisor)
        settings.api_port = self._ports.take(settings.api_port, settings.api_host)
        base = _base_url(settings)
        settings.public_url = settings.public_url or base
        children = []
        if settings.prefect_api_url is None:
            port = self._ports.take(USUAL_PORT)
            settings.prefect_api_url = api_url(port)
            children.append(
                prefect_server(self._home, port=port, database_dsn=prefect_dsn, environment=os.environ, cwd=self._cwd)
            )
        prefect_ui = ui_url(settings.prefect_api_url)
        urls = {"web": base, "prefect": prefect_ui, "prefect_api": settings.prefect_api_url}
        await asyncio.to_thread(migrate.upgrade, settings.db)
        self._say("Starting the Prefect server, the web process and the worker")
        await supervisor.start(*children, self._role("web"), self._role("worker"))
        self._record.set_addresses(urls=urls, database=settings.db.address.set(password=None).render_as_string())
        return Stack(settings, supervisor, self._record, urls, self._ports)

    async def _start_database(self, supervisor: Supervisor) -> str | None:
        """Start PostgreSQL where we or Prefect need it, and return the address of Prefect's database in it."""
        settings = self._settings
        ours = settings.db.kind is DatabaseKind.EMBEDDED
        for_prefect = settings.prefect_api_url is None and settings.db.kind is not DatabaseKind.SQLITE
        if not ours and not for_prefect:
            return None
        self._say("Starting PostgreSQL")
        postgres = self._postgres
        await postgres.prepare()
        await supervisor.start(postgres.child())
        await postgres.create_databases(OUR_DATABASE, PREFECT_DATABASE)
        if ours:
            settings.db.url = SecretStr(postgres.dsn(OUR_DATABASE))
        return postgres.dsn(PREFECT_DATABASE) if for_prefect else None

    def _role(self, role: str) -> Child:
        return Child(
            name=role,
            argv=(sys.executable, "-m", "contexten", "serve", "--role", role),
            env=role_environment(self._settings, self._home, os.environ),
            cwd=self._cwd,
            log=self._home.log(role),
            start_timeout=_START_SECONDS,
        )


def role_environment(settings: Settings, home: Home, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that makes a process of ours part of this stack."""
    environment = {
        **base,
        "CONTEXTEN_HOME": str(home.root),
        "API_HOST": settings.api_host,
        "API_PORT": str(settings.api_port),
        "PUBLIC_URL": settings.public_url or "",
        "GITHUB_WEBHOOK_SECRET": ",".join(secret.get_secret_value() for secret in settings.github_webhook_secrets),
        "PREFECT_API_URL": settings.prefect_api_url or "",
        **client_environment(home),
    }
    if settings.db.url is not None:
        environment["DATABASE_URL"] = make_url(settings.db.url.get_secret_value()).render_as_string(hide_password=False)
    return environment


def _base_url(settings: Settings) -> str:
    host = "localhost" if settings.api_host in _ANYWHERE else settings.api_host
    return f"http://{host}:{settings.api_port}"
