"""Which states of a task may follow which."""

from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexten_core.errors import TransitionError
from contexten_core.tasks.models import TaskStatus
from contexten_core.tasks.transition import ALLOWED, check_transition

TASK = UUID("0b8e2f0e-1d0a-4a56-9d0c-5a4f0f3f9b11")
STATUSES = st.sampled_from(TaskStatus)
RULES = {
    "pending": "in_progress paused cancelled failed",
    "in_progress": "completed failed cancelled paused",
    "paused": "pending in_progress cancelled failed",
    "failed": "pending in_progress cancelled",
    "cancelled": "pending",
    "completed": "",
}


def is_allowed(current: TaskStatus, wanted: TaskStatus) -> bool:
    try:
        check_transition(current, wanted)
    except TransitionError:
        return False
    return True


def test_the_table_is_the_documented_one() -> None:
    assert {status.value: " ".join(ALLOWED[status]) for status in TaskStatus} == RULES


@pytest.mark.parametrize("wanted", TaskStatus)
@pytest.mark.parametrize("current", TaskStatus)
def test_every_pair_is_either_in_the_table_or_refused(current: TaskStatus, wanted: TaskStatus) -> None:
    assert is_allowed(current, wanted) == (wanted is current or wanted.value in RULES[current.value].split())


def test_a_refusal_says_which_task_from_where_to_where_and_what_is_allowed() -> None:
    with pytest.raises(TransitionError) as refused:
        check_transition(TaskStatus.CANCELLED, TaskStatus.COMPLETED, task_id=TASK)

    assert refused.value.message == f"task {TASK} cannot go from cancelled to completed"
    assert refused.value.hint == "from cancelled it can go to pending"
    assert (refused.value.status, refused.value.transient) == (409, False)


def test_a_completed_task_is_final() -> None:
    with pytest.raises(TransitionError, match=f"^task {TASK} cannot go from completed to in_progress$") as refused:
        check_transition(TaskStatus.COMPLETED, TaskStatus.IN_PROGRESS, task_id=TASK)

    assert refused.value.hint == "completed is final; create another task"


@given(wishes=st.lists(STATUSES, max_size=60))
def test_a_walk_never_reaches_a_state_against_the_rules_and_never_leaves_completed(wishes: list[TaskStatus]) -> None:
    walk = [TaskStatus.PENDING]
    for wanted in wishes:
        if is_allowed(walk[-1], wanted):
            walk.append(wanted)

    steps = [(before.value, after.value) for before, after in pairwise(walk) if before is not after]
    assert all(after in RULES[before].split() for before, after in steps)
    if TaskStatus.COMPLETED in walk:
        assert set(walk[walk.index(TaskStatus.COMPLETED) :]) == {TaskStatus.COMPLETED}
        assert walk[walk.index(TaskStatus.COMPLETED) - 1] is TaskStatus.IN_PROGRESS


@given(start=STATUSES)
def test_every_state_but_completed_can_still_lead_to_completed(start: TaskStatus) -> None:
    reached = {start}
    for _ in TaskStatus:
        reached |= {after for before in reached for after in ALLOWED[before]}

    assert TaskStatus.COMPLETED in reached
