import io
import json
import random
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, insert, select, text

from contexten_core.db import migrate
from contexten_core.db.archive import LONGEST_LINE, BackupError
from contexten_core.db.backup import back_up
from contexten_core.db.engine import sync_address
from contexten_core.db.models import metadata
from contexten_core.db.portable import tables_at
from contexten_core.db.restore import restore
from contexten_core.db.snapshot import snapshot
from contexten_core.errors import ConfigurationError, ConflictError, NotFoundError
from contexten_core.settings import DatabaseConfig, DatabaseKind
from tests.component.db.filled import ROWS, contents, fill, full_row, row_id

PROJECTS = metadata.tables["projects"]
Members = dict[str, bytes]


@pytest.fixture
def other_config(
    request: pytest.FixtureRequest, database_config: DatabaseConfig, tmp_path: Path
) -> Iterator[DatabaseConfig]:
    """A database of the other kind, with nothing in it."""
    if database_config.kind is DatabaseKind.POSTGRESQL:
        yield DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "other.db")
        return
    server = request.getfixturevalue("postgresql")
    admin: str = request.getfixturevalue("postgresql_admin")
    name = f"test_{uuid4().hex}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER contexten".encode())
    yield DatabaseConfig(url=SecretStr(server.dsn(name)))
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "contexten.backup"


def _execute(config: DatabaseConfig, *statements: str) -> None:
    engine = create_engine(sync_address(config.address))
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
    finally:
        engine.dispose()


def _use(config: DatabaseConfig) -> None:
    """Have a database be as it is once one of our processes works with it."""
    if config.kind is DatabaseKind.SQLITE:
        _execute(config, "PRAGMA journal_mode=WAL")


def _add_project(config: DatabaseConfig, number: int) -> None:
    engine = create_engine(sync_address(config.address))
    try:
        with engine.begin() as connection:
            connection.execute(insert(PROJECTS).values(full_row(PROJECTS, number)))
    finally:
        engine.dispose()


def _members(file: Path) -> Members:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write(file: Path, members: Members) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _rewrite_manifest(members: Members, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads(members["manifest.json"])
    change(manifest)
    members["manifest.json"] = json.dumps(manifest).encode()


def _replace_table(members: Members, table: str, lines: list[bytes]) -> None:
    """Put other lines in the place of a table's, with a manifest that agrees."""
    content = b"".join(line + b"\n" for line in lines)
    members[f"tables/{table}.jsonl"] = content
    entry = {"rows": len(lines), "sha256": sha256(content).hexdigest()}
    _rewrite_manifest(members, lambda manifest: manifest["tables"].update({table: entry}))


def _change_row(members: Members, table: str, number: int, **values: Any) -> None:
    lines = members[f"tables/{table}.jsonl"].splitlines()
    lines[number] = json.dumps(json.loads(lines[number]) | values).encode()
    _replace_table(members, table, lines)


def test_every_value_of_every_table_survives_the_way_to_the_other_database_and_back(
    database_config: DatabaseConfig, other_config: DatabaseConfig, tmp_path: Path
) -> None:
    fill(database_config)
    before = contents(database_config)

    there = back_up(database_config, tmp_path / "there")
    restored = restore(other_config, tmp_path / "there")
    assert contents(other_config) == before
    assert restored.manifest == there
    assert restored.revision == migrate.newest_revision()
    assert migrate.differences(other_config) == []

    back = back_up(other_config, tmp_path / "back")
    assert back.tables == there.tables
    assert {back.dialect, there.dialect} == {"sqlite", "postgresql"}
    restore(database_config, tmp_path / "back", replace=True)
    assert contents(database_config) == before


def test_a_manifest_says_what_is_in_the_file(database_config: DatabaseConfig, file: Path) -> None:
    fill(database_config)
    manifest = back_up(database_config, file)

    assert json.loads(_members(file)["manifest.json"]) == manifest.model_dump(mode="json")
    assert manifest.format == "contexten-backup"
    assert manifest.revision == migrate.newest_revision()
    assert {name: found.rows for name, found in manifest.tables.items()} == dict.fromkeys(metadata.tables, ROWS + 1)
    assert set(_members(file)) == {"manifest.json", *(f"tables/{name}.jsonl" for name in metadata.tables)}


def test_an_empty_database_can_be_backed_up_and_restored(
    database_config: DatabaseConfig, other_config: DatabaseConfig, file: Path
) -> None:
    assert back_up(database_config, file).rows == 0
    restore(other_config, file)

    assert contents(other_config) == {name: [] for name in metadata.tables}


def test_only_this_account_may_read_the_file(database_config: DatabaseConfig, file: Path) -> None:
    back_up(database_config, file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(f".{file.name}")] == []


def test_a_file_that_exists_is_replaced_only_when_that_is_wanted(database_config: DatabaseConfig, file: Path) -> None:
    file.write_text("precious")
    with pytest.raises(ConflictError, match="exists") as refused:
        back_up(database_config, file)
    assert "--force" in str(refused.value.hint)
    assert file.read_text() == "precious"

    back_up(database_config, file, force=True)
    assert zipfile.is_zipfile(file)


def test_a_backup_that_fails_leaves_no_file(database_config: DatabaseConfig, file: Path) -> None:
    _execute(database_config, "DROP TABLE outbox")
    with pytest.raises(BackupError, match="outbox cannot be read"):
        back_up(database_config, file)

    assert [path for path in file.parent.iterdir() if file.name in path.name] == []


def test_a_place_that_cannot_be_written_to_is_named(database_config: DatabaseConfig, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="not/there/file cannot be written: No such file or directory"):
        back_up(database_config, tmp_path / "not/there/file")


def test_a_snapshot_does_not_see_what_is_committed_meanwhile(database_config: DatabaseConfig) -> None:
    _use(database_config)
    _add_project(database_config, 0)
    with snapshot(database_config) as connection:
        before = connection.execute(select(PROJECTS.c.id)).all()
        _add_project(database_config, 1)
        assert connection.execute(select(PROJECTS.c.id)).all() == before


def test_a_backup_of_a_database_in_use_is_of_one_moment(database_config: DatabaseConfig, file: Path) -> None:
    """A writer adds projects, and marks each in the same transaction in a table that is read much earlier."""
    marks = metadata.tables["access_tokens"]
    _use(database_config)
    stop = threading.Event()
    written = threading.Semaphore(0)

    def write() -> None:
        engine = create_engine(sync_address(database_config.address))
        number = 0
        while not stop.is_set():
            with engine.begin() as connection:
                connection.execute(insert(marks).values(full_row(marks, number)))
                connection.execute(insert(PROJECTS).values(full_row(PROJECTS, number)))
            number += 1
            written.release()
        engine.dispose()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for attempt in range(3):
            for _ in range(5):
                assert written.acquire(timeout=30)
            found = back_up(database_config, file.with_suffix(f".{attempt}")).tables
            assert found["access_tokens"].rows == found["projects"].rows >= 5
    finally:
        stop.set()
        writer.join()


def test_a_backup_of_an_older_revision_is_migrated_when_it_is_restored(
    database_config: DatabaseConfig, other_config: DatabaseConfig, file: Path
) -> None:
    oldest = migrate.known_revisions()[0]
    migrate.downgrade(database_config, oldest)
    fill(database_config, revision=oldest)
    # What is known of files is found out again, and its table emptied on the way.
    old_tables = [found.table for found in tables_at(oldest) if found.table.name != "file_facts"]
    before = contents(database_config, old_tables)

    assert back_up(database_config, file).revision == oldest
    for target in (other_config, database_config):
        assert restore(target, file, replace=True).revision == migrate.newest_revision()
        assert contents(target, old_tables) == before
        assert migrate.differences(target) == []


def test_what_is_there_is_replaced_only_when_that_is_wanted(database_config: DatabaseConfig, file: Path) -> None:
    fill(database_config)
    back_up(database_config, file)
    before = contents(database_config)
    _add_project(database_config, 77)
    with pytest.raises(ConflictError, match=r"not empty: there are rows in .*projects") as refused:
        restore(database_config, file)
    assert "--replace" in str(refused.value.hint)
    assert len(contents(database_config)["projects"]) == ROWS + 2

    restore(database_config, file, replace=True)
    assert contents(database_config) == before


def test_what_is_somebody_elses_is_left_alone(database_config: DatabaseConfig, file: Path) -> None:
    _execute(database_config, "CREATE TABLE theirs (id INTEGER)", "INSERT INTO theirs VALUES (7)")
    fill(database_config)
    manifest = back_up(database_config, file)
    restore(database_config, file, replace=True)

    assert "theirs" not in manifest.tables
    with snapshot(database_config) as connection:
        assert connection.execute(text("SELECT id FROM theirs")).scalar_one() == 7


def test_a_database_that_no_migration_has_made_is_neither_backed_up_nor_filled(
    other_config: DatabaseConfig, database_config: DatabaseConfig, file: Path
) -> None:
    _execute(other_config, "CREATE TABLE projects (id INTEGER)")
    with pytest.raises(ConflictError, match="no tables of Contexten"):
        back_up(other_config, file)

    back_up(database_config, file)
    with pytest.raises(ConflictError, match="that no migration made: projects"):
        restore(other_config, file, replace=True)


def test_a_sqlite_file_that_is_not_there_is_not_made(tmp_path: Path, file: Path) -> None:
    config = DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "gone.db")
    with pytest.raises(NotFoundError, match=r"there is no database .*gone\.db"):
        back_up(config, file)

    assert list(tmp_path.iterdir()) == []


def test_a_database_of_a_newer_contexten_is_left_alone(database_config: DatabaseConfig, file: Path) -> None:
    back_up(database_config, file)
    _execute(database_config, "UPDATE alembic_version SET version_num = '9999'")

    for work in (
        lambda: back_up(database_config, file, force=True),
        lambda: restore(database_config, file, replace=True),
    ):
        with pytest.raises(ConfigurationError, match="revision 9999, which this version of Contexten does not know"):
            work()


@pytest.fixture(scope="module")
def good_backup(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup of a full database."""
    folder = tmp_path_factory.mktemp("good")
    path = folder / "full.db"
    path.write_bytes(sqlite_template.read_bytes())
    config = DatabaseConfig(use_sqlite=True, sqlite_path=path)
    fill(config)
    back_up(config, folder / "backup")
    return (folder / "backup").read_bytes()


class Refusals:
    """A database with a row in it, and a good backup to be spoiled; refusing it has to leave that row alone."""

    def __init__(self, config: DatabaseConfig, file: Path) -> None:
        _add_project(config, 77)
        self.config = config
        self.file = file
        self.before = contents(config)

    def refuse(self, match: str) -> BackupError:
        with pytest.raises(BackupError, match=match) as refused:
            restore(self.config, self.file, replace=True)
        assert refused.value.hint
        assert refused.value.transient is False
        assert contents(self.config) == self.before
        assert migrate.current_revision(self.config) == migrate.newest_revision()
        return refused.value


@pytest.fixture
def spoiled(database_config: DatabaseConfig, file: Path, good_backup: bytes) -> Refusals:
    file.write_bytes(good_backup)
    return Refusals(database_config, file)


@pytest.fixture
def spoiled_sqlite(sqlite_template: Path, tmp_path: Path, file: Path, good_backup: bytes) -> Refusals:
    """The same where the refusal has nothing to do with the database."""
    path = tmp_path / "contexten.db"
    path.write_bytes(sqlite_template.read_bytes())
    file.write_bytes(good_backup)
    return Refusals(DatabaseConfig(use_sqlite=True, sqlite_path=path), file)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(spoiled_sqlite: Refusals, good_backup: bytes, part: float) -> None:
    spoiled_sqlite.file.write_bytes(good_backup[: int(len(good_backup) * part)])

    spoiled_sqlite.refuse("is not a backup that can be restored")


def test_a_damaged_file_is_refused_wherever_the_damage_is(spoiled_sqlite: Refusals, good_backup: bytes) -> None:
    chance = random.Random(4)
    for _ in range(60):
        damaged = bytearray(good_backup)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        spoiled_sqlite.file.write_bytes(damaged)
        try:
            restore(spoiled_sqlite.config, spoiled_sqlite.file)
        except BackupError:
            continue
        except ConflictError:
            # The bit was in what zip does not need, such as the time of a member: all contents are as they were.
            continue
    assert contents(spoiled_sqlite.config) == spoiled_sqlite.before


@pytest.mark.parametrize(
    "content",
    [b"", b"SQLite format 3\0" + bytes(4000), random.Random(1).randbytes(5000), b"PK\x05\x06" + bytes(18)],
    ids=["nothing", "sqlite", "noise", "an empty zip"],
)
def test_a_file_of_another_kind_is_refused(spoiled_sqlite: Refusals, content: bytes) -> None:
    spoiled_sqlite.file.write_bytes(content)

    spoiled_sqlite.refuse("is not a backup that can be restored")


def test_a_file_that_is_not_there_is_not_found(database_config: DatabaseConfig, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        restore(database_config, tmp_path / "gone")
    with pytest.raises(BackupError, match="it is not a file"):
        restore(database_config, tmp_path)


def test_a_backup_of_a_newer_contexten_is_refused_with_its_version(spoiled_sqlite: Refusals) -> None:
    members = _members(spoiled_sqlite.file)
    _rewrite_manifest(members, lambda manifest: manifest.update(revision="0999", contexten="7.1"))
    _write(spoiled_sqlite.file, members)

    refused = spoiled_sqlite.refuse("revision 0999, which this version of Contexten does not know")
    assert "Contexten 7.1" in str(refused.hint)


def test_a_backup_in_a_newer_form_is_refused_with_its_version(spoiled_sqlite: Refusals) -> None:
    members = _members(spoiled_sqlite.file)
    _rewrite_manifest(members, lambda manifest: manifest.update(version=2, contexten="7.1"))
    _write(spoiled_sqlite.file, members)

    assert "Contexten 7.1" in str(spoiled_sqlite.refuse("has the form 2").hint)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "tar"},
        {"version": 0},
        {"revision": "../../etc"},
        {"revision": None},
        {"created_at": "yesterday"},
        {"dialect": "oracle"},
        {"tables": {"projects": {"rows": -1, "sha256": "0" * 64}}},
        {"tables": {"projects": {"rows": 1, "sha256": "short"}}},
        {"more": 1},
    ],
)
def test_a_manifest_that_says_something_else_is_refused(spoiled_sqlite: Refusals, change: dict[str, Any]) -> None:
    members = _members(spoiled_sqlite.file)
    _rewrite_manifest(members, lambda manifest: manifest.update(change))
    _write(spoiled_sqlite.file, members)

    spoiled_sqlite.refuse("its manifest.json is damaged")


def _without_a_manifest(members: Members) -> None:
    del members["manifest.json"]


def _with_a_huge_manifest(members: Members) -> None:
    members["manifest.json"] = b" " * 50_000_000


def _without_a_table(members: Members) -> None:
    del members["tables/tasks.jsonl"]


def _with_a_path_upwards(members: Members) -> None:
    members["../../evil"] = b"x"


def _with_a_table_of_nobody(members: Members) -> None:
    _replace_table(members, "pg_authid", [b"{}"])


def _with_fewer_tables_in_the_manifest(members: Members) -> None:
    _rewrite_manifest(members, lambda manifest: manifest["tables"].pop("tasks"))


def _with_fewer_rows(members: Members) -> None:
    members["tables/tasks.jsonl"] = members["tables/tasks.jsonl"].splitlines(keepends=True)[0]


def _with_more_rows(members: Members) -> None:
    _rewrite_manifest(members, lambda manifest: manifest["tables"]["tasks"].update(rows=1))


def _with_a_changed_row(members: Members) -> None:
    members["tables/tasks.jsonl"] = members["tables/tasks.jsonl"].replace(b"title 0", b"title 9", 1)


def _with_rows_out_of_order(members: Members) -> None:
    _replace_table(members, "tasks", members["tables/tasks.jsonl"].splitlines()[::-1])


def _with_a_row_twice(members: Members) -> None:
    lines = members["tables/tasks.jsonl"].splitlines()
    _replace_table(members, "tasks", [lines[0], *lines])


def _with_a_bomb(members: Members) -> None:
    members["tables/tasks.jsonl"] = b" " * (LONGEST_LINE + 2)


def _with_an_empty_line(members: Members) -> None:
    _replace_table(members, "tasks", [b"", *members["tables/tasks.jsonl"].splitlines()])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_without_a_manifest, "it has no manifest.json"),
        (_with_a_huge_manifest, "its manifest.json is larger than"),
        (_without_a_table, "other files than its manifest says"),
        (_with_a_path_upwards, "other files than its manifest says"),
        (_with_a_table_of_nobody, "its tables are not those of revision .*: pg_authid"),
        (_with_fewer_tables_in_the_manifest, "its tables are not those of revision .*: tasks"),
        (_with_fewer_rows, "tasks has 1 rows, not the 4"),
        (_with_more_rows, "tasks has more rows than the 1"),
        (_with_a_changed_row, "the checksum of tasks"),
        (_with_rows_out_of_order, "line 2 of tasks is out of order"),
        (_with_a_row_twice, "line 2 of tasks is out of order"),
        (_with_a_bomb, "a line of tasks is longer than"),
        (_with_an_empty_line, "line 1 of tasks is not one of its rows"),
    ],
)
def test_an_archive_that_is_not_what_it_says_is_refused(
    spoiled_sqlite: Refusals, spoil: Callable[[Members], None], reason: str
) -> None:
    members = _members(spoiled_sqlite.file)
    spoil(members)
    _write(spoiled_sqlite.file, members)

    spoiled_sqlite.refuse(reason)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(spoiled_sqlite: Refusals) -> None:
    with zipfile.ZipFile(spoiled_sqlite.file, "a") as archive:
        archive.writestr("tables/tasks.jsonl", b"")

    spoiled_sqlite.refuse("other files than its manifest says")


def test_an_encrypted_archive_is_refused(spoiled_sqlite: Refusals) -> None:
    """The flag is in the directory at the end of the file, 8 bytes after each signature."""
    content = bytearray(spoiled_sqlite.file.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    spoiled_sqlite.file.write_bytes(content)

    spoiled_sqlite.refuse("an archive of something else")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[]", "it is a list, not an object"),
        (b"{", "Expecting property name"),
        (b'{"id": "\xff"}', "invalid start byte"),
        (b"[" * 100_000, "it is nested too deep"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (b'{"evil\\"; DROP TABLE tasks": 1}', "there is no column"),
        (b"{}", "id is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_line_that_is_no_row_is_refused(spoiled_sqlite: Refusals, line: bytes, reason: str) -> None:
    members = _members(spoiled_sqlite.file)
    _replace_table(members, "tasks", [line])
    _write(spoiled_sqlite.file, members)

    spoiled_sqlite.refuse(f"line 1 of tasks is not one of its rows: .*{reason}")


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("projects", "id", "not an id"),
        ("projects", "id", 7),
        ("projects", "name", None),
        ("projects", "name", 7),
        ("projects", "created_at", "2026-03-29T12:00:00"),
        ("projects", "created_at", "0001-01-01T00:00:00+14:00"),
        ("projects", "created_at", 1_700_000_000),
        ("projects", "total_tasks", 2**63),
        ("projects", "total_tasks", True),
        ("projects", "total_tasks", 1.5),
        ("projects", "analytics_enabled", 1),
        ("prompts", "success_rate", "much"),
        ("prompts", "success_rate", False),
        ("event_payloads", "raw_payload", "not base64!"),
        ("event_payloads", "raw_payload", [1, 2]),
        ("error_counts", "day", "2026-13-01"),
        ("error_counts", "day", 20),
    ],
)
def test_a_value_that_its_column_does_not_take_is_refused(
    spoiled_sqlite: Refusals, table: str, column: str, value: Any
) -> None:
    members = _members(spoiled_sqlite.file)
    _change_row(members, table, 0, **{column: value})
    _write(spoiled_sqlite.file, members)

    spoiled_sqlite.refuse(f"line 1 of {table} is not one of its rows: {column}")


def test_a_reference_that_leads_nowhere_is_refused(spoiled: Refusals) -> None:
    members = _members(spoiled.file)
    _change_row(members, "tasks", 0, project_id=str(uuid4()))
    _write(spoiled.file, members)

    spoiled.refuse("is not a backup that can be restored: .*(projects|fk_tasks)")


def test_rows_that_contradict_each_other_are_refused(spoiled: Refusals) -> None:
    members = _members(spoiled.file)
    slug = json.loads(members["tables/projects.jsonl"].splitlines()[0])["slug"]
    _change_row(members, "projects", 1, slug=slug)
    _write(spoiled.file, members)

    spoiled.refuse("the database refuses a row: .*slug")


def test_what_no_database_keeps_is_replaced(database_config: DatabaseConfig, file: Path, good_backup: bytes) -> None:
    file.write_bytes(good_backup)
    members = _members(file)
    changed: dict[str, Any] = {"name": "a\0b\ud800c", "metadata": {"k\0": ["\udfff"]}}
    _change_row(members, "projects", 0, **changed)
    _write(file, members)
    restore(database_config, file)

    row_id = UUID(json.loads(members["tables/projects.jsonl"].splitlines()[0])["id"])
    (row,) = [row for row in contents(database_config)["projects"] if row["id"] == row_id]
    assert (row["name"], row["metadata"]) == ("a\ufffdb\ufffdc", {"k\ufffd": ["\ufffd"]})


def test_a_file_as_other_tools_write_it_is_taken(
    database_config: DatabaseConfig, file: Path, good_backup: bytes
) -> None:
    """Not compressed, spaces in the JSON, null written out where JSON is kept."""
    file.write_bytes(good_backup)
    members = _members(file)
    for table in metadata.tables:
        lines = members[f"tables/{table}.jsonl"].splitlines()
        _replace_table(members, table, [json.dumps(json.loads(line), indent=None).encode() for line in lines])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, text_ in members.items():
            archive.writestr(name, text_)
    file.write_bytes(content.getvalue())

    restore(database_config, file)
    assert {name: len(rows) for name, rows in contents(database_config).items()} == dict.fromkeys(
        metadata.tables, ROWS + 1
    )
    assert row_id("tasks", 0) in {row["id"] for row in contents(database_config)["tasks"]}
