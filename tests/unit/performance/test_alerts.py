"""One alert per crossing, and operations judged from 20 calls on."""

from dataclasses import replace
from pathlib import Path

import pytest

from contexten_core.performance.alerts import AlertWatch
from contexten_core.performance.sampling import Sample, Sampler
from contexten_core.performance.tally import Tally
from contexten_core.settings import Settings


@pytest.fixture
def idle(tmp_path: Path) -> Sample:
    return replace(Sampler(tmp_path).take(), cpu_percent=10, memory_percent=10, disk_percent=10)


@pytest.fixture
def watch(tmp_path: Path) -> AlertWatch:
    return AlertWatch(Settings(home=tmp_path))


def calls(count: int, *, seconds: float = 0.1, failed: int = 0) -> Tally:
    tally = Tally()
    for number in range(count):
        tally.add(seconds, failed=number < failed, sketched=True)
    return tally


def test_a_figure_above_its_limit_raises_one_alert_until_it_has_come_back(watch: AlertWatch, idle: Sample) -> None:
    raised = [len(watch.check(replace(idle, cpu_percent=value), {}, {})) for value in (80, 81, 99, 81, 80, 81, 10)]
    assert raised == [0, 1, 0, 0, 0, 1, 0]


def test_an_alert_says_what_is_wrong_and_what_to_change(watch: AlertWatch, idle: Sample) -> None:
    (alert,) = watch.check(replace(idle, memory_percent=90), {}, {})
    assert alert["kind"] == alert["metric"] == "memory_usage"
    assert (alert["value"], alert["threshold"], alert["unit"], alert["operation"]) == (90, 85, "percent", None)
    assert "90.0 %" in alert["issue"]
    assert "MAX_CONCURRENT_COMMANDS" in alert["suggestion"]
    assert alert["timestamp"].endswith("+00:00")


def test_operations_have_alerts_of_their_own(watch: AlertWatch, idle: Sample) -> None:
    recent = {"slow": calls(20, seconds=3), "failing": calls(20, failed=2), "fine": calls(500)}
    alerts = watch.check(idle, recent, {"failing": "KeyError"})
    assert [(alert["kind"], alert["operation"], alert["value"]) for alert in alerts] == [
        ("response_time", "slow", 3),
        ("error_rate", "failing", 10),
    ]
    assert "KeyError" in alerts[1]["issue"]
    assert watch.check(idle, recent, {}) == []


def test_few_calls_are_no_reason_for_an_alert(watch: AlertWatch, idle: Sample) -> None:
    assert watch.check(idle, {"slow": calls(19, seconds=30, failed=19)}, {}) == []


def test_an_alert_stands_while_there_are_few_calls_and_is_over_when_there_are_none(
    watch: AlertWatch, idle: Sample
) -> None:
    slow, few = {"slow": calls(20, seconds=3)}, {"slow": calls(3, seconds=3)}
    assert [len(watch.check(idle, recent, {})) for recent in (slow, few, slow, {}, slow)] == [1, 0, 0, 0, 1]


def test_limits_are_read_from_the_settings_each_time(tmp_path: Path, idle: Sample) -> None:
    settings = Settings(home=tmp_path)
    watch = AlertWatch(settings)
    assert watch.check(idle, {}, {}) == []
    settings.cpu_alert_percent = 5
    assert [alert["threshold"] for alert in watch.check(idle, {}, {})] == [5]
