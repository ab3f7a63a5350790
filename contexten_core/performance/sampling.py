"""What the machine is doing at the moment, read with psutil without waiting for anything."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from contexten_core.db import utc_now
from contexten_core.performance.ledger import Reading
from contexten_core.performance.tally import Key, Metric

_COSTLY_SECONDS = 0.02
_LOOKS_SKIPPED = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of the machine, and of this process on it, at one moment.

    Attributes:
        cpu_percent: of all cores, since the sample before; the first one covers the time since the machine started.
        disk_percent: of the disk that holds the stack's state.
        connections: open TCP connections of this process; None where the system does not tell.
        network_sent_bytes: of all interfaces since the machine started, as the three after it; None without any.
        network_sent_rate: bytes per second since the sample before, as the three after it; None in the first one.
        process_memory_bytes: what this process keeps in memory.
    """

    taken_at: datetime
    cpu_percent: float
    memory_percent: float
    memory_available_bytes: int
    disk_percent: float
    connections: int | None
    network_sent_bytes: int | None
    network_received_bytes: int | None
    disk_read_bytes: int | None
    disk_written_bytes: int | None
    network_sent_rate: float | None
    network_received_rate: float | None
    disk_read_rate: float | None
    disk_written_rate: float | None
    process_memory_bytes: int

    def readings(self) -> Sequence[Reading]:
        """Return what of it is added up over time."""
        values = {
            Metric.CPU: self.cpu_percent,
            Metric.MEMORY: self.memory_percent,
            Metric.DISK: self.disk_percent,
            Metric.SENT: self.network_sent_rate,
            Metric.RECEIVED: self.network_received_rate,
            Metric.CONNECTIONS: self.connections,
        }
        return [Reading(Key(metric), value) for metric, value in values.items() if value is not None]


@dataclass(frozen=True, slots=True)
class _Counters:
    """What only ever grows; each sample is a difference of two of these."""

    at: float
    cpu_total: float
    cpu_idle: float
    sent: int | None
    received: int | None
    read: int | None
    written: int | None


_NONE_YET = _Counters(at=0, cpu_total=0, cpu_idle=0, sent=None, received=None, read=None, written=None)


class Sampler:
    """Takes samples, one at a time, each compared with the one before. Blocks for a few milliseconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = _NONE_YET
        self._cpu_percent = 0.0
        self._connections: int | None = None
        self._looks_to_skip = 0

    def take(self) -> Sample:
        before, now = self._before, _counters()
        self._before = now
        memory = psutil.virtual_memory()
        return Sample(
            taken_at=utc_now(),
            cpu_percent=self._cpu(before, now),
            memory_percent=memory.percent,
            memory_available_bytes=memory.available,
            disk_percent=psutil.disk_usage(str(_existing(self._folder))).percent,
            connections=self._count_connections(),
            network_sent_bytes=now.sent,
            network_received_bytes=now.received,
            disk_read_bytes=now.read,
            disk_written_bytes=now.written,
            network_sent_rate=_rate(before.sent, now.sent, now.at - before.at),
            network_received_rate=_rate(before.received, now.received, now.at - before.at),
            disk_read_rate=_rate(before.read, now.read, now.at - before.at),
            disk_written_rate=_rate(before.written, now.written, now.at - before.at),
            process_memory_bytes=psutil.Process().memory_info().rss,
        )

    def _cpu(self, before: _Counters, now: _Counters) -> float:
        """Return the busy part of the time between.

        `psutil.cpu_percent` compares with its last call in the same thread, and answers 0.0 the first time.
        """
        total = now.cpu_total - before.cpu_total
        if total > 0:
            busy = total - (now.cpu_idle - before.cpu_idle)
            self._cpu_percent = round(min(max(100 * busy / total, 0.0), 100.0), 2)
        return self._cpu_percent

    def _count_connections(self) -> int | None:
        """Count them, but seldom on a machine with so many that it takes long."""
        if self._looks_to_skip > 0:
            self._looks_to_skip -= 1
            return self._connections
        began = time.perf_counter()
        try:
            found = psutil.Process().net_connections(kind="tcp")
        except (psutil.Error, OSError):
            self._connections = None
        else:
            self._connections = sum(1 for each in found if each.status == psutil.CONN_ESTABLISHED)
        if time.perf_counter() - began > _COSTLY_SECONDS:
            self._looks_to_skip = _LOOKS_SKIPPED
        return self._connections


def _counters() -> _Counters:
    times = psutil.cpu_times()
    # Linux counts the time of guests in that of users as well.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    network, disk = psutil.net_io_counters(), psutil.disk_io_counters()
    return _Counters(
        at=time.monotonic(),
        cpu_total=sum(times) - guests,
        cpu_idle=times.idle + getattr(times, "iowait", 0.0),
        sent=network.bytes_sent if network else None,
        received=network.bytes_recv if network else None,
        read=disk.read_bytes if disk else None,
        written=disk.write_bytes if disk else None,
    )


def _rate(before: int | None, now: int | None, seconds: float) -> float | None:
    """Return the growth per second; None where it is not known, as when an interface has gone."""
    if before is None or now is None or now < before or seconds <= 0:
        return None
    return (now - before) / seconds


def _existing(path: Path) -> Path:
    return next((folder for folder in (path, *path.parents) if folder.exists()), Path())
