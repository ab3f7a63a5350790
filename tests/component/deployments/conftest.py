"""Every test here has to leave no process behind, not even one that escaped from its session."""

import ctypes
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from deployments.home import Home

_PR_SET_CHILD_SUBREAPER = 36
_GRACE_SECONDS = 3.0


@pytest.fixture(autouse=True)
def _no_process_left_behind() -> Iterator[None]:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    _adopt_orphans(adopt=True)
    yield
    deadline = time.monotonic() + _GRACE_SECONDS
    while (left := _running_children(before)) and time.monotonic() < deadline:
        time.sleep(0.02)
    _adopt_orphans(adopt=False)
    told = [str(child) for child in left]
    for child in left:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    assert told == []


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """The usual folder, but removed afterwards: a database takes 40 MB."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in a folder that only its owner may enter, as pytest's temporary folders are."""
    tmp_path.chmod(0o700)
    home = Home(tmp_path / "home")
    home.create()
    return home


def _running_children(before: set[int]) -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.pid not in before and _runs(child)]


def _runs(child: psutil.Process) -> bool:
    try:
        if child.status() != psutil.STATUS_ZOMBIE:
            return True
        if child.ppid() == os.getpid():
            os.waitpid(child.pid, os.WNOHANG)
    except psutil.NoSuchProcess:
        # Its parent has waited for it meanwhile.
        return False
    return False


def _adopt_orphans(*, adopt: bool) -> None:
    """Orphans become our children, so that none can hide from the count (Linux)."""
    if sys.platform == "linux":
        assert ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(adopt)) == 0
