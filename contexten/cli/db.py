"""The database: migrate it, look whether it is whole, back it up and restore it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape

from contexten.cli.output import AsJson, err, failures_explained, out, print_json, print_table
from contexten_core.db import migrate
from contexten_core.db.archive import Manifest
from contexten_core.db.backup import back_up
from contexten_core.db.check import DatabaseCheck
from contexten_core.db.check import check as check_database
from contexten_core.db.restore import Restored
from contexten_core.db.restore import restore as restore_database
from contexten_core.errors import ConflictError
from contexten_core.settings import DatabaseConfig, DatabaseKind, Settings, get_settings
from deployments.attach import attached, running_state
from deployments.home import Home
from deployments.stack import opened_stack

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help=__doc__)
BackupFile = Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="The file of the backup.")]


@app.command("upgrade")
def upgrade(
    revision: Annotated[str, typer.Argument(help="How far; the newest without it.")] = migrate.HEAD,
    as_json: AsJson = False,
) -> None:
    """Migrate the database to a revision; an empty one is made ready. `serve` does this by itself."""
    moved = _with_database(lambda config: _move(config, migrate.upgrade, revision), creating=True, as_json=as_json)
    _print_move(moved, as_json=as_json)


@app.command("downgrade")
def downgrade(
    revision: Annotated[str, typer.Argument(help="How far back: a revision, or `base` for an empty database.")],
    yes: Annotated[bool, typer.Option("--yes", help="Yes, lose what later revisions made room for.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take migrations back. What only they had room for is lost."""
    with failures_explained(as_json=as_json):
        if not yes:
            raise ConflictError(
                f"going back to {revision} loses the data that only later revisions have room for",
                hint="make a backup first (`contexten db backup FILE`), then say --yes",
            )
    moved = _with_database(
        lambda config: _move(config, migrate.downgrade, revision), alone_to="downgrade", as_json=as_json
    )
    _print_move(moved, as_json=as_json)


@app.command("check")
def check(as_json: AsJson = False) -> None:
    """Look at revision, tables and integrity; exit with 1 if something is wrong."""
    found = _with_database(check_database, as_json=as_json)
    if as_json:
        print_json(found.as_dict())
    else:
        _print_check(found)
    raise typer.Exit(1 if found.problems else 0)


@app.command("backup")
def backup(
    file: BackupFile,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write all rows into one file, also while the stack works; SQLite and PostgreSQL can be restored from it.

    The file holds raw deliveries and digests of tokens: keep it like the database itself. The secrets of the home are
    not in it.
    """
    manifest = _with_database(lambda config: back_up(config, file, force=force), as_json=as_json)
    if as_json:
        print_json({"file": str(file.absolute()), "bytes": file.stat().st_size, **_summary(manifest)})
        return
    err.print(
        f"{manifest.rows} rows at revision {manifest.revision} are in {escape(str(file))} "
        f"({file.stat().st_size / 1e6:.1f} MB). It is as sensitive as the database."
    )


@app.command("restore")
def restore(
    file: BackupFile,
    replace: Annotated[bool, typer.Option("--replace", help="Remove the rows that are there first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fill an empty database from a backup, and migrate it to the newest revision: all of it, or nothing."""

    def work(config: DatabaseConfig) -> Restored:
        return restore_database(config, file, replace=replace)

    restored = _with_database(work, creating=True, alone_to="restore", as_json=as_json)
    if as_json:
        print_json({"file": str(file.absolute()), **_summary(restored.manifest), "now_at": restored.revision})
        return
    err.print(
        f"{restored.manifest.rows} rows of {restored.manifest.created_at:%Y-%m-%d %H:%M} UTC were restored; "
        f"the database is at revision {restored.revision}."
    )


def _with_database(
    work: Callable[[DatabaseConfig], T], *, creating: bool = False, alone_to: str | None = None, as_json: bool
) -> T:
    """Do something with the database of the stack on this home, or the configured one, or the embedded one alone.

    Args:
        creating: whether an embedded database is made where there is none.
        alone_to: what must not be done while a stack works with the database.
    """
    with failures_explained(as_json=as_json):
        settings = get_settings()
        home = Home(settings.home.absolute())
        state = running_state(settings)
        if state is not None and alone_to:
            raise ConflictError(
                f"a stack works on this home: {state.urls['web']}",
                hint=f"end it first (Ctrl-C, or kill {state.supervisor.pid}), then {alone_to} and start it again",
            )
        embedded = state is None and settings.db.kind is DatabaseKind.EMBEDDED
        if embedded and (creating or (home.postgres / "data").exists()):
            return asyncio.run(_with_embedded(settings, work))
        with _held(home) if alone_to else nullcontext():
            # Not in a loop: an interrupt has to reach the transaction.
            return work(attached(settings).db)
    raise AssertionError("unreachable: failures_explained exits")


@contextmanager
def _held(home: Home) -> Iterator[None]:
    """Keep every stack from starting on this home."""
    home.create()
    with home.lock():
        yield


async def _with_embedded(settings: Settings, work: Callable[[DatabaseConfig], T]) -> T:
    """Run the embedded PostgreSQL, without the rest of the stack, for as long as the work takes."""
    async with opened_stack(settings, say=lambda line: err.print(f"[dim]{escape(line)}[/]")) as builder:
        await builder.start_database()
        return await asyncio.to_thread(work, builder.settings.db)


def _move(config: DatabaseConfig, move: Callable[[DatabaseConfig, str], None], revision: str) -> dict[str, Any]:
    before = migrate.current_revision(config)
    move(config, revision)
    return {"before": before, "revision": migrate.current_revision(config), "newest": migrate.newest_revision()}


def _print_move(moved: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(moved)
    else:
        before, now = moved["before"] or migrate.BASE, moved["revision"] or migrate.BASE
        err.print(f"The database is at revision {now}" + (" already." if now == before else f"; it was at {before}."))


def _print_check(found: DatabaseCheck) -> None:
    print_table(
        "Database",
        ("address", "revision", "newest", "tables", "integrity"),
        [
            (
                escape(found.database),
                found.revision or migrate.BASE,
                found.newest or migrate.BASE,
                "[red]differ[/]" if found.differences else "[green]as the models[/]",
                "[red]damaged[/]" if found.integrity else "[green]whole[/]",
            )
        ],
    )
    for problem in found.problems:
        out.print(f"[red]✗[/] {escape(problem.message)}")
        out.print(f"  [dim]{escape(problem.hint)}[/]")


def _summary(manifest: Manifest) -> dict[str, Any]:
    return {
        "revision": manifest.revision,
        "created_at": manifest.created_at.isoformat(),
        "rows": manifest.rows,
        "tables": {name: contents.rows for name, contents in manifest.tables.items()},
    }
