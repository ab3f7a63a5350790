"""What runs write into the outbox about themselves; the task itself is not carried out here."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from contexten.emulators.sender import GitHubDelivery, pull_request_payload
from contexten_core.db import utc_now
from contexten_core.errors import ConfigurationError
from contexten_core.events import keep
from contexten_core.events.admit import admit_events
from contexten_core.events.cancel import end_or_hand_back
from contexten_core.events.claim import RunRef, replay_event
from contexten_core.events.delivery import Delivery
from contexten_core.events.finish import Ignored, complete_run, fail_run, ignore_run
from contexten_core.events.models import Conclusion, EventProvider, OutboxModel
from contexten_core.events.steps import Step, StepRecord, run_step
from contexten_core.execution.executor import Cost
from contexten_core.learning.failure import explain_failure
from contexten_core.projects import store as project_store
from contexten_core.projects.resolve import Target
from contexten_core.prompts.define import ConditionSpec, PromptSpec, define_prompt
from contexten_core.prompts.models import ConditionOperator
from contexten_core.prompts.select import Choice
from contexten_core.tasks import approval_store
from contexten_core.tasks.approve import Waiting, decide, expire_due
from contexten_core.tasks.change import create_task
from contexten_core.tasks.inputs import TaskCreate
from contexten_core.tasks.models import ApprovalModel, TaskStatus, TaskType
from contexten_core.tasks.outcome import Outcome

if TYPE_CHECKING:
    from tests.component.conftest import Push, Worker
    from tests.component.integrations.conftest import Dispatcher

COMMITS = [letter * 40 for letter in "abcdef"]
LOG = "FAILED tests/test_totals.py::test_total\nE   assert 1 == 2\n```\n@everyone /approve\n"


@pytest.fixture(scope="module")
def cashbox(tmp_path_factory: pytest.TempPathFactory) -> DemoRepository:
    return make_demo_repositories(tmp_path_factory.mktemp("repositories")).cashbox


def _pull_request(number: int = 1, *, fork: bool = False) -> GitHubDelivery:
    """Return the opening of a pull request, or its push of that number."""
    payload = pull_request_payload(
        "acme/cashbox",
        7,
        action="opened" if number == 1 else "synchronize",
        head_sha=COMMITS[number],
        base_sha=COMMITS[0],
        before=COMMITS[number - 1],
        head_ref="add-tax",
        title="Add tax",
        sender="jonas",
    )
    if fork:
        payload["pull_request"]["head"]["repo"] = {"full_name": "stranger/cashbox"}
    return GitHubDelivery(event="pull_request", payload=payload)


class Begun:
    """A run whose prompt was selected."""

    def __init__(self, worker: "Worker", run: RunRef, target: Target, choice: Choice) -> None:
        self.worker, self.run, self.target, self.choice = worker, run, target, choice

    async def execute(self, conclusion: Conclusion = Conclusion.SUCCESS, *, log: str = LOG) -> Outcome:
        """Have its task end."""

        async def work(record: StepRecord) -> Outcome:
            async with record.runtime.database.transaction() as session:
                given = TaskCreate(name="checks", task_type=TaskType.TESTING, status=TaskStatus.IN_PROGRESS)
                task, _ = await create_task(session, given)
                (await record.model(session)).task_id = task.id
                failed = conclusion is Conclusion.FAILURE
                failure = explain_failure(log, exit_code=1, ended="exited") if failed else None
                headline = failure.headline if failure else "Succeeded in 1.5 s"
                outcome = Outcome(
                    task.id, uuid4(), conclusion, headline, duration_seconds=1.5, failure=failure, cost=Cost(1, 900, 99)
                )
                return await record.complete(session, outcome)

        return await run_step(self.worker.runtime, self.run, Step.EXECUTE_TASK, Outcome, work)

    async def end(self, conclusion: Conclusion = Conclusion.SUCCESS, *, log: str = LOG) -> None:
        outcome = await self.execute(conclusion, log=log)
        await self.worker.record(self.run, self.target, self.choice, outcome)
        await complete_run(self.worker.runtime, self.run, conclusion)


async def _continue(worker: "Worker", run: RunRef) -> Begun:
    event = await worker.ingest(run)
    target = await worker.resolve(run, event)
    assert isinstance(target, Target)
    choice = await worker.select(run, event, target)
    assert isinstance(choice, Choice)
    return Begun(worker, run, target, choice)


async def _begin(worker: "Worker", delivery: GitHubDelivery) -> Begun:
    return await _continue(worker, await worker.take_on(delivery))


async def _effects(worker: "Worker", kind: str) -> list[OutboxModel]:
    async with worker.database.reading() as session:
        statement = select(OutboxModel).where(OutboxModel.kind == kind)
        found = list((await session.execute(statement.order_by(OutboxModel.created_at))).scalars())
    sequences = [effect.content.get("sequence", 0) for effect in found]
    assert kind not in ("github.sticky", "linear.sticky", "slack.message") or sequences == sorted(set(sequences))
    return found


async def _said(worker: "Worker", kind: str = "github.sticky") -> list[str]:
    return [str(effect.content.get("body") or effect.content.get("text")) for effect in await _effects(worker, kind)]


async def _set(worker: "Worker", config_type: str, key: str, value: Any) -> None:
    async with worker.database.transaction() as session:
        (project,) = await project_store.newest(session, limit=1)
        await project_store.set_config(session, project_id=project.id, config_type=config_type, key=key, value=value)


async def test_a_pull_request_is_told_that_its_run_began_and_how_it_ended(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    begun = await _begin(worker, _pull_request())
    (started,) = await _said(worker)
    await begun.end(Conclusion.FAILURE)
    first, last = await _effects(worker, "github.sticky")
    body = last.content["body"]

    assert started.startswith("### ⏳ Contexten: running at `bbbbbbbb`")
    assert "| `acme-cashbox-checks` | `bbbbbbbb` | ⏳ running | – | – |" in started
    assert body.startswith("### ❌ Contexten: failed at `bbbbbbbb`")
    assert "| ❌ failed | 1.5 s | 999 tokens |" in body
    assert "````text\nFAILED tests/test_totals.py::test_total\n" in body
    assert "/approve" not in body
    assert f"contexten events replay {begun.run.event_id}" in body
    assert f"https://contexten.acme.example/runs/{begun.run.run_id}" in body
    assert first.stream == last.stream == last.content["post"] == "github:acme/cashbox#7"
    assert (last.content["number"], last.content["repository"]) == (7, "acme/cashbox")
    assert last.content["sequence"] > first.content["sequence"]
    assert [effect.content["state"] for effect in await _effects(worker, "github.commit_status")] == [
        "pending",
        "failure",
    ]


async def test_five_pushes_of_which_one_overtakes_another_and_one_arrives_late(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    await (await _begin(worker, _pull_request(1))).end(Conclusion.FAILURE)
    overtaken = await _begin(worker, _pull_request(2))
    await worker.receive(_pull_request(3))
    await admit_events(worker.runtime, limit=10)
    await end_or_hand_back(worker.runtime, overtaken.run)
    broken = await _continue(worker, await worker.claim())
    await fail_run(worker.runtime, broken.run, ValueError("postgresql://contexten:hunter2@db"))
    await (await _begin(worker, _pull_request(5))).end()
    await (await _begin(worker, _pull_request(4))).end(Conclusion.FAILURE)
    sticky = await _effects(worker, "github.sticky")
    told = [line for line in sticky[-1].content["body"].splitlines() if line.startswith("| `")]

    assert len({effect.content["post"] for effect in sticky}) == 1
    assert len(sticky) == 10
    assert sticky[-1].content["body"].startswith("### ✅ Contexten: succeeded at `ffffffff`")
    assert [line.split(" | ")[1:3] for line in told] == [
        ["`ffffffff`", "✅ succeeded"],
        ["`eeeeeeee`", "❌ failed"],
        ["`dddddddd`", "❗ could not be done"],
        ["`cccccccc`", "⏹ cancelled"],
        ["`bbbbbbbb`", "❌ failed"],
    ]
    states: dict[str, list[str]] = {commit: [] for commit in COMMITS[1:]}
    for effect in await _effects(worker, "github.commit_status"):
        states[effect.content["sha"]].append(effect.content["state"])
        assert effect.content["context"] == "contexten/acme-cashbox-checks"
    finals = ["failure", "error", "error", "failure", "success"]
    assert list(states.values()) == [["pending", final] for final in finals]


async def test_a_run_that_dies_is_concluded_without_what_it_may_not_say(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    begun = await _begin(worker, _pull_request())
    await fail_run(worker.runtime, begun.run, ValueError("cannot connect to postgresql://contexten:hunter2@db/ci"))
    again = await _begin(worker, _pull_request(2))
    await fail_run(worker.runtime, again.run, ConfigurationError("the disk is full"))
    _, dead, _, last = await _said(worker)

    assert dead.startswith("### ❗ Contexten: could not be done at `bbbbbbbb`")
    assert "`Contexten could not finish this; its run page says why`" in dead
    assert "`Contexten: the disk is full`" in last
    assert not any("hunter2" in said for said in (dead, last))


async def test_a_run_that_dies_after_its_report_is_not_contradicted(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    begun = await _begin(worker, _pull_request())
    await worker.record(begun.run, begun.target, begun.choice, await begun.execute())
    await fail_run(worker.runtime, begun.run, ValueError("too late"))
    await _begin(worker, _pull_request(2))
    said = await _said(worker)

    assert [line.split(" at ")[0] for line in said] == [
        "### ⏳ Contexten: running",
        "### ✅ Contexten: succeeded",
        "### ⏳ Contexten: running",
    ]
    assert "`bbbbbbbb` | ✅ succeeded" in said[-1]


async def test_a_run_that_is_taken_over_or_repeated_says_nothing_twice(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    run = await worker.take_on(_pull_request())
    await _continue(worker, run)
    begun = await _continue(worker, run)
    outcome = await begun.execute()
    for _ in range(2):
        await worker.record(run, begun.target, begun.choice, outcome)

    assert len(await _said(worker)) == len(await _effects(worker, "github.commit_status")) == 2


async def test_a_rerun_replaces_what_the_first_run_of_the_commit_said(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    begun = await _begin(worker, _pull_request())
    await begun.end(Conclusion.FAILURE)
    await replay_event(worker.database, begun.run.event_id)
    again = await _continue(worker, await worker.claim())
    await again.end()
    last = (await _said(worker))[-1]

    assert last.startswith("### ✅ Contexten: succeeded at `bbbbbbbb`")
    assert "failed" not in last


async def _refuse(worker: "Worker", delivery: GitHubDelivery, why: str) -> None:
    run = await worker.take_on(delivery)
    await worker.resolve(run, await worker.ingest(run))
    await ignore_run(worker.runtime, run, Ignored(why, refused=True))


async def test_a_pull_request_that_is_refused_is_told_why(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    await _refuse(worker, _pull_request(), "the budget of @jonas is used up")
    (said,) = await _said(worker)

    assert said.startswith("### 🚫 Contexten: not run at `bbbbbbbb`")
    assert "the budget of `@jonas` is used up" in said
    assert await _effects(worker, "github.commit_status") == []


@pytest.mark.parametrize("approved", [True, False])
async def test_a_pull_request_from_a_fork_waits_for_approval_and_says_so(worker: "Worker", *, approved: bool) -> None:
    await worker.add_project("acme/cashbox")
    run = await worker.take_on(_pull_request(fork=True))
    await worker.walk(run)
    which = Waiting.on("acme/cashbox", 7, COMMITS[1][:7])
    async with worker.database.transaction() as session:
        await decide(session, worker.runtime, which, approved=approved, by="jonas", through="github", now=utc_now())
    if approved:
        await (await _continue(worker, await worker.claim())).end()
    waiting, decided, *rest = await _said(worker)

    assert waiting.startswith("### ✋ Contexten: waits for approval at `bbbbbbbb`")
    assert "| `acme-cashbox-checks` | `bbbbbbbb` | ✋ waits for approval |" in waiting
    assert "the pull request comes from a fork" in waiting
    assert f"`/contexten approve {COMMITS[1]}`" in waiting
    assert f"jonas {'approved' if approved else 'refused to approve'} it" in decided
    assert [said.split(" at ")[0] for said in rest] == (
        ["### ⏳ Contexten: running", "### ✅ Contexten: succeeded"] if approved else []
    )


async def _wait_for_approval(worker: "Worker", number: int = 1) -> ApprovalModel:
    """Have a fork's push of that number wait, and return what is asked for."""
    await worker.walk(await worker.take_on(_pull_request(number, fork=True)))
    async with worker.database.reading() as session:
        (approval,) = await approval_store.waiting(session, subject="acme/cashbox#7")
    return approval


async def _final_states(worker: "Worker") -> list[tuple[str, str, str]]:
    statuses = [effect.content for effect in await _effects(worker, "github.commit_status")]
    return [(one["sha"][:1], one["state"], one["description"]) for one in statuses if one["state"] != "pending"]


async def test_an_approval_that_nobody_gave_in_time_says_so(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    approval = await _wait_for_approval(worker)
    async with worker.database.transaction() as session:
        row = await approval_store.get(session, approval.id)
        assert row is not None
        row.expires_at = utc_now() - timedelta(seconds=1)
    noted = [await expire_due(worker.runtime) for _ in range(2)]
    waiting, expired = await _said(worker)

    assert noted == [1, 0]
    assert waiting.startswith("### ✋ Contexten: waits for approval")
    assert expired.startswith("### 🚫 Contexten: not run at `bbbbbbbb`")
    assert "the pull request comes from a fork; nobody approved it in time" in expired
    assert await _final_states(worker) == [("b", "error", "nobody approved it in time")]


async def test_an_approval_that_a_newer_commit_makes_void_says_so_on_the_old_one(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    await _wait_for_approval(worker)
    await _wait_for_approval(worker, 2)
    last = (await _said(worker))[-1]

    assert last.startswith("### ✋ Contexten: waits for approval at `cccccccc`")
    assert "| `acme-cashbox-checks` | `bbbbbbbb` | 🚫 not run |" in last
    assert await _final_states(worker) == [("b", "error", "not run: ccccccc came before anybody approved it")]


async def test_what_an_approval_is_about_to_cost_is_told(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    for number in (1, 2, 3):
        await (await _begin(worker, _pull_request(number))).end()
    approval = await _wait_for_approval(worker, 4)

    assert approval.plan["expected"] == {
        "runs": 3,
        "seconds": {"median": 1.5, "high": 1.5},
        "tokens": {"median": 999, "high": 999},
        "dollars": {"median": 0, "high": 0},
    }
    assert (
        "It is likely to take: 1.5 s (up to 1.5 s), 999 tokens (up to 999 tokens); by 3 past runs."
        in (await _said(worker))[-1]
    )


async def test_a_budget_that_is_nearly_used_up_is_reported_before_it_stops_anything(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    await _set(worker, "budget", "daily_runs", 2)
    for number in (1, 2):
        begun = await _begin(worker, _pull_request(number))
        await begun.end()
    await worker.walk(await worker.take_on(_pull_request(3)))
    first, _, near, _, over = await _said(worker)

    assert "⚠️" not in first
    assert "⚠️ daily runs: 1 of 2 runs used" in near
    assert over.startswith("### 🚫 Contexten: not run at `dddddddd`")
    assert "the project's budget is used up, daily runs: 2 of 2 runs used" in over
    assert "comment `/contexten rerun`" in over


async def test_what_waits_is_shown_with_buttons_in_the_projects_channel_until_it_is_answered(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    await _set(worker, "slack", "channel", "C1")
    await _set(worker, "approvers", "slack", ["U1"])
    approval = await _wait_for_approval(worker)
    async with worker.database.transaction() as session:
        await decide(session, worker.runtime, approval.id, approved=True, by="mona", through="api", now=utc_now())
    await (await _continue(worker, await worker.claim())).end()
    asked, *later = [effect.content for effect in await _effects(worker, "slack.message")]

    assert (asked["channel"], asked["thread_ts"]) == ("C1", None)
    assert asked["text"].startswith("*✋ Contexten: waits for approval* at `bbbbbbbb` of `acme/cashbox#7`")
    assert asked["blocks"][-1]["elements"][0]["value"] == f"{approval.id}:{COMMITS[1]}"
    assert [one["blocks"] for one in later] == [[], [], []]
    assert [one["post"] for one in later] == [asked["post"]] * 3
    assert "mona approved it" in later[0]["text"]
    assert later[-1]["text"].startswith("*✅ Contexten: succeeded* at `bbbbbbbb` of `acme/cashbox#7`")


async def test_who_was_approved_and_is_refused_for_something_else_is_told_that(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    await worker.walk(await worker.take_on(_pull_request(fork=True)))
    async with worker.database.transaction() as session:
        which = Waiting.on("acme/cashbox", 7, COMMITS[1][:7])
        await decide(session, worker.runtime, which, approved=True, by="jonas", through="github", now=utc_now())
    await ignore_run(worker.runtime, await _resolved(worker), Ignored("the budget is used up", refused=True))

    assert "the budget is used up" in (await _said(worker))[-1]


async def _resolved(worker: "Worker") -> RunRef:
    run = await worker.claim()
    await worker.resolve(run, await worker.ingest(run))
    return run


async def test_an_event_that_no_prompt_applies_to_says_nothing_and_is_not_told_of(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    delivery = _pull_request()
    run = await worker.take_on(GitHubDelivery(event="pull_request", payload={**delivery.payload, "action": "labeled"}))
    await worker.walk(run)
    await (await _begin(worker, _pull_request(2))).end()

    assert [said.count("| `acme-") for said in await _said(worker)] == [1, 1]


async def test_a_push_has_its_status_and_no_comment(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox")
    await (await _begin(worker, push())).end()

    assert await _said(worker) == []
    assert len(await _effects(worker, "github.commit_status")) == 2


async def test_a_project_that_wants_no_comments_gets_statuses_alone(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    await _set(worker, "reports", "comments", value=False)
    await (await _begin(worker, _pull_request())).end()
    await _refuse(worker, _pull_request(2), "the budget is used up")

    assert await _said(worker) == []
    assert len(await _effects(worker, "github.commit_status")) == 2


async def test_a_secret_in_a_log_is_not_reported(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    secret = "ghp_" + "a1B2" * 9
    await (await _begin(worker, _pull_request())).end(Conclusion.FAILURE, log=f"Error: bad token {secret}\n")
    statuses = await _effects(worker, "github.commit_status")

    assert secret not in (await _said(worker))[-1] + statuses[-1].content["description"]


async def _ask(worker: "Worker", cashbox: DemoRepository, provider: EventProvider, payload: dict[str, Any]) -> RunRef:
    """Have a project's ticket or thread ask something."""
    await worker.add_project(cashbox.full_name, clone_url=str(cashbox.path))
    config = ("linear", "team", "SHOP") if provider is EventProvider.LINEAR else ("slack", "channel", "C1")
    await _set(worker, *config)
    is_asked = ConditionSpec("event.provider", ConditionOperator.EQUALS, provider.value)
    spec = PromptSpec("answers", "answers", "Say", executor_config={"command": "make"}, conditions=(is_asked,))
    async with worker.database.transaction() as session:
        await define_prompt(session, spec)
    kind = str(payload["type"] if provider is EventProvider.LINEAR else payload["event"]["type"])
    body = json.dumps(payload).encode()
    await keep.write(worker.database, [Delivery(provider, kind, payload, {}, "application/json", body, body)])
    return await worker.claim()


async def test_who_asks_at_linear_sees_it_there(worker: "Worker", cashbox: DemoRepository) -> None:
    issue = {"id": "issue-1", "identifier": "SHOP-7", "team": {"key": "SHOP"}}
    comment = {"id": "comment-1", "body": "why?", "issueId": "issue-1", "issue": issue}
    payload = {"type": "Comment", "action": "create", "data": comment}
    begun = await _continue(worker, await _ask(worker, cashbox, EventProvider.LINEAR, payload))
    await begun.end()
    started, ended = await _effects(worker, "linear.sticky")
    (reaction,) = await _effects(worker, "linear.reaction")

    assert reaction.content == {"comment_id": "comment-1", "emoji": "eyes"}
    assert (ended.content["issue_id"], ended.content["post"]) == ("issue-1", "linear:issue-1")
    assert "running" in started.content["body"]
    assert ended.content["body"].startswith("### ✅ Contexten: succeeded")
    assert await _effects(worker, "github.commit_status") == []


async def test_who_asks_in_slack_sees_it_there(worker: "Worker", cashbox: DemoRepository) -> None:
    event = {"type": "app_mention", "channel": "C1", "ts": "2.5", "thread_ts": "1.5", "text": "is main broken?"}
    payload = {"type": "event_callback", "event": event}
    begun = await _continue(worker, await _ask(worker, cashbox, EventProvider.SLACK, payload))
    await begun.end(Conclusion.FAILURE)
    _, ended = await _effects(worker, "slack.message")
    (reaction,) = await _effects(worker, "slack.reaction")

    assert reaction.content == {"channel": "C1", "ts": "2.5", "name": "eyes"}
    assert (ended.content["channel"], ended.content["thread_ts"]) == ("C1", "1.5")
    assert ended.content["post"] == "slack:C1:1.5:C1/1.5"
    assert ended.content["text"].startswith("*❌ Contexten: failed*")
    assert "body" not in ended.content


async def test_at_github_five_pushes_make_one_comment(dispatcher: "Dispatcher") -> None:
    worker, github = dispatcher.worker, dispatcher.github.recorder
    await worker.add_project("acme/cashbox")
    for number in range(1, 6):
        begun = await _begin(worker, _pull_request(number))
        await dispatcher.deliver()
        await begun.end(Conclusion.FAILURE if number < 5 else Conclusion.SUCCESS)
    while await dispatcher.deliver():
        pass
    (comment,) = github.comments
    last = {status.sha: status.state.value for status in github.statuses}

    assert "### ✅ Contexten: succeeded at `ffffffff`" in comment["body"]
    assert comment["body"].count("| ❌ failed |") == 4
    assert last == dict(zip(COMMITS[1:], ["failure"] * 4 + ["success"], strict=True))
