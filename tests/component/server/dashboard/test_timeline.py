from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from contexten.server.dashboard.timeline import Bar, timeline
from contexten_core.events.history import RunHistory
from contexten_core.events.models import EventHandlerModel, EventModel, HandlerStatus, RunModel, RunStatus
from contexten_core.events.steps import Step

START = datetime(2025, 11, 22, 16, 40, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def step(name: Step, begin: float, end: float | None, **values: Any) -> EventHandlerModel:
    return EventHandlerModel(
        **{
            "handler_name": name.value,
            "status": HandlerStatus.RUNNING if end is None else HandlerStatus.COMPLETED,
            "started_at": at(begin),
            "completed_at": None if end is None else at(end),
            "retry_count": 0,
            **values,
        }
    )


def bars(
    *steps: EventHandlerModel, ended: float | None, now: float = 100, status: RunStatus = RunStatus.COMPLETED
) -> list[Bar]:
    run = RunModel(
        id=uuid4(),
        status=RunStatus.RUNNING if ended is None else status,
        started_at=START,
        finished_at=None if ended is None else at(ended),
    )
    history = RunHistory(run, EventModel(), list(steps), effects=[], task=None, executions=[], log="")
    return timeline(history, at(now))


def test_bars_share_the_time_of_the_run() -> None:
    first, second, *rest = bars(step(Step.INGEST_EVENT, 0, 2.5), step(Step.RESOLVE_PROJECT, 5, 10), ended=10)
    assert (first.left, first.width, first.seconds) == (0, 25, 2.5)
    assert (second.left, second.width, second.seconds) == (50, 50, 5)
    assert {bar.state for bar in rest} == {"not reached"}
    assert [bar.step for bar in (first, second, *rest)] == list(Step)


def test_a_step_that_goes_on_reaches_to_now() -> None:
    (first, second, *rest) = bars(step(Step.INGEST_EVENT, 0, 1), step(Step.RESOLVE_PROJECT, 1, None), ended=None, now=4)
    assert (first.left, first.width) == (0, 25)
    assert (second.left, second.width, second.seconds, second.state) == (25, 75, 3, "running")
    assert {bar.state for bar in rest} == {"waiting"}


def test_a_step_that_was_left_unfinished_ends_with_its_run() -> None:
    left = bars(step(Step.INGEST_EVENT, 0, None), ended=8, now=90_000)[0]
    assert (left.seconds, left.state) == (8, "completed")
    left = bars(step(Step.INGEST_EVENT, 0, None), ended=8, status=RunStatus.CANCELLED)[0]
    assert (left.seconds, left.state) == (8, "cancelled")


def test_a_step_too_short_to_see_is_seen_all_the_same_and_inside() -> None:
    last = bars(step(Step.MINE_PATTERNS, 9.999, 10), ended=10)[-1]
    assert last.width > 0
    assert last.left + last.width <= 100


def test_the_state_of_a_verdict_is_the_verdict() -> None:
    ignored = step(Step.INGEST_EVENT, 0, 1, output_data={"reason": "the branch was deleted"})
    failed = step(Step.EXECUTE_TASK, 1, 2, output_data={"conclusion": "failure", "headline": "1 test failed"})
    shown = {bar.step: bar for bar in bars(ignored, failed, ended=2)}
    assert shown[Step.INGEST_EVENT].state == "ignored"
    assert shown[Step.EXECUTE_TASK].state == "failure"
    assert "1 test failed" in shown[Step.EXECUTE_TASK].found


def test_a_step_that_failed_says_why() -> None:
    failed = step(Step.ANALYSE_CODEBASE, 0, 1, status=HandlerStatus.FAILED, error_message="git\nfailed", retry_count=2)
    bar = bars(failed, ended=1)[3]
    assert (bar.state, bar.found, bar.retries) == ("failed", "git failed", 2)


def test_a_run_without_steps_has_seven_bars_of_nothing() -> None:
    assert [bar.width for bar in bars(ended=0)] == [0.0] * 7
