"""How each prompt does, with how sure one can be of it."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_Z = 1.959964  # 95 % of a normal distribution lies within


@dataclass(frozen=True, slots=True)
class PromptOutcomes:
    """The outcomes of one prompt.

    Attributes:
        success_low, success_high: Wilson's 95 % interval of the success rate; wide for a few runs, never beyond 0 to 1.
        median_seconds, p95_seconds: of all runs, failed ones too; None where no run has a duration.
    """

    prompt: str
    runs: int
    successes: int
    success_rate: float
    success_low: float
    success_high: float
    median_seconds: float | None
    p95_seconds: float | None


def prompt_table(
    *, prompts: Sequence[str], successes: Sequence[bool], seconds: Sequence[float]
) -> tuple[PromptOutcomes, ...]:
    """Summarise the runs, of which each has one item in each sequence, by prompt, in the order of their names."""
    if not prompts:
        return ()
    import pandas as pd  # takes long to import, and only learning needs it

    runs = pd.DataFrame(
        {
            "prompt": list(prompts),
            "success": list(successes),
            "seconds": [value if math.isfinite(value) else math.nan for value in seconds],
        }
    )
    table = runs.groupby("prompt").agg(
        runs=("success", "size"),
        successes=("success", "sum"),
        median=("seconds", "median"),
        p95=("seconds", lambda values: values.quantile(0.95)),
    )
    return tuple(_outcomes(row) for row in table.reset_index().to_dict("records"))


def _outcomes(row: Mapping[Hashable, Any]) -> PromptOutcomes:
    runs, successes = int(row["runs"]), int(row["successes"])
    low, high = wilson_interval(successes=successes, runs=runs)
    return PromptOutcomes(
        prompt=row["prompt"],
        runs=runs,
        successes=successes,
        success_rate=successes / runs,
        success_low=low,
        success_high=high,
        median_seconds=_known(row["median"]),
        p95_seconds=_known(row["p95"]),
    )


def _known(seconds: float) -> float | None:
    return None if math.isnan(seconds) else float(seconds)


def wilson_interval(*, successes: int, runs: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate; everything is possible, (0, 1), where nothing was run."""
    if runs == 0:
        return 0.0, 1.0
    rate, spread = successes / runs, _Z**2 / runs
    centre = (rate + spread / 2) / (1 + spread)
    margin = _Z * math.sqrt(rate * (1 - rate) / runs + spread / (4 * runs)) / (1 + spread)
    return max(0.0, centre - margin), min(1.0, centre + margin)
