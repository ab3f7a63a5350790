from typing import TYPE_CHECKING, Any

import pytest

from contexten.emulators.sender import GitHubDelivery, pull_request_payload
from contexten_core.events.claim import RunRef
from contexten_core.events.finish import Ignored
from contexten_core.events.models import EffectStatus
from contexten_core.projects.resolve import Target
from contexten_core.prompts.define import ConditionSpec, PromptSpec, define_prompt
from contexten_core.prompts.models import ConditionOperator, Executor
from contexten_core.prompts.select import Choice
from contexten_core.tasks.models import TaskPriority, TaskType

if TYPE_CHECKING:
    from tests.component.conftest import Push, Worker


async def _select(worker: "Worker", delivery: GitHubDelivery) -> tuple[RunRef, Choice | Ignored]:
    run = await worker.take_on(delivery)
    event = await worker.ingest(run)
    target = await worker.resolve(run, event)
    assert isinstance(target, Target)
    return run, await worker.select(run, event, target)


async def _define(worker: "Worker", slug: str, *, priority: int = 0, **expected: Any) -> None:
    conditions = [
        ConditionSpec(name.replace("__", "."), ConditionOperator.EQUALS, value) for name, value in expected.items()
    ]
    spec = PromptSpec(
        slug=slug, name=slug, template=f"Do {slug}", command="make", conditions=conditions, priority=priority
    )
    async with worker.database.transaction() as session:
        await define_prompt(session, spec)


def _pull_request(action: str) -> GitHubDelivery:
    payload = pull_request_payload(
        "acme/cashbox",
        12,
        action=action,
        head_sha="4d1c2b3a" * 5,
        base_sha="0a1b2c3d" * 5,
        head_ref="add-tax",
        title="Add tax",
        sender="jonas",
        labels=["ci"],
    )
    return GitHubDelivery(event="pull_request", payload=payload)


async def test_a_push_gets_the_projects_checks(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox", command="make test", limits={"wall_seconds": 60})
    run, choice = await _select(worker, push())

    assert isinstance(choice, Choice)
    assert (choice.slug, choice.version) == ("acme-cashbox-checks", 1)
    assert (choice.executor, choice.executor_config) == (Executor.COMMAND, {"command": "make test"})
    assert choice.limits == {"wall_seconds": 60}
    assert (choice.task_type, choice.task_priority) == (TaskType.TESTING, TaskPriority.MEDIUM)
    assert choice.instruction == "Run the project's own checks on the commit: make test"
    assert (await worker.history(run)).run.prompt_id == choice.prompt_id


async def test_the_run_keeps_why(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox")
    await _define(worker, "special", priority=5, event__type="push", event__branch="main")
    await _define(worker, "release", priority=9, event__type="release")
    run, choice = await _select(worker, push())
    explanation = (await worker.history(run)).run.explanation

    assert isinstance(choice, Choice)
    assert explanation is not None
    assert explanation["winner"] == choice.slug == "special"
    assert explanation["reason"] == "special applies and comes before 1 other(s) by priority and name"
    assert [(one["slug"], one["applies"]) for one in explanation["candidates"]] == [
        ("special", True),
        ("acme-cashbox-checks", True),
        ("release", False),
    ]
    assert explanation["candidates"][2]["conditions"] == [
        {
            "name": "event.type",
            "field": "event.type",
            "operator": "equals",
            "expected": "release",
            "seen": "push",
            "holds": False,
        }
    ]


async def test_the_commit_is_told_that_it_is_pending_once(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox", api_url="http://127.0.0.1:8080")
    run, _ = await _select(worker, push())
    (effect,) = (await worker.history(run)).effects

    assert (effect.kind, effect.status, effect.attempts) == ("github.commit_status", EffectStatus.PENDING, 0)
    assert effect.content == {
        "api_url": "http://127.0.0.1:8080",
        "repository": "acme/cashbox",
        "sha": "4d1c2b3a" * 5,
        "state": "pending",
        "context": "contexten/acme-cashbox-checks",
        "description": "Running",
        "target_url": f"https://contexten.acme.example/runs/{run.run_id}",
    }


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize"])
async def test_a_new_head_of_a_pull_request_is_checked(worker: "Worker", action: str) -> None:
    await worker.add_project("acme/cashbox")
    _, choice = await _select(worker, _pull_request(action))

    assert isinstance(choice, Choice)


@pytest.mark.parametrize("action", ["closed", "labeled", "edited"])
async def test_other_news_of_a_pull_request_are_not_and_the_reason_is_stored(worker: "Worker", action: str) -> None:
    await worker.add_project("acme/cashbox")
    run, choice = await _select(worker, _pull_request(action))
    history = await worker.history(run)

    assert choice == Ignored(f"none of 1 active prompts applies to pull_request {action} of acme-cashbox")
    assert history.run.explanation is not None
    assert (history.run.explanation["winner"], history.run.prompt_id) == (None, None)
    assert history.effects == []


async def test_the_prompt_of_another_project_does_not_apply(worker: "Worker", push: "Push") -> None:
    for name in ("acme/cashbox", "acme/thermometer"):
        await worker.add_project(name)
    _, choice = await _select(worker, push("acme/thermometer"))

    assert isinstance(choice, Choice)
    assert choice.slug == "acme-thermometer-checks"
