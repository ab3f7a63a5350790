"""One figure for a change, with its parts."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.codebase.risk import WEIGHTS, RiskLevel, RiskSigns, risk_of

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True, database=None)
COUNT = st.integers(min_value=0, max_value=10**7)
SIGNS = st.builds(
    RiskSigns,
    lines=COUNT,
    folders=COUNT,
    reached_files=COUNT,
    most_complex=COUNT,
    untested_share=st.floats(min_value=0, max_value=1),
    changes_before=COUNT,
    failures_before=COUNT,
    known_before=COUNT,
).map(lambda signs: replace(signs, known_before=signs.known_before + signs.failures_before))


@EXAMPLES
@given(SIGNS)
def test_the_figure_is_the_sum_of_its_parts_and_never_beyond_100(signs: RiskSigns) -> None:
    risk = risk_of(signs)
    assert 0 <= risk.score <= 100
    assert risk.score == round(sum(part.value * part.weight for part in risk.parts), 1)
    assert [part.name for part in risk.parts] == list(WEIGHTS)
    assert all(0 <= part.value <= 1 and part.evidence for part in risk.parts)


@EXAMPLES
@given(SIGNS, st.sampled_from(["lines", "folders", "reached_files", "most_complex", "changes_before"]), COUNT)
def test_more_of_a_sign_is_never_less_risk(signs: RiskSigns, sign: str, more: int) -> None:
    assert risk_of(replace(signs, **{sign: getattr(signs, sign) + more})).score >= risk_of(signs).score


def test_the_weights_sum_up_to_100() -> None:
    assert sum(WEIGHTS.values()) == 100


@pytest.mark.parametrize(
    ("signs", "level"),
    [
        (RiskSigns(), RiskLevel.LOW),
        (RiskSigns(lines=2, folders=1, most_complex=2), RiskLevel.LOW),
        (RiskSigns(lines=100, folders=2, reached_files=10, most_complex=8), RiskLevel.MEDIUM),
        (RiskSigns(lines=900, folders=9, reached_files=80, most_complex=25, untested_share=1.0), RiskLevel.HIGH),
    ],
)
def test_levels(signs: RiskSigns, level: RiskLevel) -> None:
    assert risk_of(signs).level is level


def test_one_failure_is_little_to_go_by() -> None:
    def failing(failures: int, known: int) -> float:
        risk = risk_of(RiskSigns(failures_before=failures, known_before=known))
        return next(part.value for part in risk.parts if part.name == "past_failures")

    assert failing(0, 5) == 0.0
    assert failing(1, 1) < failing(5, 5) < 1.0
