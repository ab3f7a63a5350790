import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from contexten.emulators.sender import GitHubDelivery, pull_request_payload
from contexten_core.db import utc_now
from contexten_core.errors import NotFoundError
from contexten_core.events.claim import RunRef
from contexten_core.events.finish import Ignored
from contexten_core.events.models import EffectStatus
from contexten_core.projects.resolve import Target
from contexten_core.prompts.catalogue import PromptCatalogue
from contexten_core.prompts.change import delete_prompt
from contexten_core.prompts.choose import Variant
from contexten_core.prompts.define import ConditionSpec, PromptSpec, define_prompt
from contexten_core.prompts.experiments.conduct import start_experiment
from contexten_core.prompts.explanation import explanation_of, replay
from contexten_core.prompts.index.index import PromptIndex
from contexten_core.prompts.match import match_event, stored_explanation
from contexten_core.prompts.models import ConditionOperator, Executor, PromptModel
from contexten_core.prompts.select import Choice
from contexten_core.prompts.store import by_slug
from contexten_core.tasks.models import TaskPriority, TaskType

if TYPE_CHECKING:
    from tests.component.conftest import Push, Worker


@pytest.fixture(scope="module")
def thermometer(tmp_path_factory: pytest.TempPathFactory) -> DemoRepository:
    return make_demo_repositories(tmp_path_factory.mktemp("repositories")).thermometer


async def _select(worker: "Worker", delivery: GitHubDelivery) -> tuple[RunRef, Choice | Ignored]:
    run = await worker.take_on(delivery)
    event = await worker.ingest(run)
    target = await worker.resolve(run, event)
    assert isinstance(target, Target)
    return run, await worker.select(run, event, target)


async def _define(worker: "Worker", slug: str, *, priority: int = 0, **expected: Any) -> None:
    spec = PromptSpec(
        slug=slug,
        name=slug,
        template=f"Do {slug}",
        executor_config={"command": "make"},
        conditions=tuple(
            ConditionSpec(name.replace("__", "."), ConditionOperator.EQUALS, value) for name, value in expected.items()
        ),
        priority=priority,
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
    (condition,) = explanation["candidates"][2]["conditions"]
    assert condition == {
        "name": "event.type",
        "field": "event.type",
        "operator": "equals",
        "expected": "release",
        "seen": "push",
        "holds": False,
        "logical_operator": "AND",
        "group": None,
        "looked_up": True,
    }
    stored = explanation_of(explanation)
    assert (stored.version, stored.revision, replay(stored)) == (1, 3, stored)


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


async def test_the_run_keeps_the_version_and_its_probability(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox")
    run, choice = await _select(worker, push())
    row = (await worker.history(run)).run

    assert isinstance(choice, Choice)
    assert (row.prompt_version, row.probability, choice.probability, choice.experiment_id) == (1, 1.0, 1.0, None)


async def test_an_experiment_picks_the_version_that_answers(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox")
    await _define(worker, "special", priority=5, event__type="push")
    await _define(worker, "special", priority=5, event__type="push", event__branch="main")
    prompt = await _prompt(worker, "special")
    async with worker.database.transaction() as session:
        experiment = await start_experiment(
            session,
            prompt.id,
            variants=(Variant(1, 1_000_000), Variant(2, 0.000_001)),
            minimum_samples=10,
            author="mara",
            may_protected=True,
            settings=worker.runtime.settings,
            now=utc_now(),
        )
    run, choice = await _select(worker, push())
    row = (await worker.history(run)).run

    assert isinstance(choice, Choice)
    assert (choice.version, choice.experiment_id) == (1, experiment.id)
    assert choice.probability == row.probability == pytest.approx(1.0)
    assert row.prompt_version == 1
    assert row.explanation is not None
    assert (row.explanation["version"], row.explanation["candidates"][0]["version"]) == (1, 2)
    stored = explanation_of(row.explanation)
    assert replay(stored) == stored


async def test_a_prompt_that_is_removed_meanwhile_leaves_its_place_to_the_next(
    worker: "Worker", push: "Push", monkeypatch: pytest.MonkeyPatch
) -> None:
    await worker.add_project("acme/cashbox")
    await _define(worker, "special", priority=5, event__type="push")
    async with worker.database.reading() as session:
        stale = [await worker.runtime.prompts.current(session)]
    async with worker.database.transaction() as session:
        prompt = await by_slug(session, "special")
        assert prompt is not None
        await delete_prompt(session, prompt.id)
    newest = PromptCatalogue.current

    async def current(catalogue: PromptCatalogue, session: AsyncSession) -> PromptIndex:
        return stale.pop() if stale else await newest(catalogue, session)

    monkeypatch.setattr(PromptCatalogue, "current", current)
    _, choice = await _select(worker, push())

    assert isinstance(choice, Choice)
    assert (choice.slug, stale) == ("acme-cashbox-checks", [])


async def _on_code(worker: "Worker", thermometer: DemoRepository, *conditions: ConditionSpec) -> None:
    await worker.add_project(thermometer.full_name, clone_url=str(thermometer.path))
    spec = PromptSpec(
        slug="on-code", name="x", template="x", executor_config={"command": "x"}, conditions=conditions, priority=5
    )
    async with worker.database.transaction() as session:
        await define_prompt(session, spec)


async def test_conditions_can_ask_about_the_code_and_what_changes(
    worker: "Worker", push: "Push", thermometer: DemoRepository
) -> None:
    await _on_code(
        worker,
        thermometer,
        ConditionSpec("event.type", ConditionOperator.EQUALS, "push"),
        ConditionSpec("codebase.primary_language", ConditionOperator.EQUALS, "Python"),
        ConditionSpec("codebase.files", ConditionOperator.GREATER_THAN, 1),
        ConditionSpec("change.files", ConditionOperator.GREATER_THAN, 0),
        ConditionSpec("change.risk", ConditionOperator.LESS_THAN, 101),
    )
    run, choice = await _select(worker, push(thermometer.full_name, commit=thermometer.head, before="0" * 40))
    explanation = (await worker.history(run)).run.explanation

    assert explanation is not None
    assert (explanation["winner"], explanation["notes"]) == ("on-code", [])
    assert isinstance(choice, Choice)
    assert all(condition["looked_up"] for condition in explanation["candidates"][0]["conditions"])


async def test_code_that_cannot_be_had_is_none_and_the_explanation_says_why(
    worker: "Worker", push: "Push", thermometer: DemoRepository
) -> None:
    await _on_code(
        worker,
        thermometer,
        ConditionSpec("event.type", ConditionOperator.EQUALS, "push"),
        ConditionSpec("change.files", ConditionOperator.GREATER_THAN, 0),
    )
    run, choice = await _select(worker, push(thermometer.full_name, commit="ab" * 20))
    explanation = (await worker.history(run)).run.explanation

    assert isinstance(choice, Choice)
    assert choice.slug != "on-code"
    assert explanation is not None
    (note,) = explanation["notes"]
    assert note.startswith("the code could not be looked at: ")
    assert explanation["fields"]["change.files"] is None


async def test_code_is_not_looked_at_where_it_cannot_decide(
    worker: "Worker", push: "Push", thermometer: DemoRepository
) -> None:
    await _on_code(
        worker,
        thermometer,
        ConditionSpec("event.type", ConditionOperator.EQUALS, "release"),
        ConditionSpec("codebase.files", ConditionOperator.GREATER_THAN, 1),
    )
    run, _ = await _select(worker, push(thermometer.full_name, commit="ab" * 20))
    explanation = (await worker.history(run)).run.explanation

    assert explanation is not None
    assert explanation["notes"] == []
    assert "codebase.files" not in explanation["fields"]


async def _prompt(worker: "Worker", slug: str) -> PromptModel:
    async with worker.database.reading() as session:
        prompt = await by_slug(session, slug)
    assert prompt is not None
    return prompt


async def test_a_stored_event_is_judged_again_without_a_run(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox")
    run, _ = await _select(worker, push())
    await _define(worker, "special", priority=5, event__type="push")
    await _define(worker, "risky", priority=9, event__type="push", change__risk=50)
    async with worker.database.reading() as session:
        _, before = await stored_explanation(session, str(run.run_id))
        _, same = await stored_explanation(session, str(run.event_id)[:8])
        now = await match_event(session, worker.runtime.prompts, run.event_id)

    assert (before.winner, same) == ("acme-cashbox-checks", before)
    assert now.winner == "special"
    assert now.notes == [
        "change.* is not known, so that no condition about it holds: what it changes is looked up only by a run"
    ]


async def test_what_was_not_selected_for_is_not_there(worker: "Worker", push: "Push") -> None:
    event_id = await worker.receive(push())
    async with worker.database.reading() as session:
        with pytest.raises(NotFoundError, match="no prompt has been selected for"):
            await stored_explanation(session, str(event_id))
        found = await match_event(session, worker.runtime.prompts, event_id)

    assert (found.winner, found.notes) == (None, ["no run has found out the event's project yet"])


async def test_the_repositorys_own_file_adds_and_narrows(
    worker: "Worker", push: "Push", thermometer: DemoRepository, tmp_path: Path
) -> None:
    worker.runtime.settings.repository_prompts = True
    text = "prompts:\n  - {slug: docs, name: Docs, when: {event.type: push}, do: {command: make}, template: Docs}\n"
    text += "narrow:\n  acme-thermometer-checks: {enabled: false}\n"
    commit = _with_file(thermometer, tmp_path / "narrowed.git", text)
    await worker.add_project(thermometer.full_name, clone_url=str(tmp_path / "narrowed.git"))
    run, choice = await _select(worker, push(thermometer.full_name, commit=commit))
    row = (await worker.history(run)).run

    assert isinstance(choice, Choice)
    assert (choice.slug, choice.version, choice.executor_config) == ("acme/thermometer/docs", 0, {"command": "make"})
    assert (row.prompt_id, row.prompt_version) == (None, None)
    assert row.explanation is not None
    assert [one["slug"] for one in row.explanation["candidates"]] == ["acme/thermometer/docs"]


async def test_a_repositorys_file_that_cannot_be_read_stops_everything(
    worker: "Worker", push: "Push", thermometer: DemoRepository, tmp_path: Path
) -> None:
    worker.runtime.settings.repository_prompts = True
    commit = _with_file(thermometer, tmp_path / "broken.git", "prompts: [")
    await worker.add_project(thermometer.full_name, clone_url=str(tmp_path / "broken.git"))
    _, choice = await _select(worker, push(thermometer.full_name, commit=commit))

    assert isinstance(choice, Ignored)
    assert choice.reason.startswith("there is no active prompt; .contexten.yaml of acme/thermometer at ")


def _with_file(source: DemoRepository, path: Path, text: str) -> str:
    """Copy a repository to `path`, add a file for Contexten to its default branch, and return the commit."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]

    def git(*arguments: str, given: str | None = None) -> str:
        done = subprocess.run(
            ["git", *who, *arguments], input=given, env=environment, capture_output=True, check=True, text=True
        )
        return done.stdout.strip()

    git("clone", "--quiet", "--bare", str(source.path), str(path))
    blob = git("-C", str(path), "hash-object", "-w", "--stdin", given=text)
    listed = git("-C", str(path), "ls-tree", source.head)
    tree = git("-C", str(path), "mktree", given=f"{listed}\n100644 blob {blob}\t.contexten.yaml\n")
    commit = git("-C", str(path), "commit-tree", tree, "-p", source.head, "-m", "Add the file")
    git("-C", str(path), "update-ref", f"refs/heads/{source.default_branch}", commit)
    return commit
