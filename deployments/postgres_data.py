"""PostgreSQL's data folder: made once, and checked against the programs before each start."""

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from signal import Signals
from typing import Final

import psutil

from contexten_core.errors import StackError
from deployments.bounded_log import BoundedLog
from deployments.child import Account, Child
from deployments.postgres_leftovers import end_servers
from deployments.postgres_place import ELSEWHERE, Place
from deployments.process import run_to_end

ENV: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

_VERSION_SECONDS: Final = 15.0
_INITDB_SECONDS: Final = 120.0
_BUILTIN_LOCALES_SINCE: Final = 17


async def programs_version(place: Place, *, log: Path) -> int:
    """The programs' major version; to tell it, they are run just as the server will be.

    Raises:
        StackError: they cannot be run there.
    """
    try:
        said = await _run(place, "postgres", "--version", log=log, within=_VERSION_SECONDS)
    except StackError as error:
        raise StackError(
            f"PostgreSQL cannot be run for {place.folder}: {error.message}", hint=f"{error.hint}\n{ELSEWHERE}"
        ) from error
    found = re.search(r"PostgreSQL\) (\d+)", said)
    if found is None:
        raise StackError(f"{place.binaries}/postgres does not tell a PostgreSQL version: {said}", hint=ELSEWHERE)
    return int(found[1])


def check_version(data: Path, *, programs: int) -> None:
    """Make sure that an existing data folder is one, and of the programs' version.

    Raises:
        StackError: it is not.
    """
    if not data.exists():
        return
    try:
        version = int((data / "PG_VERSION").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError) as error:
        raise StackError(
            f"{data} is not the data folder of a PostgreSQL", hint="Restore it from a backup, or move it away."
        ) from error
    if version != programs:
        raise StackError(
            f"The database in {data} is of PostgreSQL {version}, the programs are PostgreSQL {programs}",
            hint=f"Set CONTEXTEN_POSTGRES_BIN to the bin folder of a PostgreSQL {version}. To move to {programs}, "
            "dump the databases with the old version and restore them into a new home.",
        )


async def make_data(place: Place, data: Path, *, version: int, admin: str, password: str, log: Path) -> None:
    """Make a data folder with scram passwords, checksums, UTF-8 and a locale that is the same on every machine.

    It is made and synced under another name first: one that was interrupted is never taken for a finished one.

    Args:
        place: how to run the programs.
        data: the folder; must not exist.
        version: the programs' major version.
        admin: the superuser's name.
        password: the superuser's password; no file ever holds it.
        log: what the programs print.

    Raises:
        StackError: initdb fails.
    """
    unfinished = data.with_name(f"{data.name}.unfinished")
    await end_servers(unfinished)
    if unfinished.exists():
        await asyncio.to_thread(shutil.rmtree, unfinished)
    place.give(unfinished)
    locale = ["--locale=C"]
    if version >= _BUILTIN_LOCALES_SINCE:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    with _spoken(password, place.account) as stdin:
        await _run(
            place,
            "initdb",
            f"--pgdata={place.seen(unfinished)}",
            f"--username={admin}",
            "--pwfile=/dev/stdin",
            "--auth-local=scram-sha-256",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--data-checksums",
            "--no-instructions",
            *locale,
            log=log,
            within=_INITDB_SECONDS,
            stdin=stdin,
        )
    unfinished.rename(data)
    _sync(data.parent)


async def _run(
    place: Place,
    program: str,
    *arguments: str,
    log: Path,
    within: float,
    stdin: int = asyncio.subprocess.DEVNULL,
) -> str:
    command = Child(
        name=program,
        argv=(place.seen(place.binaries / program), *arguments),
        env=ENV,
        cwd=Path("/"),
        log=log,
        stop_signals=(Signals.SIGKILL,),
        account=place.account,
        mount=place.mount,
    )
    with closing(BoundedLog(log)) as output:
        await run_to_end(command, log=output, within=within, stdin=stdin)
        return output.tail()


@contextmanager
def _spoken(text: str, account: Account | None) -> Iterator[int]:
    """A pipe from which one line can be read, once."""
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "w", encoding="utf-8") as pipe:
            pipe.write(f"{text}\n")
        # Linux opens /dev/stdin anew, with the rights of the account.
        if account is not None and psutil.LINUX:
            os.fchown(reader, account.uid, account.gid)
        yield reader
    finally:
        os.close(reader)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
