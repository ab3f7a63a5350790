"""Percentiles of merged sketches are as near as those of one sketch, and no nearer to wrong."""

import math

from hypothesis import given
from hypothesis import strategies as st

from contexten_core.performance.sketch import ACCURACY, LARGEST, SMALLEST, Sketch, bucket_of

durations = st.lists(st.floats(min_value=SMALLEST, max_value=LARGEST), min_size=1, max_size=200)
sketches = st.dictionaries(st.integers(bucket_of(SMALLEST), bucket_of(LARGEST)), st.integers(1, 2**31)).map(Sketch)


def of(values: list[float]) -> Sketch:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch


def merged(*parts: Sketch) -> Sketch:
    whole = Sketch()
    for part in parts:
        whole.merge(part)
    return whole


@given(values=durations, share=st.floats(min_value=0, max_value=1))
def test_a_percentile_is_within_the_accuracy_of_the_true_one(values: list[float], share: float) -> None:
    true = sorted(values)[max(math.ceil(share * len(values)), 1) - 1]
    found = of(values).quantile(share)
    assert found is not None
    assert abs(found - true) <= ACCURACY * true * (1 + 1e-9)


@given(left=sketches, middle=sketches, right=sketches)
def test_sketches_can_be_added_in_any_order(left: Sketch, middle: Sketch, right: Sketch) -> None:
    one = merged(merged(left, middle), right)
    assert one.counts == merged(left, merged(middle, right)).counts
    assert one.counts == merged(right, left, middle).counts


@given(values=durations, more=durations)
def test_adding_sketches_is_the_same_as_sketching_everything(values: list[float], more: list[float]) -> None:
    assert merged(of(values), of(more)).counts == of(values + more).counts


@given(sketch=sketches)
def test_a_packed_sketch_unpacks_to_itself(sketch: Sketch) -> None:
    assert Sketch.unpack([sketch.pack()]).counts == sketch.counts


@given(parts=st.lists(sketches, max_size=5))
def test_unpacking_several_adds_them(parts: list[Sketch]) -> None:
    assert Sketch.unpack(part.pack() for part in parts).counts == merged(*parts).counts


def test_nothing_has_no_percentile_and_packs_to_nothing() -> None:
    assert Sketch().quantile(0.5) is None
    assert Sketch().pack() == ""
    assert Sketch.unpack(["", ""]).counts == {}


def test_it_stays_small_whatever_is_added() -> None:
    sketch = of([0.0, 1e-300, 1e300, *(1.01**power for power in range(-5_000, 5_000))])
    assert len(sketch.counts) <= 350
