from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.prompts.choose import ChoiceContext, Variant, VariantChoice, choose

EXAMPLES = settings(deadline=None, derandomize=True, database=None)
SUBJECTS = [f"acme/cashbox#{number}" for number in range(20_000)]
PROMPT, EXPERIMENT = UUID(int=1), UUID(int=2)

weights = st.floats(min_value=1e-6, max_value=1e6)
variant_sets = st.dictionaries(st.integers(1, 1_000), weights, min_size=2, max_size=10).map(
    lambda found: [Variant(version, weight) for version, weight in found.items()]
)


def chosen(variants: Sequence[Variant], subject: str, experiment: UUID = EXPERIMENT) -> VariantChoice:
    return choose(variants, ChoiceContext(PROMPT, experiment, subject))


def versions(variants: Sequence[Variant], subjects: Sequence[str] = SUBJECTS) -> list[int]:
    return [chosen(variants, subject).version for subject in subjects]


@EXAMPLES
@given(variants=variant_sets, subject=st.text(), data=st.data())
def test_a_subject_stays_with_its_variant_in_whatever_order_they_are_given(
    variants: list[Variant], subject: str, data: st.DataObject
) -> None:
    choice = chosen(variants, subject)
    assert choice == chosen(data.draw(st.permutations(variants)), subject)
    total = sum(variant.weight for variant in variants)
    (own,) = [variant.weight for variant in variants if variant.version == choice.version]
    assert choice.probability == pytest.approx(own / total)


@EXAMPLES
@given(variants=variant_sets, subject=st.text(), factor=st.floats(min_value=1.0, max_value=1e3), data=st.data())
def test_raising_a_weight_moves_subjects_to_that_variant_only(
    variants: list[Variant], subject: str, factor: float, data: st.DataObject
) -> None:
    raised = data.draw(st.sampled_from(variants))
    changed = [Variant(one.version, one.weight * factor) if one is raised else one for one in variants]
    assert chosen(changed, subject).version in {chosen(variants, subject).version, raised.version}


@EXAMPLES
@given(variants=variant_sets, subject=st.text(), weight=weights)
def test_a_new_variant_takes_subjects_and_moves_none_between_the_others(
    variants: list[Variant], subject: str, weight: float
) -> None:
    assert chosen([*variants, Variant(1_001, weight)], subject).version in {chosen(variants, subject).version, 1_001}


@pytest.mark.parametrize("shares", [(50, 50), (90, 10), (1, 2, 7), (0.2, 0.2, 0.6)])
def test_variants_get_events_by_their_weights(shares: tuple[float, ...]) -> None:
    counted = Counter(versions([Variant(version, weight) for version, weight in enumerate(shares, 1)]))
    for version, weight in enumerate(shares, 1):
        # Four standard deviations of 20,000 draws are at most 283.
        assert abs(counted[version] - len(SUBJECTS) * weight / sum(shares)) < 283


def test_only_as_many_subjects_move_as_the_weights_ask_for() -> None:
    before = versions([Variant(3, 50), Variant(4, 50)], SUBJECTS[:5_000])
    after = versions([Variant(3, 50), Variant(4, 50), Variant(5, 25)], SUBJECTS[:5_000])
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    assert abs(moved - 1_000) < 114


def test_another_experiment_draws_anew() -> None:
    variants = [Variant(3, 50), Variant(4, 50)]
    others = [chosen(variants, subject, UUID(int=3)).version for subject in SUBJECTS[:2_000]]
    same = sum(one == other for one, other in zip(versions(variants, SUBJECTS[:2_000]), others, strict=True))
    assert abs(same - 1_000) < 90


def test_a_variant_without_weight_gets_nothing() -> None:
    variants = [Variant(3, 0), Variant(4, 5)]
    assert {chosen(variants, subject) for subject in SUBJECTS[:200]} == {VariantChoice(4, 1.0)}
    with pytest.raises(ValueError, match="no variant has a weight above 0"):
        chosen([Variant(3, 0), Variant(4, 0)], "acme/cashbox#1")


def test_the_same_in_every_process() -> None:
    """These never change: a subject that moved in the middle of an experiment would spoil it."""
    variants = [Variant(3, 50), Variant(4, 50)]
    assert versions(variants, SUBJECTS[:12]) == [4, 4, 4, 4, 3, 3, 4, 4, 3, 3, 3, 4]
