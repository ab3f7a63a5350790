import math
import random
from collections.abc import Sequence
from statistics import fmean, variance

import pytest

from contexten_core.prompts.experiments.statistics import (
    Z95,
    Rate,
    Sums,
    effective,
    mean_interval,
    newcombe,
    probability_better,
    wilson,
    z_at_all_times,
)


def sums(*subjects: Sequence[float]) -> Sums:
    """Sum up figures, of which each subject has some."""
    totals = [sum(figures) for figures in subjects]
    sizes = [len(figures) for figures in subjects]
    return Sums(
        subjects=len(subjects),
        samples=sum(sizes),
        total=sum(totals),
        squares=sum(total**2 for total in totals),
        products=sum(total * size for total, size in zip(totals, sizes, strict=True)),
        sizes=sum(size**2 for size in sizes),
    )


@pytest.mark.parametrize(
    ("successes", "samples", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_the_literature(successes: int, samples: int, low: float, high: float) -> None:
    found = wilson(Rate(successes, samples))
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    # Newcombe 1998, "Interval estimation for the difference between independent proportions", table II, method 10.
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombes_interval_is_that_of_the_literature(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    found = newcombe(Rate(*first), Rate(*second))
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_without_samples_everything_is_possible() -> None:
    nothing = Rate(0, 0)
    assert (wilson(nothing).low, wilson(nothing).high) == (0.0, 1.0)
    assert probability_better(nothing, nothing) == pytest.approx(0.5)


def test_the_mean_of_independent_samples_has_the_interval_of_the_textbook() -> None:
    seconds = [12.5, 3.0, 8.25, 30.0, 9.0, 11.5]
    found = mean_interval(sums(*([one] for one in seconds)))
    margin = Z95 * math.sqrt(variance(seconds) / len(seconds))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((fmean(seconds) - margin, fmean(seconds) + margin))
    assert mean_interval(sums([12.5, 3.0])) is None


def test_samples_of_one_subject_that_are_all_alike_count_once() -> None:
    successes = sums(*([[1] * 10] * 6 + [[0] * 10] * 4))
    found = effective(successes)
    assert (found.successes, found.samples) == pytest.approx((6.0, 10.0))
    assert effective(sums([1] * 30)) == Rate(1.0, 1.0)


def test_samples_of_subjects_of_their_own_count_in_full() -> None:
    assert effective(sums(*([1], [0], [1], [1], [0]))) == Rate(3, 5)
    assert effective(sums(*[[1]] * 40)) == Rate(40, 40)


def test_samples_that_differ_within_their_subject_count_in_full() -> None:
    assert effective(sums(*[[1, 0]] * 20)) == Rate(20, 40)


@pytest.mark.parametrize(
    ("rate", "control", "expected"),
    # By hand: the integrals over uniform and triangular densities.
    [((1, 1), (0, 0), 2 / 3), ((1, 1), (0, 1), 5 / 6), ((0, 1), (1, 1), 1 / 6), ((7, 20), (7, 20), 1 / 2)],
)
def test_the_probability_of_being_better_is_exact(
    rate: tuple[int, int], control: tuple[int, int], expected: float
) -> None:
    assert probability_better(Rate(*rate), Rate(*control)) == pytest.approx(expected)


def test_the_probability_of_being_better_stands_very_many_samples() -> None:
    assert probability_better(Rate(90_000, 100_000), Rate(89_900, 100_000)) == pytest.approx(0.7715, abs=1e-3)
    assert probability_better(Rate(50_000, 50_000), Rate(0, 50_000)) == pytest.approx(1.0)


def test_an_interval_for_all_times_is_wider_than_for_one_look() -> None:
    looks = [z_at_all_times(Rate(1, n), Rate(1, n), best_at=60, alpha=0.05) for n in (30, 60, 120, 600)]
    assert min(looks) == looks[1] == pytest.approx(3.0354, abs=1e-4)
    assert max(looks) < 3.3


def test_looking_again_and_again_rarely_finds_a_difference_that_is_not_there() -> None:
    """One in twenty at most; by the interval for one look it would be about one in three."""
    chance = random.Random(7)
    sizes = range(30, 601, 10)
    boundaries = {n: z_at_all_times(Rate(0, n), Rate(0, n), best_at=60, alpha=0.05) for n in sizes}
    found = naive = 0
    for _ in range(150):
        first, second = ([chance.random() < 0.5 for _ in range(600)] for _ in range(2))
        looks = {n: (Rate(sum(first[:n]), n), Rate(sum(second[:n]), n)) for n in sizes}
        intervals = [newcombe(*rates, z=boundaries[n]) for n, rates in looks.items()]
        found += any(one.low > 0 or one.high < 0 for one in intervals)
        naive += any(one.low > 0 or one.high < 0 for one in (newcombe(*rates) for rates in looks.values()))
    assert found <= 150 / 20
    assert naive > 150 / 5
