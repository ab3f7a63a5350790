"""PostgreSQL processes that outlived their supervisor, found by the data folder they work in."""

import asyncio
import os
from pathlib import Path
from signal import Signals
from typing import Final

import psutil

from contexten_core.errors import StackError
from deployments.ending import end
from deployments.postgres_socket import SOCKET_NAME
from deployments.process_table import ProcessId

STOP_SIGNALS: Final = (Signals.SIGINT, Signals.SIGQUIT)

_PATIENCE_SECONDS: Final = 5.0
_WITHIN_SECONDS: Final = 10.0


async def end_servers(data: Path) -> tuple[int, ...]:
    """End every PostgreSQL process that works in a data folder, in good order if possible.

    The state file of a supervisor may not know them, and `postmaster.pid` names only the server, while a new server
    refuses to start as long as a single backend of the old one is alive.

    Returns:
        The process ids that were ended.

    Raises:
        StackError: one of them cannot be ended.
    """
    found = _processes_in(data)
    pids = {process.pid for process in found}
    # A server, or backends that have lost theirs; the other processes end with the server.
    leaders = [process for process in found if _parent(process.pid) not in pids]
    survivors = await asyncio.gather(
        *(end(leader, signals=STOP_SIGNALS, patience=_PATIENCE_SECONDS, within=_WITHIN_SECONDS) for leader in leaders)
    )
    if stuck := frozenset[ProcessId]().union(*survivors):
        raise StackError(
            f"PostgreSQL still uses {data} and cannot be ended (pid {', '.join(str(each.pid) for each in stuck)})",
            hint="It is probably stuck in a system call; wait for it, or restart the machine.",
            transient=True,
        )
    return tuple(process.pid for process in found)


def remove_stale_files(data: Path, *, socket: Path) -> None:
    """Remove what a killed server leaves behind and a new one may stumble over when its pid was given away again."""
    (data / "postmaster.pid").unlink(missing_ok=True)
    (socket / SOCKET_NAME).unlink(missing_ok=True)
    (socket / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)


def _processes_in(data: Path) -> list[ProcessId]:
    if not data.exists():
        return []
    candidates = [process for process in psutil.process_iter(["name"]) if process.info["name"] == "postgres"]
    identified = (ProcessId.of(process.pid) for process in candidates if _works_in(process, data))
    return [process for process in identified if process is not None]


def _works_in(process: psutil.Process, data: Path) -> bool:
    try:
        # In a mount namespace of its own the name of the folder differs; the folder does not.
        folder = f"/proc/{process.pid}/cwd" if psutil.LINUX else process.cwd()
        return os.path.samestat(os.stat(folder), data.stat())  # noqa: PTH116 - a path in /proc that must not be resolved
    except (OSError, psutil.Error):
        return False


def _parent(pid: int) -> int | None:
    try:
        return psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:
        return None
