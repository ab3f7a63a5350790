import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from contexten_core.errors import StackError
from deployments import postgres_place
from deployments.child import Account
from deployments.embedded_postgres import EmbeddedPostgres
from deployments.home import Home
from deployments.postgres_binaries import find_binaries
from deployments.process_table import ProcessId
from deployments.supervisor import Supervisor

REPOSITORY = Path(__file__).parents[3]
TINY_SUPERVISOR = Path(__file__).with_name("tiny_supervisor.py")
SYSTEM_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL has an account of its own only when we are root")
needs_namespaces = pytest.mark.skipif(
    sys.platform != "linux"
    or os.geteuid() != 0
    or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0,
    reason="needs root with the right to make mount namespaces",
)


@pytest.fixture
def open_home() -> Iterator[Home]:
    """A home that every account may pass through."""
    with tempfile.TemporaryDirectory(prefix="contexten-test-") as folder:
        Path(folder).chmod(0o711)
        home = Home(Path(folder) / "home")
        home.create()
        yield home


@asynccontextmanager
async def running(postgres: EmbeddedPostgres) -> AsyncIterator[Supervisor]:
    await postgres.prepare()
    try:
        async with Supervisor() as supervisor:
            await supervisor.start(postgres.child())
            await postgres.create_databases("contexten", "prefect")
            yield supervisor
    finally:
        postgres.close()


async def ask(
    postgres: EmbeddedPostgres, statement: str, *, driver: str = "psycopg", database: str = "contexten"
) -> object:
    """Run a statement as Contexten does: through SQLAlchemy, with the address that `dsn` gives."""
    engine = create_async_engine(postgres.dsn(database).replace("postgresql://", f"postgresql+{driver}://", 1))
    try:
        async with engine.begin() as connection:
            result = await connection.execute(text(statement))
            return result.scalar_one() if result.returns_rows else None
    finally:
        await engine.dispose()


def link_of(home: Home) -> Path:
    return Path((home.run / "postgres-socket").read_text())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_new_home_gets_a_database_that_outlives_its_server(home: Home) -> None:
    postgres = EmbeddedPostgres(home)
    async with running(postgres):
        await ask(postgres, "CREATE TABLE kept (word text)")
        await ask(postgres, "INSERT INTO kept VALUES ('still here')")
    async with running(EmbeddedPostgres(home)):
        pass
    async with running(postgres):
        assert await ask(postgres, "SELECT word FROM kept") == "still here"
    assert mode(home.root.parent) == 0o700


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Home, EmbeddedPostgres]]:
    """One server for those who only look at it."""
    home = Home(tmp_path_factory.mktemp("served") / "home")
    home.create()
    postgres = EmbeddedPostgres(home)
    async with running(postgres):
        yield home, postgres


@pytest.mark.asyncio(loop_scope="module")
class TestServed:
    @pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
    @pytest.mark.parametrize("database", ["contexten", "prefect"])
    async def test_drivers_connect_with_the_address(
        self, served: tuple[Home, EmbeddedPostgres], driver: str, database: str
    ) -> None:
        _, postgres = served
        assert await ask(postgres, "SELECT current_database()", driver=driver, database=database) == database

    async def test_libpq_connects_with_the_address_as_it_is(self, served: tuple[Home, EmbeddedPostgres]) -> None:
        _, postgres = served
        async with await psycopg.AsyncConnection.connect(postgres.dsn("prefect")) as connection:
            assert connection.info.dbname == "prefect"

    async def test_the_role_can_do_what_prefect_needs_and_is_no_superuser(
        self, served: tuple[Home, EmbeddedPostgres]
    ) -> None:
        _, postgres = served
        await ask(postgres, "CREATE EXTENSION pg_trgm", database="prefect")
        assert await ask(postgres, "SELECT similarity('contexten', 'context') > 0.5", database="prefect") is True
        assert await ask(postgres, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False

    async def test_databases_that_exist_are_kept(self, served: tuple[Home, EmbeddedPostgres]) -> None:
        _, postgres = served
        await ask(postgres, "CREATE TABLE there ()")
        await postgres.create_databases("contexten", "another")
        assert await ask(postgres, "SELECT to_regclass('there') IS NOT NULL") is True
        assert await ask(postgres, "SELECT 1", database="another") == 1

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("listen_addresses", ""),
            ("data_checksums", "on"),
            ("fsync", "on"),
            ("server_encoding", "UTF8"),
            ("password_encryption", "scram-sha-256"),
            ("max_connections", "200"),
            ("TimeZone", "UTC"),
        ],
    )
    async def test_settings(self, served: tuple[Home, EmbeddedPostgres], setting: str, value: str) -> None:
        _, postgres = served
        assert await ask(postgres, f"SHOW {setting}") == value

    async def test_letters_beyond_ascii_are_letters(self, served: tuple[Home, EmbeddedPostgres]) -> None:
        _, postgres = served
        assert await ask(postgres, "SELECT lower('\N{LATIN CAPITAL LETTER A WITH DIAERESIS}')") == "\xe4"

    async def test_only_a_password_opens_it(self, served: tuple[Home, EmbeddedPostgres]) -> None:
        home, postgres = served
        rules = (home.postgres / "data" / "pg_hba.conf").read_text().splitlines()
        assert {rule.split()[-1] for rule in rules if rule and not rule.startswith("#")} == {"scram-sha-256"}
        assert mode(home.postgres / "socket") == mode(home.postgres / "data") == 0o700
        with pytest.raises(psycopg.OperationalError, match="password"):
            await psycopg.AsyncConnection.connect(postgres.address("contexten"))

    async def test_no_file_but_the_secrets_holds_a_password(self, served: tuple[Home, EmbeddedPostgres]) -> None:
        home, postgres = served
        passwords = [(home.secrets / name).read_text() for name in ("postgres", "postgres-admin")]
        assert passwords[0] in postgres.dsn("contexten")
        assert passwords[0] not in postgres.address("contexten")
        for file in home.root.rglob("*"):
            if file.is_file() and file.parent != home.secrets:
                content = file.read_bytes()
                assert not any(password.encode() in content for password in passwords)


@pytest.mark.parametrize("name", ["", "a b", "x; DROP DATABASE y", "Upper", "a" * 64])
async def test_a_database_has_a_plain_name(home: Home, name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a database"):
        await EmbeddedPostgres(home).create_databases(name)


@pytest.mark.parametrize("folder", ["x" * 120, "comma,colon:percent%20"])
async def test_a_path_that_no_socket_can_have_is_reached_by_a_link(tmp_path: Path, folder: str) -> None:
    home = Home(tmp_path / folder)
    home.create()
    postgres = EmbeddedPostgres(home)
    async with running(postgres):
        link = link_of(home)
        assert mode(link) == 0o700
        for driver in ("psycopg", "asyncpg"):
            assert await ask(postgres, "SELECT 1", driver=driver) == 1
    assert not link.exists()


async def test_the_link_of_a_killed_stack_is_removed_by_the_next(tmp_path: Path) -> None:
    home = Home(tmp_path / ("x" * 120))
    home.create()
    killed, following = EmbeddedPostgres(home), EmbeddedPostgres(home)
    await killed.prepare()
    link = link_of(home)
    await following.prepare()
    assert not link.exists()
    following.close()
    killed.close()


async def test_a_server_that_crashes_is_started_again(home: Home) -> None:
    postgres = EmbeddedPostgres(home)
    async with running(postgres) as supervisor:
        (before,) = supervisor.running
        os.kill(before.process.pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while before in supervisor.running or not await postgres.ready():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        assert await ask(postgres, "SELECT 1") == 1


@pytest.mark.parametrize("kind", ["postgres", "postgres-orphan"])
async def test_the_database_of_a_killed_supervisor_is_taken_over(home: Home, kind: str) -> None:
    server = await asyncio.to_thread(start_and_kill_supervisor, home, kind)
    if kind == "postgres" and sys.platform == "linux":
        # The death signal has reached it through the change of account and, where there is one, the mount namespace.
        async with asyncio.timeout(5):
            while server.is_running():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
    postgres = EmbeddedPostgres(home)
    with home.lock():
        ended = await postgres.prepare()
        assert not server.is_running()
        if kind == "postgres-orphan":
            assert server.pid in ended
        async with running(postgres):
            assert await ask(postgres, "SELECT 1") == 1


def start_and_kill_supervisor(home: Home, kind: str) -> ProcessId:
    command = [sys.executable, str(TINY_SUPERVISOR), str(home.root), kind]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"running\n"
        supervisor.kill()
    state = home.read_state()
    assert state is not None
    return state.children[0].process


def socket_of(home: Home) -> str:
    """Where a server that is not ours takes connections."""
    return str(link_of(home) / "s" if (home.run / "postgres-socket").exists() else home.postgres / "socket")


async def test_a_busy_backend_of_a_killed_server_does_not_stop_the_next_one(home: Home) -> None:
    server = await asyncio.to_thread(start_and_kill_supervisor, home, "postgres-orphan")
    client = EmbeddedPostgres(home)
    connection = await psycopg.AsyncConnection.connect(
        host=socket_of(home), user="postgres", password=home.secret("postgres-admin"), dbname="postgres"
    )
    backend = ProcessId.of(connection.info.backend_pid)
    assert backend is not None
    busy = asyncio.create_task(connection.execute("DO $$ BEGIN LOOP END LOOP; END $$"))
    await asyncio.sleep(0.2)
    os.kill(server.pid, signal.SIGKILL)
    await asyncio.sleep(0.2)
    assert backend.is_running()
    async with running(client):
        assert not backend.is_running()
    with pytest.raises(psycopg.OperationalError):
        await busy
    await connection.close()


async def test_an_initdb_that_was_interrupted_is_begun_again(home: Home) -> None:
    unfinished = home.postgres / "data.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    async with running(EmbeddedPostgres(home)):
        assert not unfinished.exists()


async def test_data_of_another_version_is_refused_with_a_way_out(home: Home) -> None:
    data = home.postgres / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("12\n")
    if os.geteuid() == 0:
        account = postgres_place._account_for(home.postgres / "none")
        os.chown(data, account.uid, account.gid)
    with pytest.raises(StackError, match="is of PostgreSQL 12, the programs are PostgreSQL 18") as caught:
        await EmbeddedPostgres(home).prepare()
    assert "CONTEXTEN_POSTGRES_BIN" in (caught.value.hint or "")


async def test_a_lost_admin_password_is_explained(home: Home) -> None:
    postgres = EmbeddedPostgres(home)
    async with running(postgres):
        (home.secrets / "postgres-admin").unlink()
        with pytest.raises(StackError, match="does not let its administrator in") as caught:
            await postgres.create_databases("contexten")
    assert str(home.secrets) in (caught.value.hint or "")


async def test_a_lost_password_of_the_role_is_replaced(home: Home) -> None:
    async with running(EmbeddedPostgres(home)):
        (home.secrets / "postgres").unlink()
    postgres = EmbeddedPostgres(home)
    async with running(postgres):
        assert await ask(postgres, "SELECT 1") == 1


async def test_programs_that_are_not_there_are_named(home: Home, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="There is no PostgreSQL in") as caught:
        await EmbeddedPostgres(home, binaries=tmp_path).prepare()
    assert "DB_USE_SQLITE=true" in (caught.value.hint or "")


@pytest.mark.skipif(not SYSTEM_BINARIES, reason="no PostgreSQL is installed in /usr/lib/postgresql")
async def test_an_installed_postgresql_serves_as_well(home: Home) -> None:
    postgres = EmbeddedPostgres(home, binaries=SYSTEM_BINARIES[-1])
    async with running(postgres):
        version = str(await ask(postgres, "SHOW server_version"))
        assert version.partition(".")[0] == SYSTEM_BINARIES[-1].parent.name


@needs_root
async def test_as_root_the_server_runs_as_another_account(open_home: Home) -> None:
    postgres = EmbeddedPostgres(open_home)
    async with running(postgres):
        child = postgres.child()
        assert child.mount is None
        assert child.account is not None
        assert child.account.uid != 0
        assert (open_home.postgres / "data").stat().st_uid == child.account.uid
        assert open_home.postgres.stat().st_uid == 0


@needs_namespaces
async def test_a_home_that_the_account_may_not_enter_is_mounted_for_it_alone(home: Home) -> None:
    parent = home.root.parent
    postgres = EmbeddedPostgres(home)
    async with running(postgres):
        child = postgres.child()
        assert child.mount is not None
        assert child.mount.source == home.postgres
        assert not (child.mount.target / "socket").exists()
    assert mode(parent) == 0o700


@needs_namespaces
async def test_programs_that_the_account_may_not_enter_are_copied_once(home: Home, tmp_path: Path) -> None:
    binaries = private_copy_of_the_wheel(tmp_path / "venv")
    copies = []
    for _ in range(2):
        postgres = EmbeddedPostgres(home, binaries=binaries)
        async with running(postgres):
            assert postgres.child().argv[0].startswith("/mnt/binaries/")
        copies.append([path.stat().st_ino for path in (home.postgres / "binaries").iterdir()])
    assert copies[0] == copies[1]
    assert len(copies[0]) == 1
    assert mode(binaries) == 0o700


@needs_root
async def test_copied_programs_serve_a_reachable_home(open_home: Home, tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(open_home, binaries=private_copy_of_the_wheel(tmp_path / "venv"))
    async with running(postgres):
        assert postgres.child().mount is None
        assert postgres.child().argv[0].startswith(str(open_home.postgres / "binaries"))


def private_copy_of_the_wheel(folder: Path) -> Path:
    """A venv that was made with a umask of 077."""
    installed = find_binaries(None).parent.parent
    for part in (installed.name, f"{installed.name}.libs"):
        if (installed.parent / part).exists():
            shutil.copytree(installed.parent / part, folder / part, ignore=shutil.ignore_patterns("include", "*.a"))
    for path in (folder, *folder.rglob("*")):
        path.chmod(mode(path) & 0o700)
    return folder / installed.name / "pginstall" / "bin"


@needs_root
async def test_a_home_that_cannot_be_shown_to_the_account_says_what_to_do(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_place, "_NEUTRAL_FOLDERS", ())
    with pytest.raises(StackError, match="may not enter") as caught:
        await EmbeddedPostgres(home).prepare()
    for way_out in ("CONTEXTEN_HOME", "/var/lib/contexten", "DB_HOST", "DB_USE_SQLITE=true"):
        assert way_out in (caught.value.hint or "")


@needs_namespaces
def test_a_container_without_the_right_to_mount_says_what_to_do(home: Home) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from contexten_core.errors import StackError\n"
        "from deployments.embedded_postgres import EmbeddedPostgres; from deployments.home import Home\n"
        "try: asyncio.run(EmbeddedPostgres(Home(Path(sys.argv[1]))).prepare())\n"
        "except StackError as error: print(error, error.hint)"
    )
    without = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    said = subprocess.check_output([*without, sys.executable, "-c", code, str(home.root)], env=environment, text=True)
    for words in ("PostgreSQL cannot be run", "Operation not permitted", "CONTEXTEN_HOME", "DB_USE_SQLITE=true"):
        assert words in said


@needs_root
async def test_an_installed_program_is_not_copied(home: Home, tmp_path: Path) -> None:
    private = tmp_path / "bin"
    private.mkdir(mode=0o700)
    for program in ("postgres", "initdb"):
        (private / program).touch(mode=0o700)
    with pytest.raises(StackError, match="cannot run the programs"):
        await EmbeddedPostgres(home, binaries=private).prepare()


@needs_root
async def test_without_postgres_the_account_is_nobody(open_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_place, "_ACCOUNTS", ("no-such-account", "nobody"))
    postgres = EmbeddedPostgres(open_home)
    async with running(postgres):
        account = postgres.child().account
        assert account == Account(uid=pwd.getpwnam("nobody").pw_uid, gid=pwd.getpwnam("nobody").pw_gid)
    monkeypatch.undo()
    # Data keeps its account, even when a better one appears.
    async with running(postgres):
        assert postgres.child().account == account


@needs_root
async def test_data_of_root_is_refused(home: Home) -> None:
    (home.postgres / "data").mkdir()
    with pytest.raises(StackError, match="belongs to root") as caught:
        await EmbeddedPostgres(home).prepare()
    assert "chown" in (caught.value.hint or "")
