"""When events are handled many at a time, and what that is called."""

from uuid import uuid4

import pytest

from contexten_core.events.burst import BurstResult, added_up, burst_name, groups_of, outcome_of, wants_burst
from contexten_core.events.claim import RunRef
from contexten_core.events.finish import LifecycleResult
from contexten_core.events.models import RunStatus
from contexten_core.settings import Settings


def a_run() -> RunRef:
    return RunRef(run_id=uuid4(), event_id=uuid4(), epoch=1, name="acme/cashbox main push", attempt=1)


@pytest.mark.parametrize(
    ("backlog", "now_bursting", "wanted"),
    [(99, False, False), (100, False, True), (21, True, True), (20, True, False), (0, True, False)],
)
def test_bursts_begin_with_a_deep_backlog_and_end_with_a_shallow_one(
    backlog: int, now_bursting: bool, wanted: bool
) -> None:
    settings = Settings(burst_from=100, burst_until=20)
    assert wants_burst(backlog, now_bursting, settings) is wanted


def test_a_burst_is_named_by_how_many_it_handles() -> None:
    assert burst_name([a_run()] * 87) == "lifecycle ×87"


def test_runs_are_handled_in_groups_in_their_order() -> None:
    runs = [a_run() for _ in range(5)]
    assert groups_of(runs, size=2) == [runs[:2], runs[2:4], runs[4:]]


def test_how_the_runs_of_all_groups_ended_is_added_up() -> None:
    done = LifecycleResult(uuid4(), uuid4(), RunStatus.COMPLETED)
    groups = [outcome_of([done, done, ValueError("broke")]), outcome_of([done])]
    assert added_up(groups) == BurstResult({"completed": 3}, broke=1)
