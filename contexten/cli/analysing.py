"""Where `analyse` and `impact` work: on the running stack's database, the configured one, or a file of their own.

Where no stack runs and no database is configured, a folder is analysed without a database; see `codebase.local`.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from contexten.cli.output import failures_explained
from contexten_core.codebase.local import LocalCodebase
from contexten_core.errors import GitError
from contexten_core.settings import DatabaseConfig, DatabaseKind, Settings, get_settings
from deployments.home import Home

if TYPE_CHECKING:
    from contexten_core.db import Database
    from contexten_core.execution.git import GitMirrors

T = TypeVar("T")
Repository = Annotated[
    str, typer.Argument(metavar="PATH_OR_REPO", help="A folder, owner/name, or the address of a repository.")
]
Progress = Callable[[int, int], None]
Work = Callable[["Database", Settings, "GitMirrors", Progress], Awaitable[T]]

_OWN_DATABASE = "analysis.db"
_OWN_FOLDER = "analysis"
_SAID_EVERY_SECONDS = 10.0
_SHOWN_EVERY_SECONDS = 0.1
_START_OF_LINE = "\r\x1b[K"


@contextmanager
def progress_shown() -> Iterator[Progress]:
    """Say on stderr how far an analysis is: in place on a terminal, and now and then a line anywhere else."""
    is_screen = sys.stderr.isatty()
    pause = _SHOWN_EVERY_SECONDS if is_screen else _SAID_EVERY_SECONDS
    said_at = monotonic()

    def say(done: int, total: int) -> None:
        nonlocal said_at
        if monotonic() - said_at > pause:
            said_at = monotonic()
            text = f"{done:,} of {total:,} files"
            typer.echo(f"{_START_OF_LINE}{text}" if is_screen else text, err=True, nl=not is_screen)

    try:
        yield say
    finally:
        if is_screen:
            typer.echo(_START_OF_LINE, err=True, nl=False)


@contextmanager
def local_codebase(given: str) -> Iterator[LocalCodebase | None]:
    """Yield the codebase of a folder, or None for what is not here, and where a database is to keep the facts.

    Raises:
        GitError: the folder is in no repository.
    """
    name, settings = repository_name(given), get_settings()
    home = Home(settings.home.absolute())
    if not Path(name).is_absolute() or settings.db.kind is not DatabaseKind.EMBEDDED or home.read_state() is not None:
        yield None
        return
    home.create()
    with progress_shown() as progress:
        yield LocalCodebase(name, home.root / _OWN_FOLDER, progress=progress)


def with_analysis(work: Work[T], *, as_json: bool) -> T:
    """Run `work` with a database to keep facts in; the next analysis then reads only what is new."""
    from contexten_core.db import Database
    from contexten_core.execution.git import GitMirrors

    async def main(settings: Settings) -> T:
        database = Database(settings.db)
        try:
            with progress_shown() as progress:
                return await work(database, settings, GitMirrors(settings.mirrors), progress)
        finally:
            await database.close()

    with failures_explained(as_json=as_json):
        return asyncio.run(main(_settings()))
    raise AssertionError("unreachable: failures_explained exits")


def repository_name(given: str) -> str:
    """Return what a person means: the repository around a folder that exists, or else the name or address itself.

    Raises:
        GitError: there is such a folder, or it looks like one, and it is in no repository.
    """
    folder = Path(given).expanduser()
    if not folder.exists():
        if given.startswith(("/", ".", "~")):
            raise GitError(f"there is no folder {given}", hint="Give a folder, owner/name, or an address.")
        return given
    folder = folder.resolve()
    for above in (folder, *folder.parents):
        if (above / ".git").exists() or all((above / part).exists() for part in ("HEAD", "objects", "refs")):
            return str(above)
    raise GitError(f"{folder} is in no git repository", hint="Only commits are analysed; `git init` makes one.")


def _settings() -> Settings:
    from contexten_core.db import migrate
    from deployments.attach import attached, running_state

    settings = get_settings()
    Home(settings.home.absolute()).create()
    if running_state(settings) is not None:
        return attached(settings)
    settings = settings.model_copy(deep=True)
    if settings.db.kind is DatabaseKind.EMBEDDED:
        own = settings.home.absolute() / _OWN_DATABASE
        own.touch(mode=0o600)
        settings.db = DatabaseConfig(use_sqlite=True, sqlite_path=own)
        migrate.upgrade(settings.db)
    elif migrate.current_revision(settings.db) is None:
        migrate.upgrade(settings.db)
    return settings
