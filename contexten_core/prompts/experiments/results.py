"""What an experiment shows so far, and when that is enough to end it. Nothing here reads or writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from contexten_core.prompts.experiments import statistics
from contexten_core.prompts.experiments.statistics import Interval, Rate, Sums
from contexten_core.prompts.models import PromptExperimentModel

LONGEST = timedelta(days=30)
"""After this an experiment ends, whatever it shows."""

FIRST_GUARDED = 10
"""Samples from which on a guardrail counts as broken when that is certain; on average it counts from the minimum on."""

_ALPHA = 0.05
_MOST_TIMES_MINIMUM = 20


@dataclass(frozen=True, slots=True)
class Guardrails:
    """What a variant must keep to get events: at least this success rate, at most these seconds on average."""

    success_rate: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What is stored of one version's runs in an experiment: those it was chosen for, and those that have ended."""

    exposures: int = 0
    successes: Sums = field(default_factory=lambda: Sums(0, 0, 0.0, 0.0, 0.0, 0.0))
    seconds: Sums = field(default_factory=lambda: Sums(0, 0, 0.0, 0.0, 0.0, 0.0))
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much higher a variant's success rate is than the control's.

    Attributes:
        interval: of the difference, for one look.
        at_all_times: the wider one by which an experiment ends, right however often it is looked at.
        probability_better: that the variant's rate is the higher one.
    """

    difference: float
    interval: Interval
    at_all_times: Interval
    probability_better: float


@dataclass(frozen=True, slots=True)
class VariantResult:
    """How one version does.

    Attributes:
        weight: its present share; 0 once it has broken a guardrail, then `stopped` says which.
        is_control: whether the others are compared with it: the first variant that still gets events.
        exposures: runs that it was chosen for.
        samples: those that have ended.
        subjects: pull requests, issues or threads that these were about.
        worth: as how many independent samples they count.
        cost: of all samples together.
    """

    version: int
    weight: float
    stopped: str | None
    is_control: bool
    exposures: int
    samples: int
    subjects: int
    worth: float
    successes: int
    success_rate: float | None
    success_interval: Interval
    mean_seconds: float | None
    seconds_interval: Interval | None
    cost: float
    against_control: Comparison | None


@dataclass(frozen=True, slots=True)
class Results:
    """What an experiment shows.

    Attributes:
        minimum_samples: of each variant, before anything is concluded.
        maximum_samples: of all together, after which it ends.
        methods: where each interval and probability is from.
    """

    minimum_samples: int
    maximum_samples: int
    guardrails: Guardrails
    variants: tuple[VariantResult, ...]
    methods: Mapping[str, str] = field(default_factory=lambda: dict(statistics.METHODS))

    @property
    def live(self) -> tuple[VariantResult, ...]:
        """Those that still get events."""
        return tuple(variant for variant in self.variants if variant.weight > 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which version an experiment ends with, if any, and why."""

    version: int | None
    reason: str


def results_of(experiment: PromptExperimentModel, tallies: Mapping[int, Tally]) -> Results:
    """Return what an experiment shows by what is stored of its runs, by version."""
    variants: list[dict[str, Any]] = experiment.variants
    found = {int(one["version"]): tallies.get(int(one["version"]), Tally()) for one in variants}
    control = next((int(one["version"]) for one in variants if one["weight"] > 0), int(variants[0]["version"]))
    rates = {version: statistics.effective(tally.successes) for version, tally in found.items()}
    alpha = _ALPHA / (len(variants) - 1)

    def compared(version: int) -> Comparison | None:
        own, others = rates[version], rates[control]
        if version == control or not own.samples or not others.samples:
            return None
        return _comparison(own, others, best_at=2 * experiment.minimum_samples, alpha=alpha)

    return Results(
        minimum_samples=experiment.minimum_samples,
        maximum_samples=_MOST_TIMES_MINIMUM * experiment.minimum_samples * len(variants),
        guardrails=Guardrails(**(experiment.guardrails or {})),
        variants=tuple(
            _variant_result(
                one,
                found[int(one["version"])],
                rates[int(one["version"])],
                is_control=int(one["version"]) == control,
                against_control=compared(int(one["version"])),
            )
            for one in variants
        ),
    )


def _variant_result(
    variant: Mapping[str, Any], tally: Tally, rate: Rate, *, is_control: bool, against_control: Comparison | None
) -> VariantResult:
    samples = tally.successes.samples
    return VariantResult(
        version=int(variant["version"]),
        weight=float(variant["weight"]),
        stopped=variant.get("stopped"),
        is_control=is_control,
        exposures=tally.exposures,
        samples=samples,
        subjects=tally.successes.subjects,
        worth=rate.samples,
        successes=round(tally.successes.total),
        success_rate=tally.successes.mean if samples else None,
        success_interval=statistics.wilson(rate),
        mean_seconds=tally.seconds.mean if samples else None,
        seconds_interval=statistics.mean_interval(tally.seconds),
        cost=tally.cost,
        against_control=against_control,
    )


def _comparison(own: Rate, others: Rate, *, best_at: float, alpha: float) -> Comparison:
    z = statistics.z_at_all_times(own, others, best_at=best_at, alpha=alpha)
    return Comparison(
        difference=own.value - others.value,
        interval=statistics.newcombe(own, others),
        at_all_times=statistics.newcombe(own, others, z=z),
        probability_better=statistics.probability_better(own, others),
    )


def broken_guardrail(variant: VariantResult, results: Results) -> str | None:
    """Return which guardrail a variant has broken, in words, or None.

    From `FIRST_GUARDED` samples on it is one that its whole interval is beyond, and from the minimum of samples on one
    that its average is beyond.
    """
    rate, seconds = variant.success_rate, variant.mean_seconds
    if rate is None or seconds is None or variant.samples < min(FIRST_GUARDED, results.minimum_samples):
        return None
    is_enough = variant.samples >= results.minimum_samples
    floor, ceiling = results.guardrails.success_rate, results.guardrails.seconds
    if floor is not None and (rate if is_enough else variant.success_interval.high) < floor:
        return f"its success rate of {rate:.0%} after {variant.samples} runs is below {floor:.0%}"
    least = seconds if is_enough else variant.seconds_interval.low if variant.seconds_interval else 0.0
    if ceiling is not None and least > ceiling:
        return f"its mean of {seconds:.1f} s after {variant.samples} runs is above {ceiling:g} s"
    return None


def verdict(results: Results, *, started_at: datetime, now: datetime) -> Verdict | None:
    """Return what an experiment ends with, or None while it goes on."""
    live = results.live
    if not live:
        return Verdict(None, "every variant has broken a guardrail")
    if all(variant.samples >= results.minimum_samples for variant in live):
        decided = _decided(live)
        if decided is not None:
            return decided
    samples = sum(variant.samples for variant in results.variants)
    if samples >= results.maximum_samples:
        return _undecided(live, f"{samples} runs")
    if now - started_at >= LONGEST:
        return _undecided(live, f"{LONGEST.days} days")
    return None


def _decided(live: Sequence[VariantResult]) -> Verdict | None:
    control = next(variant for variant in live if variant.is_control)
    if len(live) == 1:
        return Verdict(control.version, f"every variant but version {control.version} has broken a guardrail")
    others = [(variant, variant.against_control) for variant in live if variant.against_control is not None]
    better = [variant for variant, found in others if found.at_all_times.low > 0]
    if better:
        best = max(better, key=lambda variant: (variant.success_rate or 0.0, -variant.version))
        return Verdict(best.version, f"it is better than version {control.version}: {_rates(best, control)}")
    if others and all(found.at_all_times.high < 0 for _, found in others):
        nearest = max((variant for variant, _ in others), key=lambda variant: variant.success_rate or 0.0)
        return Verdict(control.version, f"it is better than every other variant: {_rates(control, nearest)}")
    return None


def _undecided(live: Sequence[VariantResult], after: str) -> Verdict:
    control = next(variant for variant in live if variant.is_control)
    if len(live) == 1:
        return Verdict(control.version, f"every other variant has broken a guardrail, and {after} are over")
    return Verdict(control.version, f"after {after} no variant is certainly better than version {control.version}")


def _rates(better: VariantResult, other: VariantResult) -> str:
    return (
        f"it succeeds in {better.success_rate:.0%} of {better.samples} runs, "
        f"version {other.version} in {other.success_rate:.0%} of {other.samples}"
    )
