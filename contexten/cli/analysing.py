"""Where `analyse` and `impact` work: on the running stack's database, the configured one, or a file of their own."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Annotated, Self, TypeVar

import typer

from contexten.cli.output import err, failures_explained
from contexten_core.db import Database, migrate
from contexten_core.errors import GitError
from contexten_core.execution.git import GitMirrors
from contexten_core.settings import DatabaseConfig, DatabaseKind, Settings, get_settings
from deployments.attach import attached, running_state
from deployments.home import Home

T = TypeVar("T")
Repository = Annotated[
    str, typer.Argument(metavar="PATH_OR_REPO", help="A folder, owner/name, or the address of a repository.")
]
Work = Callable[[Database, Settings, GitMirrors, "Progress"], Awaitable[T]]

_OWN_DATABASE = "analysis.db"
_SAID_EVERY_SECONDS = 10.0


class Progress:
    """Says on stderr how far an analysis is: in place on a terminal, and now and then a line anywhere else."""

    def __init__(self) -> None:
        self._status = err.status("[dim]Looking…[/]")
        self._said_at = monotonic()

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def __call__(self, done: int, total: int) -> None:
        text = f"[dim]{done:,} of {total:,} files[/]"
        self._status.update(text)
        if not err.is_terminal and monotonic() - self._said_at > _SAID_EVERY_SECONDS:
            self._said_at = monotonic()
            err.print(text)


def with_analysis(work: Work[T], *, as_json: bool) -> T:
    """Run `work` with a database to keep facts in; the next analysis then reads only what is new."""

    async def main(settings: Settings) -> T:
        database = Database(settings.db)
        try:
            with Progress() as progress:
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
