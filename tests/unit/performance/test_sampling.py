"""A sample says something true at once, on whatever machine the tests run."""

import time
from pathlib import Path

import psutil
import pytest

from contexten_core.performance.sampling import Sampler
from contexten_core.performance.tally import Metric


def test_the_first_sample_has_every_figure_but_rates(tmp_path: Path) -> None:
    sample = Sampler(tmp_path).take()
    assert 0 < sample.cpu_percent <= 100
    assert 0 < sample.memory_percent <= 100
    assert 0 < sample.disk_percent <= 100
    assert sample.memory_available_bytes > 0
    assert sample.process_memory_bytes > 0
    assert sample.network_sent_rate is None
    assert {reading.key.metric for reading in sample.readings()} >= {Metric.CPU, Metric.MEMORY, Metric.DISK}


def test_later_samples_cover_the_time_since_the_one_before(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path)
    sampler.take()
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    sample = sampler.take()
    assert sample.cpu_percent > 0
    assert sample.network_sent_bytes is None or sample.network_sent_rate is not None


def test_samples_in_the_same_tick_repeat_the_last_figure(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path)
    assert all(0 <= sampler.take().cpu_percent <= 100 for _ in range(20))


def test_a_folder_that_is_not_there_yet_is_measured_by_its_parent(tmp_path: Path) -> None:
    there, not_there = Sampler(tmp_path).take(), Sampler(tmp_path / "not" / "there").take()
    assert abs(there.disk_percent - not_there.disk_percent) < 5


def test_connections_that_may_not_be_read_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: psutil.Process, kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "net_connections", refuse)
    sample = Sampler(tmp_path).take()
    assert sample.connections is None
    assert Metric.CONNECTIONS not in {reading.key.metric for reading in sample.readings()}


def test_a_machine_without_network_or_disk_counters_is_measured_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "net_io_counters", lambda: None)
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    sample = Sampler(tmp_path).take()
    assert sample.network_sent_bytes is sample.disk_read_bytes is None
