"""Where PostgreSQL runs: as which account, with whose programs, and how it gets to its folder."""

import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from contexten_core.errors import StackError
from deployments.child import Account, PrivateMount
from deployments.postgres_binaries import ENTER, copy_wheel, find_binaries, reachable, runnable

ELSEWHERE: Final = (
    "Set CONTEXTEN_HOME to a folder that other accounts can reach, such as /var/lib/contexten, "
    "or use another database: DB_HOST for a server, DB_USE_SQLITE=true for SQLite."
)

# `postgres` exists to own databases; `nobody` is shared by whatever has no account of its own.
_ACCOUNTS: Final = ("postgres", "_postgres", "nobody")
_NEUTRAL_FOLDERS: Final = tuple(map(Path, ("/mnt", "/media", "/srv", "/opt")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How the server gets at its files.

    Attributes:
        folder: holds its data and its socket; an absolute path without symbolic links.
        binaries: the folder with its programs.
        account: whom it runs as, or None for our own account.
        mount: what makes `folder` reachable for that account, or None.
    """

    folder: Path
    binaries: Path
    account: Account | None
    mount: PrivateMount | None

    def seen(self, path: Path) -> str:
        """A path as the server sees it."""
        if self.mount is not None and path.is_relative_to(self.folder):
            return str(self.mount.target / path.relative_to(self.folder))
        return str(path)

    def give(self, folder: Path) -> None:
        """Make a folder, if need be, and let the server's account own it."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.account is not None:
            os.chown(folder, self.account.uid, self.account.gid, follow_symlinks=False)


def find_place(folder: Path, *, data: Path, binaries: Path | None) -> Place:
    """Decide how to run PostgreSQL here; copies the programs of the wheel when the account cannot reach them.

    Args:
        folder: the server's own folder.
        data: the data folder in it, which may not exist yet; an existing one keeps its account.
        binaries: the folder with the programs to use, or None for those of the wheel.

    Raises:
        StackError: there is no way, with what to do instead as its hint.
    """
    folder, programs = folder.resolve(), find_binaries(binaries)
    if os.geteuid() != 0:
        return Place(folder=folder, binaries=programs, account=None, mount=None)
    account = _account_for(data)
    if not runnable(programs, account):
        programs = copy_wheel(programs, into=folder / "binaries")
    mount = None
    if not reachable(folder, account, bits=ENTER):
        mount = PrivateMount(source=folder, target=_neutral_folder(account, away_from=programs, unless_in=folder))
    return Place(folder=folder, binaries=programs, account=account, mount=mount)


def _account_for(data: Path) -> Account:
    if data.exists():
        owner = data.stat()
        if owner.st_uid == 0:
            raise StackError(
                f"The database in {data} belongs to root, and PostgreSQL refuses to run as root",
                hint=f"Give it back to the account that it belonged to: chown -R ACCOUNT {data}",
            )
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    for name in _ACCOUNTS:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise StackError(
        f"PostgreSQL refuses to run as root, and there is no account to run it as ({', '.join(_ACCOUNTS)})",
        hint=f"Run contexten as an ordinary user. {ELSEWHERE}",
    )


def _neutral_folder(account: Account, *, away_from: Path, unless_in: Path) -> Path:
    """Pick a folder that the mount may cover for the server: reachable, and without the programs in it."""
    hidden = f"The account that PostgreSQL runs as (uid {account.uid}) may not enter the folders above {unless_in}"
    if not psutil.LINUX:
        raise StackError(f"{hidden}, and only Linux can show it that folder elsewhere", hint=ELSEWHERE)
    for candidate in _NEUTRAL_FOLDERS:
        if not candidate.is_dir() or candidate.is_symlink() or not reachable(candidate, account, bits=ENTER):
            continue
        if away_from.is_relative_to(candidate) and not away_from.is_relative_to(unless_in):
            continue
        return candidate
    raise StackError(f"{hidden}, and none of {', '.join(map(str, _NEUTRAL_FOLDERS))} can stand in", hint=ELSEWHERE)
