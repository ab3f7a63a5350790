"""A fork's pull request, from the webhook to what people see at GitHub and in Slack, over real HTTP."""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import SecretStr

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.github_payloads import pull_request_payload
from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from contexten.emulators.sender import GitHubDelivery
from contexten.emulators.slack import RunningSlack, run_slack_emulator
from contexten.emulators.slack_deliveries import SlackDelivery
from contexten_core.db import utc_now
from contexten_core.events.delivery import Delivery
from contexten_core.events.finish import LifecycleResult
from contexten_core.events.history import RunHistory
from contexten_core.events.keep import write
from contexten_core.events.models import Conclusion, EventProvider, RunStatus
from contexten_core.events.receive import read_delivery
from contexten_core.integrations.outbox import deliver_due
from contexten_core.integrations.posters import posters_of
from contexten_core.projects import store as project_store
from contexten_core.tasks import approval_store
from contexten_core.tasks.models import ApprovalModel, ApprovalStatus

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Worker

TOKEN, SIGNING = "ghs_of_the_fork_tests", "the-signing-secret-of-the-fork-tests"


@pytest.fixture(scope="module")
def cashbox(tmp_path_factory: pytest.TempPathFactory) -> DemoRepository:
    return make_demo_repositories(tmp_path_factory.mktemp("repositories")).cashbox


@pytest.fixture
async def github(cashbox: DemoRepository) -> AsyncIterator[RunningEmulator]:
    async with run_emulator(required_token=TOKEN) as running:
        async with httpx.AsyncClient(base_url=running.url) as http:
            roles = {"mallory": "read", "mona": "write"}
            await http.put("/_emulator/permissions", json={"repository": cashbox.full_name, "roles": roles})
        yield running


@pytest.fixture
async def slack() -> AsyncIterator[RunningSlack]:
    async with run_slack_emulator() as running:
        yield running


@pytest.fixture
async def worker(
    open_worker: "OpenWorker", github: RunningEmulator, slack: RunningSlack, cashbox: DemoRepository
) -> AsyncIterator["Worker"]:
    async with open_worker(
        github_token=SecretStr(TOKEN),
        github_api_url=github.url,
        slack_bot_token=SecretStr("xoxb-of-the-fork-tests"),
        slack_api_url=f"{slack.url}/api/",
        slack_signing_secrets=(SecretStr(SIGNING),),
        api_timeout_seconds=10,
    ) as worker:
        await worker.add_project(cashbox.full_name, clone_url=str(cashbox.path))
        yield worker


def _pull_request(repository: DemoRepository, commit: str, *, action: str = "opened") -> GitHubDelivery:
    payload = pull_request_payload(
        repository.full_name, 7, action, commit, repository.parent, repository.branch, "Add tax", "mallory"
    )
    head = payload["pull_request"]["head"]
    head["repo"] = {**head["repo"], "full_name": "mallory/cashbox"}
    return GitHubDelivery(event="pull_request", payload=payload)


def _comment(repository: DemoRepository, text: str) -> GitHubDelivery:
    payload = {
        "action": "created",
        "comment": {"id": 1, "body": text, "user": {"login": "mona"}},
        "issue": {"number": 7, "title": "Add tax", "pull_request": {}},
        "repository": {"full_name": repository.full_name},
        "sender": {"login": "mona", "type": "User"},
    }
    return GitHubDelivery(event="issue_comment", payload=payload)


async def _handle(worker: "Worker") -> tuple[LifecycleResult, RunHistory]:
    """Handle the one event that waits, and deliver what is said."""
    run = await worker.claim()
    result = await worker.walk(run)
    posters = posters_of(worker.runtime.settings, worker.database)
    while await deliver_due(worker.runtime, posters):
        pass
    return result, await worker.history(run)


async def _take(worker: "Worker", delivery: GitHubDelivery) -> tuple[LifecycleResult, RunHistory]:
    await worker.receive(delivery)
    return await _handle(worker)


def _states(github: RunningEmulator, commit: str) -> list[tuple[str, str]]:
    found = github.recorder.statuses_of(repository="acme/cashbox", sha=commit)
    return [(status.state.value, status.context) for status in reversed(found)]


def _body(github: RunningEmulator) -> str:
    """Return what the one comment says that is edited; besides it there may be answers to what was asked."""
    (body,) = (str(one["body"]) for one in github.recorder.comments if "### " in one["body"])
    return body


async def test_it_waits_says_so_and_once_approved_that_very_commit_is_run(
    worker: "Worker", github: RunningEmulator, cashbox: DemoRepository
) -> None:
    pinned, context = cashbox.branch_head, "contexten/acme-cashbox-checks"
    waits, _ = await _take(worker, _pull_request(cashbox, pinned))
    waiting = _body(github)
    said, _ = await _take(worker, _comment(cashbox, f"/approve {pinned[:7]}"))
    approved = _body(github)
    result, history = await _handle(worker)

    assert waits.status is said.status is RunStatus.IGNORED
    assert f"✋ Contexten: waits for approval at `{pinned[:8]}`" in waiting
    assert f"comment `/contexten approve {pinned}`" in waiting
    assert f"⏳ Contexten: running at `{pinned[:8]}`" in approved
    assert "mona approved it" in approved
    # The tests of the base fail and those of the branch pass.
    assert (result.status, result.conclusion) == (RunStatus.COMPLETED, Conclusion.SUCCESS)
    assert history.run.commit_sha == pinned
    assert f"✅ Contexten: succeeded at `{pinned[:8]}`" in _body(github)
    assert _states(github, pinned) == [("pending", context), ("pending", context), ("success", context)]


async def test_what_was_approved_is_not_run_once_another_commit_was_pushed(
    worker: "Worker", github: RunningEmulator, cashbox: DemoRepository
) -> None:
    await _take(worker, _pull_request(cashbox, cashbox.branch_head))
    await _take(worker, _pull_request(cashbox, cashbox.head, action="synchronize"))
    late, _ = await _take(worker, _comment(cashbox, f"/approve {cashbox.branch_head}"))

    assert f"nothing waits for an approval of {cashbox.branch_head[:7]}" in str(late.reason)
    assert [state for state, _ in _states(github, cashbox.branch_head)] == ["pending", "error"]
    assert [state for state, _ in _states(github, cashbox.head)] == ["pending"]
    assert f"waits for approval at `{cashbox.head[:8]}`" in _body(github)


async def _press(worker: "Worker", slack: RunningSlack, *, user: str, action: str = "contexten_approve") -> None:
    """Have somebody press a button of the one message, and receive what Slack sends."""
    (message,) = (message for message in slack.recorder.messages if "thread_ts" not in message)
    sent = SlackDelivery.of_press(message, action, user=user)
    delivery = read_delivery(
        EventProvider.SLACK,
        headers=sent.headers(SIGNING),
        body=sent.body,
        settings=worker.runtime.settings,
        now=utc_now(),
    )
    assert isinstance(delivery, Delivery)
    await write(worker.database, [delivery])


async def _ask_in_slack(worker: "Worker", repository: DemoRepository) -> ApprovalModel:
    async with worker.database.transaction() as session:
        (project,) = await project_store.newest(session, limit=1)
        for kind, key, value in (("slack", "channel", "C0CASHBOX"), ("approvers", "slack", ["U1"])):
            await project_store.set_config(session, project_id=project.id, config_type=kind, key=key, value=value)
    await _take(worker, _pull_request(repository, repository.branch_head))
    return await _approval(worker)


async def _approval(worker: "Worker") -> ApprovalModel:
    async with worker.database.reading() as session:
        (approval,) = (await approval_store.page_approvals(session, limit=9, now=utc_now())).rows
    return approval


async def test_a_button_in_slack_starts_it(worker: "Worker", slack: RunningSlack, cashbox: DemoRepository) -> None:
    await _ask_in_slack(worker, cashbox)
    (asked,) = slack.recorder.messages
    await _press(worker, slack, user="U1")
    pressed, _ = await _handle(worker)
    (answered,) = slack.recorder.messages
    result, _ = await _handle(worker)
    (ended,) = slack.recorder.messages

    assert asked["blocks"][-1]["type"] == "actions"
    assert str(pressed.reason).startswith(f"/contexten approve {cashbox.branch_head[:7]} by U1: ")
    assert str(pressed.reason).endswith("of acme/cashbox#7 is approved; it is handled again")
    assert answered["blocks"] == []
    assert "U1 approved it" in answered["text"]
    assert result.conclusion is Conclusion.SUCCESS
    assert ended["text"].startswith("*✅ Contexten: succeeded*")
    assert [(one["ts"], one["name"]) for one in slack.recorder.reactions] == [(asked["ts"], "white_check_mark")]
    assert (await _approval(worker)).decided_through == "slack"


async def test_a_button_does_nothing_for_who_may_not_approve(
    worker: "Worker", slack: RunningSlack, cashbox: DemoRepository
) -> None:
    await _ask_in_slack(worker, cashbox)
    await _press(worker, slack, user="U2")
    pressed, _ = await _handle(worker)

    assert "not permitted; the project's setting slack of approvers lists who may" in str(pressed.reason)
    assert (await _approval(worker)).status is ApprovalStatus.PENDING
    assert len(slack.recorder.messages) == 1


async def test_a_button_that_is_pressed_after_something_changed_is_answered_in_the_thread(
    worker: "Worker", slack: RunningSlack, cashbox: DemoRepository
) -> None:
    approval = await _ask_in_slack(worker, cashbox)
    await _press(worker, slack, user="U1", action="contexten_refuse")
    async with worker.database.transaction() as session:
        row = await approval_store.get(session, approval.id)
        assert row is not None
        row.status = ApprovalStatus.VOID
    pressed, _ = await _handle(worker)
    asked, answer = slack.recorder.messages

    assert "is void: its commit or its plan has changed meanwhile" in str(pressed.reason)
    assert answer["thread_ts"] == asked["ts"]
    assert "is void" in answer["text"]


async def test_a_button_with_a_value_that_is_not_ours_decides_nothing(
    worker: "Worker", slack: RunningSlack, cashbox: DemoRepository
) -> None:
    approval = await _ask_in_slack(worker, cashbox)
    (message,) = slack.recorder.messages
    sent = SlackDelivery.of_press(message, "contexten_approve", user="U1")
    payload: dict[str, Any] = json.loads(parse_qs(sent.body.decode())["payload"][0])
    for value in (f"{approval.id}:{cashbox.head}", "1 OR 1=1", f"{approval.event_id}:{cashbox.branch_head}"):
        payload["actions"][0]["value"] = value
        body = json.dumps(payload).encode()
        await write(
            worker.database,
            [Delivery(EventProvider.SLACK, "block_actions", payload, {}, "application/json", body, body)],
        )
        pressed, _ = await _handle(worker)
        assert pressed.status is RunStatus.IGNORED

    assert (await _approval(worker)).status is ApprovalStatus.PENDING
