"""PostgreSQL processes that outlived their supervisor, found by the data folder they work in."""

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

_SERVER_SECONDS: Final = 10.0
_BACKEND_SECONDS: Final = 2.0


async def end_servers(data: Path) -> tuple[int, ...]:
    """End every PostgreSQL process that works in a data folder: first the server in good order, then stray backends.

    The state file of a supervisor may not know them, and `postmaster.pid` names only the server, while a new server
    refuses to start as long as a single backend of the old one is alive.

    Returns:
        The process ids that were ended.

    Raises:
        StackError: one of them cannot be ended.
    """
    found = _processes_in(data)
    pids = {process.pid for process in found}
    servers = [process for process in found if _parent(process.pid) not in pids]
    for process in (*servers, *(process for process in found if process not in servers)):
        is_server = process in servers
        survivors = await end(
            process,
            signals=STOP_SIGNALS if is_server else (Signals.SIGQUIT,),
            patience=_SERVER_SECONDS / 2 if is_server else _BACKEND_SECONDS,
            within=_SERVER_SECONDS if is_server else _BACKEND_SECONDS,
        )
        if survivors:
            raise StackError(
                f"A PostgreSQL process still uses {data} and cannot be ended (pid {process.pid})",
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
