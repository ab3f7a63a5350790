"""A suggestion names the cause with its figures and the setting to change."""

from dataclasses import replace
from pathlib import Path

import pytest

from contexten_core.performance.sampling import Sample, Sampler
from contexten_core.performance.suggest import Suggestion, performance_score, suggestions
from contexten_core.performance.tally import Tally
from contexten_core.settings import Settings


@pytest.fixture
def idle(tmp_path: Path) -> Sample:
    return replace(Sampler(tmp_path).take(), cpu_percent=10, memory_percent=10, disk_percent=10)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, max_concurrent_commands=7, api_workers=3)


def calls(*seconds: float, failed: int = 0) -> Tally:
    tally = Tally()
    for number, value in enumerate(seconds):
        tally.add(value, failed=number < failed, sketched=True)
    return tally


def only(found: list[Suggestion]) -> Suggestion:
    (suggestion,) = found
    return suggestion


def test_nothing_is_suggested_when_all_is_well(idle: Sample, settings: Settings) -> None:
    assert suggestions(idle, {"push": calls(*[0.1] * 100)}, {}, settings) == []
    assert performance_score(idle, {"push": calls(*[0.1] * 100)}, settings) == 100


def test_a_busy_machine(idle: Sample, settings: Settings) -> None:
    found = suggestions(replace(idle, cpu_percent=91, memory_percent=95, disk_percent=99), {}, {}, settings)
    assert [suggestion.type for suggestion in found] == ["cpu", "memory", "disk"]
    assert found[0].issue == "CPU usage is 91.0 %, above 80 %"
    assert "MAX_CONCURRENT_COMMANDS (now 7)" in found[0].suggestion
    assert "API_WORKERS (now 3)" in found[1].suggestion
    assert "METRICS_RETENTION_DAYS" in found[2].suggestion


@pytest.mark.parametrize(
    ("tally", "setting"),
    [
        (calls(*[0.2] * 18, 30, 31), "API_TIMEOUT_SECONDS (now 30)"),
        (calls(*[0.2] * 15, *[11] * 5), "MAX_CONCURRENT_OPERATIONS (now 1000)"),
        (calls(*[3] * 20), "API_WORKERS (now 3)"),
    ],
)
def test_a_slow_operation_is_told_apart_by_its_percentiles(
    tally: Tally, setting: str, idle: Sample, settings: Settings
) -> None:
    suggestion = only(suggestions(idle, {"push": tally}, {}, settings))
    assert suggestion.type == "response_time"
    assert "push takes" in suggestion.issue
    assert "p95" in suggestion.issue
    assert setting in suggestion.suggestion


@pytest.mark.parametrize(
    ("seconds", "failure", "setting"),
    [
        (0.1, "OverloadedError", "MAX_CONCURRENT_OPERATIONS (now 1000)"),
        (0.1, "OperationTimeoutError", "RESPONSE_TIMEOUT_SECONDS (now 2)"),
        (1.99, None, "RESPONSE_TIMEOUT_SECONDS (now 2)"),
        (0.1, "KeyError", "/api/errors/statistics"),
    ],
)
def test_a_failing_operation_is_told_apart_by_how_it_fails(
    seconds: float, failure: str | None, setting: str, idle: Sample, settings: Settings
) -> None:
    failures = {"push": failure} if failure else {}
    suggestion = only(suggestions(idle, {"push": calls(*[seconds] * 20, failed=5)}, failures, settings))
    assert suggestion.type == "error_rate"
    assert "push fails in 25.0 % of 20 calls" in suggestion.issue
    assert setting in suggestion.suggestion


def test_few_calls_are_no_reason_for_a_suggestion(idle: Sample, settings: Settings) -> None:
    assert suggestions(idle, {"push": calls(*[9] * 19, failed=19)}, {}, settings) == []


def test_only_the_worst_operations_are_told(idle: Sample, settings: Settings) -> None:
    operations = {f"operation {number}": calls(*[3 + number] * 20) for number in range(20)}
    found = suggestions(idle, operations, {}, settings)
    assert len(found) == 5
    assert found[0].issue.startswith("operation 19 ")


def test_a_figure_at_its_limit_costs_two_thirds_of_its_points(idle: Sample, settings: Settings) -> None:
    assert performance_score(replace(idle, cpu_percent=80), {}, settings) == pytest.approx(100 - 25 * 2 / 3, abs=0.1)


def test_the_worst_score_is_0(idle: Sample, settings: Settings) -> None:
    busy = replace(idle, cpu_percent=100, memory_percent=100)
    settings.cpu_alert_percent = settings.memory_alert_percent = 50
    assert performance_score(busy, {"push": calls(*[60] * 20, failed=20)}, settings) == 0
