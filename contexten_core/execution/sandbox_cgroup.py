"""Control groups, in which the kernel itself limits the processes of a command; for services that run as root."""

import os
import secrets
import signal
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Self

_PREFIX = "contexten-"
_REMOVAL_SECONDS = 2.0
_PAUSE_SECONDS = 0.01


class ControlGroup:
    """A group of one command's processes. They and their children cannot leave it, unless they are root and try to.

    Args:
        folder: where the kernel shows it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def make(cls, *, processes: int) -> Self | None:
        """Make a group for so many processes and threads, or return None where this account cannot."""
        parent = _parent()
        if parent is None:
            return None
        group = cls(parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}")
        try:
            group._folder.mkdir()
            (group._folder / "pids.max").write_text(str(processes))
        except OSError:
            group.remove()
            return None
        return group

    def add(self, pid: int) -> None:
        """Put a process into the group; takes some milliseconds.

        Raises:
            OSError: it cannot be put there.
        """
        (self._folder / "cgroup.procs").write_text(str(pid))

    def kill(self) -> int:
        """Kill all processes of the group, and return how many they were. No new ones can start any more."""
        for name, value in (("pids.max", "0"), ("cgroup.kill", "1")):
            if (self._folder / name).exists():
                with suppress(OSError):
                    (self._folder / name).write_text(value)
        pids = self.pids()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def remove(self) -> bool:
        """Take the group away once it is empty, and tell whether that was possible."""
        deadline = time.monotonic() + _REMOVAL_SECONDS
        while True:
            try:
                self._folder.rmdir()
            except FileNotFoundError:
                return True
            except OSError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(_PAUSE_SECONDS)
            else:
                return True

    def pids(self) -> list[int]:
        """List the processes in the group."""
        try:
            return [int(line) for line in (self._folder / "cgroup.procs").read_text().split()]
        except OSError:
            return []


@cache
def _parent() -> Path | None:
    """Find where groups can be made, and remove those of services that are gone."""
    if os.geteuid() != 0:
        return None
    try:
        parent = _own_folder()
        if parent is None:
            return None
        for left in parent.glob(f"{_PREFIX}*"):
            _remove_abandoned(left)
        if (parent / "cgroup.subtree_control").exists():
            # Refused where processes are in the parent itself; then the trial shows it.
            with suppress(OSError):
                (parent / "cgroup.subtree_control").write_text("+pids")
        trial = parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        trial.mkdir()
    except OSError:
        return None
    try:
        return parent if (trial / "pids.max").exists() else None
    finally:
        ControlGroup(trial).remove()


def _own_folder() -> Path | None:
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    mine = {kind: path for _, kinds, path in lines for kind in kinds.split(",")}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, place = before.split()[3:5]
        kind, _, options = after.split()[:3]
        path = mine.get("pids" if kind == "cgroup" else "")
        is_it = kind == "cgroup2" if "pids" not in mine else kind == "cgroup" and "pids" in options.split(",")
        if is_it and path is not None:
            inside = path.removeprefix(root).lstrip("/") if root != "/" else path.lstrip("/")
            return Path(place) / inside
    return None


def _remove_abandoned(folder: Path) -> None:
    owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
    if owner.isdigit() and not Path(f"/proc/{owner}").exists():
        group = ControlGroup(folder)
        while group.kill():
            time.sleep(_PAUSE_SECONDS)
        group.remove()
