"""Many runs handled at once end as each would alone, and what breaks one breaks no other."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError

from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from contexten.emulators.sender import GitHubDelivery, pull_request_payload
from contexten_core.db.base import BaseModel
from contexten_core.errors import LeaseLostError
from contexten_core.events.claim import RunRef, claim_events
from contexten_core.events.finish import LifecycleResult
from contexten_core.events.models import Conclusion, EventStatus, HandlerStatus, RunStatus
from contexten_core.events.steps import Step
from contexten_core.faults import install
from contexten_core.projects.models import ProjectModel
from contexten_core.prompts.define import ConditionSpec, PromptSpec, define_prompt
from contexten_core.prompts.models import ConditionOperator, Executor, PromptModel, PromptUsageModel
from contexten_core.tasks.models import TaskExecutionModel, TaskModel, TaskStatus
from contexten_core.together import live_together

if TYPE_CHECKING:
    from tests.component.conftest import Push, Worker


@pytest.fixture(scope="session")
def thermometer(tmp_path_factory: pytest.TempPathFactory) -> DemoRepository:
    root: Path = tmp_path_factory.mktemp("repositories")
    return make_demo_repositories(root).thermometer


@pytest.fixture(name="claimed")
async def claimed_fixture(worker: "Worker", push: "Push", thermometer: DemoRepository) -> list[RunRef]:
    """Four pushes that a reply answers, claimed, of a commit that was analysed before."""
    await worker.add_project(thermometer.full_name, clone_url=str(thermometer.path), command="true")
    await worker.walk(await worker.take_on(push(thermometer.full_name, commit=thermometer.head, branch="first")))
    async with worker.database.transaction() as session:
        on_push = ConditionSpec("event.branch", ConditionOperator.REGEX_MATCH, "bench-.*")
        await define_prompt(
            session,
            PromptSpec(
                slug="thanks",
                name="Thanks",
                template="Thank you for {{ event.branch }}",
                executor=Executor.REPLY,
                priority=900,
                conditions=(on_push,),
            ),
        )
    for number in range(4):
        await worker.receive(push(thermometer.full_name, commit=thermometer.head, branch=f"bench-{number}"))
    return await claim_events(worker.runtime, limit=10)


@contextmanager
def counted_commits(worker: "Worker") -> Iterator[list[None]]:
    """Collect an item for every transaction that is committed meanwhile."""
    commits: list[None] = []

    def note(_: object) -> None:
        commits.append(None)

    engine = worker.database.engine.sync_engine
    event.listen(engine, "commit", note)
    try:
        yield commits
    finally:
        event.remove(engine, "commit", note)


async def rows(worker: "Worker", model: type[BaseModel]) -> list[Any]:
    async with worker.database.reading() as session:
        return list((await session.execute(select(model).order_by(model.created_at))).scalars())


async def claimed_commands(worker: "Worker", push: "Push", thermometer: DemoRepository, number: int) -> list[RunRef]:
    """Claim so many pushes of a commit that is known, each of which runs a command."""
    await worker.add_project(thermometer.full_name, clone_url=str(thermometer.path), command="true")
    await worker.walk(await worker.take_on(push(thermometer.full_name, commit=thermometer.head, branch="first")))
    for each in range(number):
        await worker.receive(push(thermometer.full_name, commit=thermometer.head, branch=f"bench-{each}"))
    return await claim_events(worker.runtime, limit=10)


async def test_each_of_many_has_its_own_records_log_and_reports(worker: "Worker", claimed: list[RunRef]) -> None:
    ended = await live_together(worker.runtime, claimed)

    assert [end.conclusion for end in ended if isinstance(end, LifecycleResult)] == [Conclusion.SUCCESS] * 4
    for run in claimed:
        history = await worker.history(run)
        assert [step.handler_name for step in history.steps] == list(Step)
        assert {(step.status, step.retry_count) for step in history.steps} == {(HandlerStatus.COMPLETED, 0)}
        assert (history.event.status, history.run.status) == (EventStatus.COMPLETED, RunStatus.COMPLETED)
        assert [effect.content["state"] for effect in history.effects] == ["pending", "success"]
        assert history.log is not None
        assert f"Thank you for {run.name.split()[1]}" in history.log


async def test_what_many_add_to_is_added_up(worker: "Worker", claimed: list[RunRef]) -> None:
    await live_together(worker.runtime, claimed)

    (project,) = await rows(worker, ProjectModel)
    assert (project.total_tasks, project.completed_tasks, project.failed_tasks) == (5, 5, 0)
    thanks = next(prompt for prompt in await rows(worker, PromptModel) if prompt.slug == "thanks")
    assert (thanks.usage_count, thanks.success_rate) == (4, 1.0)
    usage = next(usage for usage in await rows(worker, PromptUsageModel) if usage.prompt_id == thanks.id)
    assert (usage.uses, usage.successes, usage.errors) == (4, 4, 0)


async def test_one_that_another_worker_has_taken_over_stops_and_the_others_go_on(
    worker: "Worker", claimed: list[RunRef]
) -> None:
    lost, *kept = claimed
    await worker.change_event(lost.event_id, lease_epoch=lost.epoch + 1)
    first, *others = await live_together(worker.runtime, claimed)

    assert isinstance(first, LeaseLostError)
    assert [end.status for end in others if isinstance(end, LifecycleResult)] == [RunStatus.COMPLETED] * len(kept)
    assert (await worker.history(lost)).steps == []
    assert (await worker.event(lost.event_id)).status is EventStatus.PROCESSING


async def test_a_run_that_was_begun_alone_goes_on_at_its_first_open_step(
    worker: "Worker", claimed: list[RunRef]
) -> None:
    begun = claimed[0]
    await worker.resolve(begun, await worker.ingest(begun))
    before = [step.completed_at for step in (await worker.history(begun)).steps]
    await live_together(worker.runtime, claimed)
    history = await worker.history(begun)

    assert history.run.status is RunStatus.COMPLETED
    assert [step.completed_at for step in history.steps][:2] == before


async def test_pull_requests_go_together_as_pushes_do(
    worker: "Worker", claimed: list[RunRef], thermometer: DemoRepository
) -> None:
    with counted_commits(worker) as of_pushes:
        await live_together(worker.runtime, claimed)
    for number in range(4):
        payload = pull_request_payload(
            thermometer.full_name,
            number + 1,
            "synchronize",
            thermometer.head,
            thermometer.parent,
            f"bench-{number}",
            "Read the roof",
            "mona",
            at=datetime(2026, 1, 7, 10, number, tzinfo=UTC),
        )
        await worker.receive(GitHubDelivery(event="pull_request", payload=payload))
    runs = await claim_events(worker.runtime, limit=10)
    with counted_commits(worker) as of_pull_requests:
        ended = await live_together(worker.runtime, runs)

    assert [end.conclusion for end in ended if isinstance(end, LifecycleResult)] == [Conclusion.SUCCESS] * 4
    assert len(of_pull_requests) <= len(of_pushes)


async def test_those_whose_commands_end_one_after_another_go_on_together(
    worker: "Worker", push: "Push", thermometer: DemoRepository
) -> None:
    runs = await claimed_commands(worker, push, thermometer, 4)
    with counted_commits(worker) as commits:
        ended = await live_together(worker.runtime, runs)

    assert [end.conclusion for end in ended if isinstance(end, LifecycleResult)] == [Conclusion.SUCCESS] * 4
    # Three of each command's own; four steps before it and three behind it, of which some may not have met.
    assert len(commits) <= 3 * 4 + 4 + 3 + 3


@pytest.mark.parametrize("lost", [5, 6, 7], ids=["beginning", "task", "outcome"])
async def test_a_commit_whose_answer_is_lost_does_nothing_twice(
    worker: "Worker", push: "Push", thermometer: DemoRepository, lost: int
) -> None:
    runs = await claimed_commands(worker, push, thermometer, 2)
    commits = 0

    async def lose_one(place: str) -> None:
        nonlocal commits
        commits += place == "after commit"
        if commits == lost and place == "after commit":
            raise OperationalError("COMMIT", None, ConnectionError("lost"))

    install(lose_one)
    try:
        ended = await live_together(worker.runtime, runs)
    finally:
        install(None)

    assert commits > lost
    assert [end.conclusion for end in ended if isinstance(end, LifecycleResult)] == [Conclusion.SUCCESS] * 2
    tasks, executions = await rows(worker, TaskModel), await rows(worker, TaskExecutionModel)
    assert [task.status for task in tasks] == [TaskStatus.COMPLETED] * 3
    done = [execution for execution in executions if execution.status is TaskStatus.COMPLETED]
    assert {execution.task_id for execution in done} == {task.id for task in tasks}
    assert len(done) == 3
    (project,) = await rows(worker, ProjectModel)
    assert (project.total_tasks, project.completed_tasks) == (3, 3)
