"""Where verified deliveries wait while the database is away: files of this machine, safe on disk before the answer.

A spool is a folder of segments. Each belongs to the process that holds its lock and is written at its end only; a
segment whose process is gone is taken over by the next one. A record is framed by its length and checksum, so that one
that was being written when the process was killed is known for what it is. Nobody was told that it is kept.
"""

import fcntl
import logging
import os
import stat
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import UUID

from contexten_core.errors import ConfigurationError, OverloadedError, UnavailableError
from contexten_core.events.models import EventProvider
from contexten_core.execution.private_folder import private_folder

logger = logging.getLogger(__name__)

_FRAME: Final = struct.Struct(">II")
_MARK_LENGTH: Final = 32
_ID_LENGTH: Final = 16
_HEAD_LENGTH: Final = _MARK_LENGTH + _ID_LENGTH
_SEGMENT_BYTES: Final = 64 * 1024**2
_SUFFIX: Final = ".spool"
_DAMAGED: Final = ".damaged"
_OTHERS: Final = 0o077


def mark_of(provider: EventProvider, digest: str) -> bytes:
    """Return what tells one delivery from every other, and nothing else about it."""
    return sha256(f"{provider.value}:{digest}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Record:
    """One delivery on disk; `content` is whatever whoever wrote it can read."""

    mark: bytes
    event_id: UUID
    content: bytes


@dataclass(slots=True)
class _Segment:
    """One file. `end` is where what is durable ends, `position` where reading goes on."""

    path: Path
    descriptor: int
    end: int = 0
    position: int = 0
    waiting: int = 0
    is_damaged: bool = False
    marks: dict[bytes, UUID] = field(default_factory=dict)


class Spool:
    """What this process has in the spool, its own segments and those it took over. Blocks; safe to use from threads.

    Nothing is made on disk before the first record.

    Args:
        folder: private to this account; made when it is needed.
        most_bytes: more than that is not taken.
    """

    def __init__(self, folder: Path, *, most_bytes: int, segment_bytes: int = _SEGMENT_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._segment_bytes = segment_bytes
        # Replaced as a whole, so that it can be looked at without waiting for the disk.
        self._segments: tuple[_Segment, ...] = ()
        self._active: _Segment | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many records have not been taken away."""
        return sum(segment.waiting for segment in self._segments)

    def find(self, mark: bytes) -> UUID | None:
        """Return the event under which a delivery waits here."""
        found = (segment.marks.get(mark) for segment in self._segments)
        return next((event_id for event_id in found if event_id is not None), None)

    def adopt(self) -> int:
        """Take over the segments whose process is gone; returns how many records they hold."""
        with self._lock:
            if not self._folder.is_dir():
                return 0
            _make_private(self._folder)
            taken = [found for path in sorted(self._folder.glob(f"*{_SUFFIX}")) if (found := _take_over(path))]
            self._segments = (*self._segments, *taken)
        return sum(segment.waiting for segment in taken)

    def append(self, records: Sequence[Record]) -> None:
        """Write records at the end, and return when they are on disk.

        Raises:
            OverloadedError: there is no room for them. None of them is kept.
            UnavailableError: it is closed.
            ConfigurationError: the folder is not this account's alone.
            OSError: the disk does not take them. None of them is kept.
        """
        frames = b"".join(map(_framed, records))
        with self._lock:
            if self._is_closed:
                raise UnavailableError("the spool is closed", hint="deliver it again", transient=True)
            if sum(segment.end for segment in self._segments) + len(frames) > self._most_bytes:
                raise OverloadedError(
                    f"the spool has reached its {self._most_bytes} bytes, and the database is away",
                    hint="see why the database does not answer; SPOOL_BYTES gives the spool more room",
                    transient=True,
                )
            segment = self._open_segment()
            _append(segment, frames)
            segment.waiting += len(records)
            segment.marks |= {record.mark: record.event_id for record in records}

    def read(self, *, most: int, most_bytes: int) -> list[Record]:
        """Return the oldest records, at least one where there is one; they stay until `remove` is called."""
        with self._lock:
            self._drop_emptied()
            while self._segments:
                segment = self._segments[0]
                found: list[Record] = []
                for record, end in _records(segment):
                    if len(found) == most or (found and end - segment.position > most_bytes):
                        break
                    found.append(record)
                if found:
                    return found
                segment.is_damaged, segment.waiting = True, 0
                self._drop_emptied()
        return []

    def remove(self, records: Sequence[Record]) -> None:
        """Take away the oldest records, which `read` returned and which are stored elsewhere now."""
        with self._lock:
            segment = self._segments[0]
            for record in records:
                segment.position += _FRAME.size + _HEAD_LENGTH + len(record.content)
                segment.waiting -= 1
            self._drop_emptied()

    def keep_aside(self) -> None:
        """Keep the file of the oldest records for a person to look at, whatever becomes of the others in it."""
        with self._lock:
            if self._segments:
                self._segments[0].is_damaged = True

    def close(self) -> None:
        """Let go of everything; what waits is there for the next process."""
        with self._lock:
            self._drop_emptied()
            self._is_closed = True
            left, self._segments, self._active = self._segments, (), None
            for segment in left:
                os.close(segment.descriptor)

    def _open_segment(self) -> _Segment:
        active = self._active
        if active is None or active.end >= self._segment_bytes:
            _make_private(self._folder)
            path = self._folder / f"{time.time_ns():020d}-{os.getpid()}{_SUFFIX}"
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(path, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _sync_folder(self._folder)
            except OSError:
                os.close(descriptor)
                path.unlink(missing_ok=True)
                raise
            active = self._active = _Segment(path, descriptor)
            self._segments = (*self._segments, active)
        return active

    def _drop_emptied(self) -> None:
        """Remove the files of which everything has been taken away."""
        while self._segments and self._segments[0].waiting == 0:
            segment, *left = self._segments
            self._segments = tuple(left)
            if segment is self._active:
                self._active = None
            if segment.is_damaged:
                segment.path.rename(segment.path.with_suffix(_DAMAGED))
                logger.error("the spool %s cannot be read to its end; it is kept as %s", segment.path.name, _DAMAGED)
            else:
                segment.path.unlink(missing_ok=True)
            os.close(segment.descriptor)


def _make_private(folder: Path) -> None:
    try:
        private_folder(folder)
    except ConfigurationError as error:
        hint = "make it this account's alone (0700), or set CONTEXTEN_HOME to a folder of your own"
        raise ConfigurationError(error.message, hint=hint) from error


def _framed(record: Record) -> bytes:
    content = record.mark + record.event_id.bytes + record.content
    return _FRAME.pack(len(content), zlib.crc32(content)) + content


def _append(segment: _Segment, frames: bytes) -> None:
    """Write frames behind what is durable, all or none."""
    view, position = memoryview(frames), segment.end
    try:
        while view:
            written = os.pwrite(segment.descriptor, view, position)
            view, position = view[written:], position + written
        os.fdatasync(segment.descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(segment.descriptor, segment.end)
        raise
    segment.end = position


def _take_over(path: Path) -> _Segment | None:
    """Open a segment that nobody holds; None when somebody does, or did until it was removed."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        logger.warning("the spool %s cannot be opened: %s", path.name, error.strerror)
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    found = os.fstat(descriptor)
    is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & _OTHERS
    if found.st_nlink != 1 or not is_ours:
        os.close(descriptor)
        return None
    segment = _Segment(path, descriptor, end=found.st_size)
    end = 0
    for record, end in _records(segment):  # noqa: B007 - where the last one ends is needed below
        segment.waiting += 1
        segment.marks[record.mark] = record.event_id
    segment.is_damaged = _is_damaged(segment, end)
    segment.end = end
    return segment


def _records(segment: _Segment) -> Iterator[tuple[Record, int]]:
    """Read on, to the first frame that is not whole; yields each record and where it ends."""
    position = segment.position
    while (frame := _frame_at(segment, position)) is not None:
        length, checksum = frame
        content = os.pread(segment.descriptor, length, position + _FRAME.size)
        if len(content) != length or zlib.crc32(content) != checksum:
            return
        position += _FRAME.size + length
        mark, event_id = content[:_MARK_LENGTH], content[_MARK_LENGTH:_HEAD_LENGTH]
        yield Record(mark, UUID(bytes=event_id), content[_HEAD_LENGTH:]), position


def _frame_at(segment: _Segment, position: int) -> tuple[int, int] | None:
    head = os.pread(segment.descriptor, _FRAME.size, position)
    if len(head) < _FRAME.size:
        return None
    length, checksum = _FRAME.unpack(head)
    is_whole = length >= _HEAD_LENGTH and position + _FRAME.size + length <= segment.end
    return (length, checksum) if is_whole else None


def _is_damaged(segment: _Segment, end: int) -> bool:
    """Tell whether the frame that cannot be read, if there is one, was whole once: a whole one stands behind it."""
    frame = _frame_at(segment, end)
    if frame is None:
        return False
    following = _Segment(segment.path, segment.descriptor, end=segment.end, position=end + _FRAME.size + frame[0])
    return next(_records(following), None) is not None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
