from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contexten_core.prompts.experiments.results import (
    Results,
    Tally,
    Verdict,
    broken_guardrail,
    results_of,
    verdict,
)
from contexten_core.prompts.experiments.statistics import Sums
from contexten_core.prompts.models import PromptExperimentModel

START = datetime(2026, 1, 7, 10, 0, tzinfo=UTC)


def tally(successes: int, samples: int, *, seconds: tuple[float, float] = (10.0, 10.0)) -> Tally:
    """Return outcomes of as many subjects; every other one takes the second of the `seconds`."""
    times = [seconds[number % 2] for number in range(samples)]
    total, squares = sum(times), sum(time**2 for time in times)
    return Tally(
        exposures=samples,
        successes=Sums(samples, samples, successes, successes, successes, samples),
        seconds=Sums(samples, samples, total, squares, total, samples),
    )


def shown(*tallies: Tally, minimum: int = 20, weights: tuple[float, ...] | None = None, **guardrails: Any) -> Results:
    """Return the results of an experiment with a version for each tally: 1, 2 and so on."""
    experiment = PromptExperimentModel(
        variants=[
            {"version": version, "weight": weight} for version, weight in enumerate(weights or (1.0,) * len(tallies), 1)
        ],
        minimum_samples=minimum,
        guardrails=guardrails or None,
    )
    return results_of(experiment, dict(enumerate(tallies, 1)))


def decided(results: Results, *, after: timedelta = timedelta(hours=1)) -> Verdict | None:
    return verdict(results, started_at=START, now=START + after)


def test_nothing_is_decided_before_each_version_has_its_samples() -> None:
    assert decided(shown(tally(0, 500), tally(19, 19))) is None
    found = decided(shown(tally(0, 500), tally(20, 20)))
    assert found is not None
    assert found.version == 2


def test_a_difference_that_one_look_would_take_for_real_is_not_enough() -> None:
    results = shown(tally(10, 20), tally(17, 20))
    against = results.variants[1].against_control
    assert against is not None
    assert against.interval.low > 0 > against.at_all_times.low
    assert decided(results) is None


def test_of_several_better_versions_the_best_is_proposed() -> None:
    found = decided(shown(tally(20, 50), tally(46, 50), tally(49, 50), tally(22, 50)))
    assert found == Verdict(3, "it is better than version 1: it succeeds in 98% of 50 runs, version 1 in 40% of 50")


def test_a_control_that_is_better_than_all_others_is_kept() -> None:
    assert decided(shown(tally(48, 50), tally(20, 50), tally(47, 50))) is None
    found = decided(shown(tally(48, 50), tally(20, 50), tally(25, 50)))
    assert found == Verdict(
        1, "it is better than every other variant: it succeeds in 96% of 50 runs, version 3 in 50% of 50"
    )


def test_after_enough_runs_that_show_nothing_the_control_is_kept() -> None:
    assert decided(shown(tally(300, 399), tally(300, 400))) is None
    found = decided(shown(tally(300, 400), tally(300, 400)))
    assert found == Verdict(1, "after 800 runs no variant is certainly better than version 1")


def test_when_the_control_was_stopped_the_next_one_is_compared_with() -> None:
    results = shown(tally(5, 50), tally(20, 50), tally(49, 50), weights=(0, 1, 1))
    assert [variant.is_control for variant in results.variants] == [False, True, False]
    found = decided(results)
    assert found is not None
    assert found.reason.startswith("it is better than version 2")


@pytest.mark.parametrize(
    ("outcomes", "broken"),
    [
        (tally(0, 9), None),
        (tally(3, 10), "its success rate of 30% after 10 runs is below 80%"),
        (tally(6, 10), None),
        (tally(15, 20), "its success rate of 75% after 20 runs is below 80%"),
        (tally(16, 20), None),
        (tally(10, 10, seconds=(100.0, 110.0)), "its mean of 105.0 s after 10 runs is above 60 s"),
        (tally(10, 10, seconds=(10.0, 130.0)), None),
        (tally(20, 20, seconds=(10.0, 130.0)), "its mean of 70.0 s after 20 runs is above 60 s"),
    ],
)
def test_a_guardrail_is_broken_for_certain_early_and_on_average_later(outcomes: Tally, broken: str | None) -> None:
    results = shown(tally(20, 20), outcomes, success_rate=0.8, seconds=60.0)
    assert broken_guardrail(results.variants[1], results) == broken


def test_without_guardrails_none_is_broken() -> None:
    results = shown(tally(0, 20), tally(0, 20))
    assert broken_guardrail(results.variants[1], results) is None
