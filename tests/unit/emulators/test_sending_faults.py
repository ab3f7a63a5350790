import pytest
from pydantic import ValidationError

from contexten.emulators.sending_faults import Cut, Fate, Fates, SendingFaults


def fates(faults: SendingFaults, *, count: int = 50) -> list[Fate]:
    drawn = Fates(faults)
    return [drawn.draw() for _ in range(count)]


def test_without_faults_nothing_happens_to_a_delivery() -> None:
    assert set(fates(SendingFaults())) == {Fate()}


def test_the_same_seed_gives_the_same_fates_and_another_gives_others() -> None:
    faults = SendingFaults(duplicate=0.5, reorder=0.5, delay=0.5, drop=0.5, cut_before=0.5, seed=1)
    assert fates(faults) == fates(faults)
    assert fates(faults) != fates(faults.model_copy(update={"seed": 2}))


def test_one_chance_does_not_shift_the_others() -> None:
    alone = [fate.drop for fate in fates(SendingFaults(drop=0.5, seed=7))]
    together = [fate.drop for fate in fates(SendingFaults(drop=0.5, duplicate=0.5, delay=0.3, seed=7))]
    assert alone == together


def test_what_is_certain_happens_each_time() -> None:
    certain = SendingFaults(duplicate=1, reorder=1, reorder_by=2, delay=1, delay_seconds=5, cut_after=1)
    for fate in fates(certain):
        assert (fate.copies, fate.cut) == (2, Cut.AFTER)
        assert 1 <= fate.hold_for <= 2
        assert 0 < fate.delay_seconds <= 5


@pytest.mark.parametrize("fault", [{"drop": 1.5}, {"drop": -0.1}, {"per_second": 0}, {"reorder_by": 0}, {"lose": 1}])
def test_a_chance_that_is_none_is_refused(fault: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SendingFaults.model_validate(fault)
