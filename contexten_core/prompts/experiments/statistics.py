"""How sure one can be of what an experiment shows. Each formula names where it is from.

Samples of one subject are alike: the tenth run of a pull request says less than the first run of another. So every
interval here goes by the spread between subjects, which is the spread between samples where each has its own subject.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()
Z95 = _NORMAL.inv_cdf(0.975)

METHODS = {
    "rates": "95 % interval of a success rate: Wilson 1927, on samples that count as many as they are worth when those "
    "of one subject are alike (Rao and Scott 1992)",
    "seconds": "95 % interval of a mean: normal approximation, by the spread between subjects (Cochran 1977)",
    "difference": "95 % interval of a difference of rates: Newcombe 1998, method 10, of the same samples",
    "decision": "interval of the difference that holds at all times at once, however often it is looked at: the same "
    "with the normal mixture boundary of Robbins 1970, as in Waudby-Smith et al. 2024, at 5 % for all variants",
    "probability_better": "probability that the rate is above the control's, given the same samples, when before all "
    "rates were equally likely (beta distributions, summed exactly)",
}


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a figure may be."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Sums:
    """A figure of the samples, such as their seconds or how many succeeded, summed up by subject.

    Attributes:
        subjects: how many there are; each has one sample or more.
        samples: how many there are of all subjects.
        total: the figure's sum over all samples.
        squares: the sum over the subjects of the square of each subject's total.
        products: the sum over the subjects of each subject's total times its number of samples.
        sizes: the sum over the subjects of the square of its number of samples.
    """

    subjects: int
    samples: int
    total: float
    squares: float
    products: float
    sizes: float

    @property
    def mean(self) -> float:
        """The figure per sample. There must be one."""
        return self.total / self.samples

    @property
    def variance(self) -> float | None:
        """The variance of the mean, as of a ratio estimator over clusters (Cochran 1977, "Sampling techniques", 6.3).

        Where each subject has one sample it is the samples' variance over their number; None for fewer than two
        subjects.
        """
        if self.subjects < 2:  # noqa: PLR2004 - a spread needs two
            return None
        spread = self.squares - 2 * self.mean * self.products + self.mean**2 * self.sizes
        return max(0.0, spread) / self.samples**2 * self.subjects / (self.subjects - 1)


@dataclass(frozen=True, slots=True)
class Rate:
    """Successes among samples that count as independent: not always whole numbers."""

    successes: float
    samples: float

    @property
    def value(self) -> float:
        """The share of successes; a half where there is no sample."""
        return self.successes / self.samples if self.samples else 0.5


def effective(successes: Sums) -> Rate:
    """Return as many independent samples as these are worth (Rao and Scott 1992, Biometrics 48, 577-585).

    Their number is divided by the design effect: the variance that they have over the one that as many independent
    samples would have. It is taken as no less than 1, and no more than it is when all samples of a subject are the
    same, which is also what is taken where all samples succeeded, or none, so that nothing can be estimated.
    """
    if successes.samples == 0:
        return Rate(0.0, 0.0)
    rate, most = successes.mean, successes.sizes / successes.samples
    independent = rate * (1 - rate) / successes.samples
    variance = successes.variance
    effect = most if variance is None or independent == 0 else min(max(variance / independent, 1.0), most)
    return Rate(successes.total / effect, successes.samples / effect)


def mean_interval(figure: Sums, *, z: float = Z95) -> Interval | None:
    """Return where a mean may be, by the normal approximation; None for fewer than two subjects."""
    variance = figure.variance
    if variance is None:
        return None
    margin = z * math.sqrt(variance)
    return Interval(figure.mean - margin, figure.mean + margin)


def wilson(rate: Rate, *, z: float = Z95) -> Interval:
    """Return where a rate may be (Wilson 1927, J. Amer. Stat. Assoc. 22, 209-212); 0 to 1 without samples."""
    if rate.samples == 0:
        return Interval(0.0, 1.0)
    value, spread = rate.value, z**2 / rate.samples
    centre = (value + spread / 2) / (1 + spread)
    margin = z * math.sqrt(value * (1 - value) / rate.samples + spread / (4 * rate.samples)) / (1 + spread)
    # At its own ends it is exact, which the subtraction is not.
    return Interval(centre - margin if value > 0 else 0.0, centre + margin if value < 1 else 1.0)


def newcombe(rate: Rate, control: Rate, *, z: float = Z95) -> Interval:
    """Return where the difference `rate - control` may be (Newcombe 1998, Statistics in Medicine 17, 873-890).

    It is his method 10, the hybrid score interval without correction for continuity.
    """
    own, others = wilson(rate, z=z), wilson(control, z=z)
    difference = rate.value - control.value
    below = math.hypot(rate.value - own.low, others.high - control.value)
    above = math.hypot(own.high - rate.value, control.value - others.low)
    return Interval(difference - below, difference + above)


def z_at_all_times(rate: Rate, control: Rate, *, best_at: float, alpha: float) -> float:
    """Return the z with which an interval of the difference is right at all times at once with probability 1 - alpha.

    An interval for one look excludes zero by chance far more often than it says when it is looked at again and again.
    This is the boundary of the normal mixture (Robbins 1970, Ann. Math. Stat. 41, 1397-1409), with variances estimated
    from the samples (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Ann. Stat. 52, 2613-2640, equation 8).

    Args:
        best_at: how many samples each of both has when the interval should be narrowest; it matters little.
    """
    if not rate.samples or not control.samples:
        return math.inf
    time = rate.samples * control.samples / (rate.samples + control.samples)
    two_logs = -2 * math.log(alpha)
    scale = (two_logs + math.log(two_logs) + 1) / (best_at / 2)
    grown = time * scale + 1
    return math.sqrt(grown / (time * scale) * math.log(grown / alpha**2))


def probability_better(rate: Rate, control: Rate) -> float:
    """Return how probable it is that one rate is above another when before all rates were equally likely.

    Their beta distributions compared, as a finite sum (Miller 2014, "Formulas for Bayesian A/B testing"; Cook 2005,
    "Exact calculation of beta inequalities"), so numbers of successes and failures are rounded to whole ones.
    """
    successes, failures = _beta(rate)
    control_successes, control_failures = _beta(control)
    beyond = control_failures + failures
    log_term = (
        math.lgamma(beyond)
        + math.lgamma(control_successes + control_failures)
        - math.lgamma(control_failures)
        - math.lgamma(control_successes + beyond)
    )
    terms = []
    for i in range(successes):
        terms.append(math.exp(log_term))
        log_term += math.log((control_successes + i) / (control_successes + beyond + i) * (failures + i) / (1 + i))
    return min(1.0, math.fsum(terms))


def _beta(rate: Rate) -> tuple[int, int]:
    successes = round(rate.successes)
    return successes + 1, max(0, round(rate.samples) - successes) + 1
