"""A lock between the threads of every process of this machine, held on a file."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contexten_core.errors import GitError

_POLL_SECONDS = 0.05


@contextmanager
def file_lock(path: Path, *, what: str, timeout_seconds: float) -> Iterator[int]:
    """Hold `path`, which locks `what`, exclusively inside the block and yield its file descriptor.

    A child that inherits the descriptor keeps the lock when this process is killed, until the child has ended too.

    Raises:
        GitError: transient; somebody else held the lock for longer than `timeout_seconds`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + timeout_seconds
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise GitError(
                    f"{what} was in use for more than {timeout_seconds:g} s",
                    hint="Another fetch of the same repository is still running; try again later.",
                    transient=True,
                )
            time.sleep(_POLL_SECONDS)
        try:
            yield descriptor
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
