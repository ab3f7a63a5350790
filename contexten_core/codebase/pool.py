"""Files analysed in processes of their own: on every core, and a grammar that crashes takes one file with it.

A worker is a fresh interpreter on the other end of a socket: nothing of this process is copied into it, whatever
threads or event loops there are here. A process without other threads may ask for copies of itself instead, which need
no time to start. A worker ignores Ctrl-C, and ends when the socket does, however this process ends.
"""

import gc
import logging
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import NamedTuple, Self, cast

from contexten_core.codebase.record import Form, crashed_record, pack_record
from contexten_core.execution.rlimits import lower_limit

logger = logging.getLogger(__name__)

_MOST_WORKERS = 4
_BATCH_FILES = 32
_BATCH_BYTES = 512 * 1024
_BATCH_SECONDS = 60.0
_FILE_SECONDS = 5.0
_END_SECONDS = 5.0
_LOOK_SECONDS = 0.25
_MOST_MEMORY = 3 * 1024**3
# The worker makes many objects and no cycles; looking for cycles often would cost a tenth of its time.
_OBJECTS_BETWEEN_COLLECTIONS = 200_000
_SIZES = struct.Struct(">II")
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from contexten_core.codebase.pool import serve; serve(*sys.argv[2:])"
)
_STANDARD_DESCRIPTORS, _MOST_DESCRIPTORS = 3, 1 << 16


class Item(NamedTuple):
    """A content to analyse; `key` comes back with its record."""

    key: tuple[str, str]
    path: str
    data: bytes


Analysed = tuple[tuple[str, str], bytes]


def analyse_here(items: Iterable[Item], form: Form = Form.WHOLE) -> Iterator[Analysed]:
    """Analyse files in this process, and yield their keys and packed records."""
    for item in items:
        yield item.key, _record(item.path, item.data, form)


def _record(path: str, data: bytes, form: Form) -> bytes:
    try:
        return pack_record(path=path, data=data, form=form)
    except Exception:
        # One file that nobody thought of must not cost the facts of all others.
        logger.exception("the file %r could not be analysed", path)
        return crashed_record(path=path, form=form)


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class AnalysisPool:
    """Worker processes, used as a context manager; leaving the block ends them.

    Args:
        workers: how many; at most 4, of some 70 MB each.
        batch_seconds: how long a worker may take for some files before it is ended, and
        file_seconds: how much longer for each of them.
        form: of the records.
        may_copy: make workers by copying this process, as long as it has no other threads.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        batch_seconds: float = _BATCH_SECONDS,
        file_seconds: float = _FILE_SECONDS,
        form: Form = Form.WHOLE,
        may_copy: bool = False,
    ) -> None:
        self._count = max(1, min(workers or usable_cores(), _MOST_WORKERS))
        self._batch_seconds = batch_seconds
        self.file_seconds = file_seconds
        self._form = form
        self._may_copy = may_copy
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    @property
    def processes(self) -> list[int]:
        """The ids of the workers, once there are any."""
        return [worker.process_id for worker in self._workers]

    def analyse(self, items: Iterable[Item]) -> Iterator[Analysed]:
        """Analyse files, and yield keys and packed records as they come, in no order."""
        if not self._workers:
            self._workers = [self._start() for _ in range(self._count)]
        batches = _batches(items)
        ready: deque[list[Item]] = deque()
        while True:
            # Filled before waiting, so that the next files are read while the workers work.
            ready.extend(islice(batches, max(0, self._count - len(ready))))
            for number, worker in enumerate(self._workers):
                if ready and not worker.batch and not worker.give(ready.popleft()):
                    yield from self._replace(number, ready)
            if not ready and not any(worker.batch for worker in self._workers):
                return
            yield from self._answers(ready)

    def _answers(self, ready: deque[list[Item]]) -> Iterator[Analysed]:
        """Wait for the next answers, and replace workers that are gone or take too long."""
        busy = {worker.connection: number for number, worker in enumerate(self._workers) if worker.batch}
        for connection in wait(list(busy), timeout=_LOOK_SECONDS):
            number = busy[cast(Connection, connection)]
            answer = self._workers[number].take()
            yield from self._replace(number, ready) if answer is None else answer
        for number, worker in enumerate(self._workers):
            if worker.batch and worker.seconds > self._batch_seconds + self.file_seconds * len(worker.batch):
                yield from self._replace(number, ready)

    def _replace(self, number: int, ready: deque[list[Item]]) -> Iterator[Analysed]:
        """End a worker that failed, start another, and see to what it had: a single file is the one to blame."""
        failed = self._workers[number]
        failed.end()
        self._workers[number] = self._start()
        if not failed.is_ready:
            # Interpreters cannot be started here, so no file is to blame.
            yield from analyse_here(failed.batch, self._form)
        elif len(failed.batch) == 1:
            item = failed.batch[0]
            yield item.key, crashed_record(path=item.path, form=self._form)
        else:
            ready.extendleft([item] for item in reversed(failed.batch))

    def _start(self) -> "_Worker":
        process = _copy if self._may_copy and threading.active_count() == 1 else _interpreter
        return _Worker(process, self._form)


class _Process(NamedTuple):
    """A child process; `wait` reaps it within some seconds."""

    pid: int
    wait: Callable[[float], object]


def _interpreter(descriptor: int, form: Form) -> _Process:
    """Start a worker with nothing of this process in it."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _START, str(root), str(descriptor), form],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[descriptor],
        start_new_session=True,
    )
    return _Process(process.pid, process.wait)


def _copy(descriptor: int, form: Form) -> _Process:
    """Start a worker as a copy of this process, which has no other threads."""
    pid = os.fork()
    if pid:
        return _Process(pid, lambda _seconds: os.waitpid(pid, 0))
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in range(_STANDARD_DESCRIPTORS):
            os.dup2(nothing, standard)
        os.closerange(_STANDARD_DESCRIPTORS, descriptor)
        os.closerange(descriptor + 1, _MOST_DESCRIPTORS)
        serve(str(descriptor), form)
    finally:
        # Without the end of an interpreter, which would write and close what belongs to the other process.
        os._exit(0)


class _Worker:
    def __init__(self, start: Callable[[int, Form], _Process], form: Form) -> None:
        self.batch: list[Item] = []
        self.is_ready = False
        self._since = 0.0
        self.connection, theirs = Pipe()
        try:
            self._process = start(theirs.fileno(), form)
        except BaseException:
            self.connection.close()
            raise
        finally:
            theirs.close()
        lower_limit(self._process.pid, resource.RLIMIT_AS, _MOST_MEMORY)

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def seconds(self) -> float:
        """How long it has been at its batch."""
        return monotonic() - self._since

    def give(self, batch: list[Item]) -> bool:
        """Send files to analyse; False when the worker is gone."""
        self.batch, self._since = batch, monotonic()
        try:
            self.connection.send_bytes(_joined([(item.path.encode(), item.data) for item in batch]))
        except OSError:
            return False
        return True

    def take(self) -> list[Analysed] | None:
        """Receive the records of the batch, or none when they are still to come; None when the worker is gone."""
        try:
            answer = self.connection.recv_bytes()
        except (EOFError, OSError):
            return None
        if not self.is_ready:
            self.is_ready = True
            return []
        records = [record for _, record in _split(answer)]
        batch, self.batch = self.batch, []
        return [(item.key, record) for item, record in zip(batch, records, strict=True)]

    def end(self) -> None:
        self.connection.close()
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(_END_SECONDS)


def serve(descriptor: str, form: str) -> None:
    """Analyse what comes over a socket until its other end is closed: the whole life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    connection, kind = Connection(int(descriptor)), Form(form)
    with suppress(EOFError, OSError):
        connection.send_bytes(b"")
        while True:
            files = _split(connection.recv_bytes())
            records = [(b"", _record(path.decode(), data, kind)) for path, data in files]
            connection.send_bytes(_joined(records))


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.data)
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _joined(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(part for one, two in pairs for part in (_SIZES.pack(len(one), len(two)), one, two))


def _split(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start < len(data):
        one, two = _SIZES.unpack_from(data, start)
        start += _SIZES.size
        yield data[start : start + one], data[start + one : start + one + two]
        start += one + two
