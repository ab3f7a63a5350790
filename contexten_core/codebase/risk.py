"""How risky a change looks: one figure with its parts.

The signs are those that predict defects of single changes best (size, diffusion, history, complexity of what is
touched): Y. Kamei et al., "A Large-Scale Empirical Study of Just-in-Time Quality Assurance", IEEE TSE 39(6), 2013. The
weights are ours, a start that outcomes will correct; each part is between 0 and 1, and the figure is the weighted sum,
0 to 100.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import log2

WEIGHTS: Mapping[str, int] = {
    "size": 20,
    "spread": 10,
    "reach": 20,
    "complexity": 15,
    "untested": 20,
    "churn": 5,
    "past_failures": 10,
}
_HUGE_LINES = 1000
_MANY_FOLDERS = 10
_MANY_REACHED = 100
_VERY_COMPLEX = 30
_MANY_CHANGES = 50
_MEDIUM = 25
_HIGH = 50


class RiskLevel(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class RiskSigns:
    """What a change is judged by.

    Attributes:
        lines: added and removed, tests left out.
        folders: in which it changes files.
        reached_files: files that depend on what it changes, tests left out.
        most_complex: cyclomatic complexity of the most complex function that it changes.
        untested_share: share of the changed functions that no test reaches.
        changes_before: commits of the history that touched the same files.
        failures_before: those of them whose runs failed.
        known_before: those of them whose runs ended at all.
    """

    lines: int = 0
    folders: int = 0
    reached_files: int = 0
    most_complex: int = 0
    untested_share: float = 0.0
    changes_before: int = 0
    failures_before: int = 0
    known_before: int = 0


@dataclass(frozen=True, slots=True)
class RiskPart:
    """One sign: its value between 0 and 1, how many points it can give, and what it was seen in."""

    name: str
    value: float
    weight: int
    evidence: str


@dataclass(frozen=True, slots=True)
class Risk:
    score: float
    level: RiskLevel
    parts: tuple[RiskPart, ...]


def risk_of(signs: RiskSigns) -> Risk:
    """Weigh the signs. Sizes count by their logarithm: the tenth line says more than the thousandth."""
    # One failure of one run is little to go by: Laplace's rule of succession.
    failing = (signs.failures_before + 1) / (signs.known_before + 2) if signs.failures_before else 0.0
    seen = {
        "size": (_scaled(signs.lines, _HUGE_LINES), f"{signs.lines} lines"),
        "spread": (_scaled(max(signs.folders - 1, 0), _MANY_FOLDERS), f"{signs.folders} folders"),
        "reach": (_scaled(signs.reached_files, _MANY_REACHED), f"{signs.reached_files} files depend on it"),
        "complexity": (
            _scaled(max(signs.most_complex - 1, 0), _VERY_COMPLEX),
            f"the most complex function has {signs.most_complex}",
        ),
        "untested": (signs.untested_share, f"{signs.untested_share:.0%} of the changed functions have no test"),
        "churn": (_scaled(signs.changes_before, _MANY_CHANGES), f"{signs.changes_before} earlier commits"),
        "past_failures": (
            failing,
            f"{signs.failures_before} of {signs.known_before} earlier runs failed",
        ),
    }
    parts = tuple(RiskPart(name, round(seen[name][0], 4), weight, seen[name][1]) for name, weight in WEIGHTS.items())
    score = round(sum(part.value * part.weight for part in parts), 1)
    level = RiskLevel.HIGH if score >= _HIGH else RiskLevel.MEDIUM if score >= _MEDIUM else RiskLevel.LOW
    return Risk(score, level, parts)


def _scaled(value: int, most: int) -> float:
    return min(1.0, log2(1 + value) / log2(1 + most))
