"""CONTEXTEN_HOME: the folders of a stack, its secrets, its state file, and the lock that lets one stack have it."""

import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contexten_core.errors import ConfigurationError, StackError
from deployments.state import StackState

_PRIVATE: Final = 0o700
_PASSAGE: Final = 0o711
_SECRET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_LARGEST_SECRET: Final = 4096
_LARGEST_STATE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds all of a stack's state.

    Attributes:
        root: an absolute path; made by `create`.
    """

    root: Path

    def __post_init__(self) -> None:
        if not self.root.is_absolute():
            raise ConfigurationError(
                f"The home {self.root} is not an absolute path", hint="Set CONTEXTEN_HOME to an absolute path."
            )

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def prefect(self) -> Path:
        return self.root / "prefect"

    @property
    def mirrors(self) -> Path:
        return self.root / "mirrors"

    @property
    def checkouts(self) -> Path:
        return self.root / "checkouts"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def demo(self) -> Path:
        return self.root / "demo"

    @property
    def state_file(self) -> Path:
        return self.run / "stack.json"

    @property
    def lock_file(self) -> Path:
        return self.run / "serve.lock"

    def log(self, name: str) -> Path:
        """The log file of the child with this name."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Make the folders that are missing, private to this account; those that exist keep their permissions.

        For root, the home and its `postgres` folder let other accounts pass through (0711): PostgreSQL refuses to run
        as root, and its account has to get to its data.

        Raises:
            StackError: a folder cannot be made.
        """
        passage = _PASSAGE if os.geteuid() == 0 else _PRIVATE
        private = (self.prefect, self.mirrors, self.checkouts, self.logs, self.secrets, self.run, self.demo)
        try:
            for folder in reversed((self.root, *self.root.parents)):
                _make(folder, passage)
            _make(self.postgres, passage)
            for folder in private:
                _make(folder, _PRIVATE)
        except OSError as error:
            raise StackError(
                f"The home {self.root} cannot be made: {error}",
                hint="Set CONTEXTEN_HOME to a folder that this account may write to.",
            ) from error

    def secret(self, name: str) -> str:
        """Return a random secret, made on the first call for that name and kept in a 0600 file.

        Safe with several processes calling at once: all get the same one.

        Raises:
            StackError: the file is open to other accounts, or empty.
        """
        if not _SECRET_NAME.fullmatch(name):
            raise ValueError(f"not the name of a secret: {name!r}")
        path = self.secrets / name
        if not path.exists():
            _create_once(path, secrets.token_urlsafe(32))
        return _read_secret(path)

    def write_state(self, state: StackState) -> None:
        """Replace the state file (0600) as a whole; a reader sees the old one or the new one."""
        with _scratch(self.run, state.to_json()) as scratch:
            scratch.replace(self.state_file)

    def read_state(self) -> StackState | None:
        """Return what the last supervisor wrote, or None when it ended in good order (or never ran).

        Raises:
            StackError: the file is damaged.
        """
        try:
            with self.state_file.open(encoding="utf-8") as file:
                return StackState.from_json(file.read(_LARGEST_STATE))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StackError(
                f"The state file {self.state_file} is damaged: {error}",
                hint="End what is left of the last `contexten serve`, if anything, then remove that file.",
            ) from error

    def clear_state(self) -> None:
        """Remove the state file: the stack has ended in good order."""
        self.state_file.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this home for one stack. Released when left, or by the system however this process ends.

        Children do not inherit it, so that no orphan can keep the home locked.

        Raises:
            StackError: another process holds it, or it belongs to another account.
        """
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StackError(
                f"The home {self.root} cannot be locked: {error}",
                hint="If it belongs to another account, set CONTEXTEN_HOME to a folder of your own.",
            ) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise self._already_held(os.pread(descriptor, 32, 0)) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _already_held(self, holder: bytes) -> StackError:
        pid = holder.decode(errors="replace").strip() or "unknown"
        state = self.read_state()
        url = state.urls.get("web") if state is not None and str(state.supervisor.pid) == pid else None
        where = "it is still starting" if url is None else f"it serves {url}"
        return StackError(
            f"Another contexten serve (pid {pid}) uses the home {self.root}: {where}",
            hint=f"Use that one, or end it (kill {pid}), or give this one its own home in CONTEXTEN_HOME.",
        )


def _make(folder: Path, mode: int) -> None:
    if folder.exists():
        return
    # Another process may make it at the same moment, as two serves that start together do.
    with suppress(FileExistsError):
        folder.mkdir(mode=_PRIVATE)
        folder.chmod(mode)


def _create_once(path: Path, text: str) -> None:
    with _scratch(path.parent, text) as scratch, suppress(FileExistsError):
        path.hardlink_to(scratch)


def _read_secret(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, encoding="utf-8") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        text = file.read(_LARGEST_SECRET).strip()
    if mode & 0o077:
        raise StackError(f"The secret {path} is open to other accounts ({mode:o})", hint=f"chmod 600 {path}")
    if not text:
        raise StackError(f"The secret {path} is empty", hint="Restore it from a backup.")
    return text


@contextmanager
def _scratch(folder: Path, text: str) -> Iterator[Path]:
    """A 0600 file with that text, safely on disk, that is removed at the end unless it was moved away."""
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".new-")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)
