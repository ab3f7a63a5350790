"""The seven core calls, in order and without Prefect, on real repositories whose tests really run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from contexten.emulators.repositories import DemoRepositories, DemoRepository, make_demo_repositories
from contexten_core.analytics.models import AnalyticsEventType, AnalyticsModel
from contexten_core.codebase.models import CodebaseModel
from contexten_core.db import utc_now
from contexten_core.db.base import BaseModel
from contexten_core.errors import LeaseLostError
from contexten_core.events import keep
from contexten_core.events.claim import RunRef, replay_event
from contexten_core.events.delivery import Delivery
from contexten_core.events.models import Conclusion, EventProvider, EventStatus, HandlerStatus, RunStatus
from contexten_core.events.steps import Step
from contexten_core.learning.models import LearningModel, LearningPatternModel, LearningType
from contexten_core.projects import store as project_store
from contexten_core.projects.models import ProjectModel
from contexten_core.prompts.define import ConditionSpec, PromptSpec, define_prompt
from contexten_core.prompts.models import ConditionOperator, PromptModel
from contexten_core.tasks.models import TaskStatus

if TYPE_CHECKING:
    from tests.component.conftest import Push, Worker

FAILING_TEST = "tests/test_totals.py::test_total_rounds_to_the_cent"


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> DemoRepositories:
    return make_demo_repositories(tmp_path_factory.mktemp("repositories"))


async def _rows(worker: "Worker", model: type[BaseModel]) -> list[Any]:
    async with worker.database.reading() as session:
        return list((await session.execute(select(model).order_by(model.created_at))).scalars())


async def _take_on(worker: "Worker", push: "Push", repository: DemoRepository, *, commit: str | None = None) -> RunRef:
    await worker.add_project(repository.full_name, clone_url=str(repository.path))
    return await worker.take_on(push(repository.full_name, commit=commit or repository.head))


async def test_a_commit_whose_tests_pass(worker: "Worker", push: "Push", repositories: DemoRepositories) -> None:
    run = await _take_on(worker, push, repositories.thermometer)
    heard: list[str] = []
    result = await worker.walk(run, say=heard.append)
    history = await worker.history(run)

    assert (result.status, result.conclusion) == (RunStatus.COMPLETED, Conclusion.SUCCESS)
    assert [step.handler_name for step in history.steps] == list(Step)
    assert {step.status for step in history.steps} == {HandlerStatus.COMPLETED}
    assert history.event.status is EventStatus.COMPLETED
    assert history.event.project_id == history.run.project_id is not None
    assert history.event.task_id == history.run.task_id is not None
    assert "4 passed" in history.log == "".join(heard)
    assert history.task is not None
    assert history.task.status is TaskStatus.COMPLETED
    assert [effect.content["state"] for effect in history.effects] == ["pending", "success"]
    assert history.effects[1].content["description"].startswith("Succeeded in ")

    (codebase,) = await _rows(worker, CodebaseModel)
    assert (codebase.id, codebase.primary_language) == (history.run.codebase_id, "Python")
    assert (codebase.total_files, codebase.total_functions, codebase.total_classes) == (6, 6, 0)
    (figures,) = await _rows(worker, AnalyticsModel)
    assert (figures.event_type, figures.success) == (AnalyticsEventType.TASK_COMPLETED, True)
    assert (figures.session_id, figures.task_id) == (str(run.run_id), history.run.task_id)
    assert figures.duration_ms > 0
    (learned,) = await _rows(worker, LearningModel)
    assert (learned.learning_type, learned.task_id) == (LearningType.SUCCESS_ANALYSIS, history.run.task_id)
    assert await _rows(worker, LearningPatternModel) == []
    (project,) = await _rows(worker, ProjectModel)
    assert (project.total_tasks, project.completed_tasks, project.failed_tasks) == (1, 1, 0)
    (prompt,) = await _rows(worker, PromptModel)
    assert (prompt.usage_count, prompt.success_rate) == (1, 1.0)


async def test_a_commit_with_a_failing_test_and_the_same_again(
    worker: "Worker", push: "Push", repositories: DemoRepositories
) -> None:
    run = await _take_on(worker, push, repositories.cashbox)
    result = await worker.walk(run)
    history = await worker.history(run)

    assert (result.status, result.conclusion) == (RunStatus.COMPLETED, Conclusion.FAILURE)
    assert history.event.status is EventStatus.COMPLETED
    assert history.task is not None
    assert history.task.status is TaskStatus.FAILED
    assert "test_total_rounds_to_the_cent" in str(history.task.error_message)
    assert history.task.result is not None
    assert history.task.result["failed_tests"] == [FAILING_TEST]
    pending, final = history.effects
    assert (pending.content["state"], final.content["state"]) == ("pending", "failure")
    assert "test_total_rounds_to_the_cent" in final.content["description"]
    assert len(final.content["description"]) <= 140
    (pattern,) = await _rows(worker, LearningPatternModel)
    assert (pattern.occurrence_count, pattern.contexts) == (1, ["acme/cashbox"])
    (learned,) = await _rows(worker, LearningModel)
    assert (learned.learning_type, learned.data["fingerprint"]) == (LearningType.ERROR_ANALYSIS, pattern.fingerprint)
    assert learned.data["failed_tests"] == [FAILING_TEST]

    await replay_event(worker.database, run.event_id)
    again = await worker.claim()
    await worker.walk(again)
    mined = (await worker.history(again)).steps[-1].output_data

    (pattern,) = await _rows(worker, LearningPatternModel)
    assert pattern.occurrence_count == 2
    assert mined is not None
    assert (mined["occurrences"], mined["known"], mined["fingerprint"]) == (2, True, pattern.fingerprint)
    assert len(await _rows(worker, LearningModel)) == 2
    assert len(await _rows(worker, CodebaseModel)) == 1
    (project,) = await _rows(worker, ProjectModel)
    assert (project.total_tasks, project.completed_tasks, project.failed_tasks) == (2, 0, 2)
    (prompt,) = await _rows(worker, PromptModel)
    assert (prompt.usage_count, prompt.success_rate) == (2, 0.0)
    states = [effect.content["state"] for effect in (await worker.history(again)).effects]
    assert states == ["pending", "failure"]


async def test_the_branch_that_mends_it_reads_only_what_changed(
    worker: "Worker", push: "Push", repositories: DemoRepositories
) -> None:
    cashbox = repositories.cashbox
    await worker.walk(await _take_on(worker, push, cashbox, commit=cashbox.parent))
    run = await worker.take_on(push(cashbox.full_name, commit=cashbox.branch_head, branch=cashbox.branch))
    result = await worker.walk(run)
    examined = (await worker.history(run)).steps[3].output_data

    assert result.conclusion is Conclusion.SUCCESS
    assert examined is not None
    assert (examined["files"], examined["analysed"]) == (6, 2)


async def test_walking_an_ended_run_again_repeats_nothing(
    worker: "Worker", push: "Push", repositories: DemoRepositories
) -> None:
    run = await _take_on(worker, push, repositories.thermometer)
    await worker.walk(run)
    heard: list[str] = []
    with pytest.raises(LeaseLostError, match="is not in progress any more"):
        await worker.walk(run, say=heard.append)

    assert heard == []
    assert len(await _rows(worker, LearningModel)) == len(await _rows(worker, AnalyticsModel)) == 1
    assert len((await worker.history(run)).effects) == 2


async def test_a_clone_that_fails_is_a_failed_task_with_gits_words(
    worker: "Worker", push: "Push", tmp_path: Path
) -> None:
    await worker.add_project("acme/gone", clone_url=str(tmp_path / "gone.git"))
    run = await worker.take_on(push("acme/gone"))
    result = await worker.walk(run)
    history = await worker.history(run)
    steps = {step.handler_name: step for step in history.steps}

    assert (result.status, result.conclusion) == (RunStatus.COMPLETED, Conclusion.ERROR)
    assert steps["analyse-codebase"].status is HandlerStatus.FAILED
    assert history.task is not None
    assert (history.task.status, history.task.error_message) == (
        TaskStatus.FAILED,
        steps["analyse-codebase"].error_message,
    )
    assert "does not appear to be a git repository" in str(history.task.error_message)
    assert history.executions[0].error_details is not None
    assert history.executions[0].error_details["code"] == "git"
    assert [effect.content["state"] for effect in history.effects] == ["pending", "error"]
    (learned,) = await _rows(worker, LearningModel)
    assert (learned.data["conclusion"], learned.data["kind"]) == ("error", "environment")


async def test_a_commit_that_was_pushed_away(worker: "Worker", push: "Push", repositories: DemoRepositories) -> None:
    run = await _take_on(worker, push, repositories.thermometer, commit="4d1c2b3a" * 5)
    result = await worker.walk(run)
    history = await worker.history(run)

    assert result.conclusion is Conclusion.ERROR
    assert history.task is not None
    assert history.task.status is TaskStatus.FAILED
    assert history.log == f"{history.task.error_message}\n"


async def test_an_issue_of_linear_works_on_the_newest_commit_and_says_nothing_on_it(
    worker: "Worker", repositories: DemoRepositories
) -> None:
    cashbox = repositories.cashbox
    await worker.add_project(cashbox.full_name, clone_url=str(cashbox.path))
    spec = PromptSpec(
        "tickets",
        "tickets",
        "Look at the ticket",
        executor_config={"command": "git --version"},
        conditions=(
            ConditionSpec("event.provider", ConditionOperator.EQUALS, "linear"),
            ConditionSpec("event.title", ConditionOperator.CONTAINS, "tax"),
        ),
    )
    async with worker.database.transaction() as session:
        (project,) = await project_store.newest(session, limit=1)
        await project_store.set_config(session, project_id=project.id, config_type="linear", key="team", value="SHOP")
        await define_prompt(session, spec)
    payload = {"type": "Issue", "action": "create", "data": {"identifier": "SHOP-7", "title": "The tax is wrong"}}
    body = json.dumps(payload).encode()
    delivery = Delivery(EventProvider.LINEAR, "Issue", payload, {}, "application/json", body, body)
    await keep.write(worker.database, [delivery])
    run = await worker.claim()
    result = await worker.walk(run)
    history = await worker.history(run)

    assert (result.status, result.conclusion) == (RunStatus.COMPLETED, Conclusion.SUCCESS)
    assert (history.run.subject, history.run.commit_sha) == ("SHOP-7", cashbox.head)
    assert history.effects == []


async def test_a_repository_that_nobody_added_is_ignored_with_the_reason(worker: "Worker", push: "Push") -> None:
    run = await worker.take_on(push("acme/unknown"))
    result = await worker.walk(run)
    history = await worker.history(run)

    assert result.status is RunStatus.IGNORED
    assert "no project has the repository acme/unknown" in str(result.reason)
    assert history.event.status is EventStatus.SKIPPED
    assert [step.handler_name for step in history.steps] == [Step.INGEST_EVENT, Step.RESOLVE_PROJECT]
    assert (history.effects, history.task) == ([], None)
    assert history.run.started_at <= utc_now()
