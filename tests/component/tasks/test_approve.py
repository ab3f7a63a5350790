"""From the request for an approval to the run that finds it, and the verbs that people answer with."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.sender import GitHubDelivery, pull_request_payload
from contexten_core.db import utc_now
from contexten_core.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from contexten_core.events.finish import Ignored, complete_run, ignore_run
from contexten_core.events.models import Conclusion, EventStatus
from contexten_core.events.verbs import autofix_allowed
from contexten_core.projects import store as project_store
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.tasks import approval_store
from contexten_core.tasks.approve import VALID_FOR, Waiting, approval_line, decide, plan_digest
from contexten_core.tasks.models import ApprovalModel, ApprovalStatus

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Worker

TOKEN = "ghp_of_the_approval_tests"
CASHBOX = "acme/cashbox"
COMMIT = "4d1c2b3a" * 5
NEXT = "0a1b2c3d" * 5
RunRef = Any


def _pull_request(*, commit: str = COMMIT, fork: bool = True, sender: str = "mallory") -> GitHubDelivery:
    payload = pull_request_payload(
        CASHBOX,
        12,
        action="synchronize",
        head_sha=commit,
        base_sha="1a2b3c4d" * 5,
        head_ref="add-tax",
        title="Add tax",
        sender=sender,
    )
    if fork:
        head = payload["pull_request"]["head"]
        head["repo"] = {**head["repo"], "full_name": "mallory/cashbox"}
    return GitHubDelivery(event="pull_request", payload=payload)


def _comment(text: str, *, sender: str = "mona", number: int = 1) -> GitHubDelivery:
    payload = {
        "action": "created",
        "comment": {"id": number, "body": text, "user": {"login": sender}},
        "issue": {"number": 12, "title": "Add tax", "pull_request": {}},
        "repository": {"full_name": CASHBOX},
        "sender": {"login": sender, "type": "User"},
    }
    return GitHubDelivery(event="issue_comment", payload=payload)


@pytest.fixture
async def github() -> AsyncIterator[RunningEmulator]:
    async with run_emulator(required_token=TOKEN) as running:
        async with httpx.AsyncClient(base_url=running.url) as http:
            roles = {"mallory": "read", "mona": "write"}
            await http.put("/_emulator/permissions", json={"repository": CASHBOX, "roles": roles})
        yield running


@pytest.fixture
async def worker(open_worker: "OpenWorker", github: RunningEmulator) -> AsyncIterator["Worker"]:
    async with open_worker(github_token=SecretStr(TOKEN), github_api_url=github.url, api_timeout_seconds=5) as worker:
        await worker.add_project(CASHBOX)
        yield worker


async def _handle(worker: "Worker", run: RunRef) -> Choice | Ignored:
    """Take a run as far as its selection, and end it there."""
    event = await worker.ingest(run)
    target = await worker.resolve(run, event)
    found = target if isinstance(target, Ignored) else await worker.select(run, event, target)
    if isinstance(found, Ignored):
        await ignore_run(worker.runtime, run, found)
    else:
        await complete_run(worker.runtime, run, Conclusion.SUCCESS)
    return found


async def _take(worker: "Worker", delivery: GitHubDelivery) -> Choice | Ignored:
    return await _handle(worker, await worker.take_on(delivery))


async def _reason(worker: "Worker", delivery: GitHubDelivery) -> str:
    found = await _take(worker, delivery)
    assert isinstance(found, Ignored)
    return found.reason


async def _approvals(worker: "Worker") -> list[ApprovalModel]:
    async with worker.database.reading() as session:
        page = await approval_store.page_approvals(session, limit=50, now=utc_now())
    return list(page.rows)


async def _decide(worker: "Worker", which: UUID | Waiting, *, approved: bool = True, **given: Any) -> ApprovalModel:
    async with worker.database.transaction() as session:
        return await decide(
            session,
            worker.runtime,
            which,
            approved=approved,
            by="mona",
            through="cli",
            now=given.get("now") or utc_now(),
        )


async def test_a_forks_pull_request_waits_and_says_so(worker: "Worker") -> None:
    run = await worker.take_on(_pull_request())
    found = await _handle(worker, run)
    history = await worker.history(run)

    how = "`/approve 4d1c2b3` by somebody with write permission starts it"
    assert found == Ignored(f"waits for approval of 4d1c2b3: the pull request comes from a fork; {how}", refused=True)
    statuses = [effect.content for effect in history.effects if effect.kind == "github.commit_status"]
    assert [(one["state"], one["description"]) for one in statuses] == [
        ("pending", "waits for approval: /approve 4d1c2b3")
    ]
    assert history.event.status is EventStatus.SKIPPED
    (approval,) = await _approvals(worker)
    assert (approval.subject, approval.commit_sha, approval.status) == (
        "acme/cashbox#12",
        COMMIT,
        ApprovalStatus.PENDING,
    )
    assert approval.plan["prompt"] == "acme-cashbox-checks"


async def test_an_approved_commit_is_worked_on(worker: "Worker") -> None:
    await _take(worker, _pull_request())
    said = await _reason(worker, _comment("/approve 4d1c2b3"))
    found = await _handle(worker, run := await worker.claim())

    assert said == "/contexten approve 4d1c2b3 by mona: 4d1c2b3 of acme/cashbox#12 is approved; it is handled again"
    assert isinstance(found, Choice)
    explanation = (await worker.history(run)).run.explanation
    assert explanation is not None
    assert explanation["notes"] == ["mona approved 4d1c2b3 through github"]


async def test_whoever_may_not_write_approves_nothing(worker: "Worker") -> None:
    await _take(worker, _pull_request())
    run = await worker.take_on(_comment("/approve 4d1c2b3", sender="mallory"))
    found = await _handle(worker, run)
    history = await worker.history(run)

    assert isinstance(found, Ignored)
    assert found.reason.endswith("not permitted; it takes write permission in acme/cashbox, and this is read")
    assert [(effect.kind, effect.content["content"]) for effect in history.effects] == [("github.reaction", "-1")]
    assert [approval.status for approval in await _approvals(worker)] == [ApprovalStatus.PENDING]


async def test_a_new_commit_makes_the_older_void(worker: "Worker") -> None:
    await _take(worker, _pull_request())
    await _take(worker, _pull_request(commit=NEXT))
    said = await _reason(worker, _comment("/approve 4d1c2b3"))

    assert "nothing waits for an approval of 4d1c2b3 in acme/cashbox#12; what waits is 0a1b2c3" in said
    assert {approval.commit_sha: approval.status for approval in await _approvals(worker)} == {
        COMMIT: ApprovalStatus.VOID,
        NEXT: ApprovalStatus.PENDING,
    }


async def test_a_commit_whose_id_begins_like_anothers_has_to_be_named_in_full(worker: "Worker") -> None:
    twin = COMMIT[:20] + "0" * 20
    await _take(worker, _pull_request())
    await _take(worker, _pull_request(commit=twin))
    short = await _reason(worker, _comment("/approve 4d1c2b3"))
    long = await _reason(worker, _comment(f"/approve {twin}", number=2))

    assert short.endswith("more than one commit begins with 4d1c2b3; give more of its id")
    assert long.endswith("is approved; it is handled again")


async def test_an_approval_is_for_one_commit_and_one_plan(worker: "Worker") -> None:
    await _take(worker, _pull_request())
    (approval,) = await _approvals(worker)
    await _decide(worker, approval.id)
    await worker.add_project(CASHBOX, command="make other")
    found = await _handle(worker, await worker.claim())

    assert isinstance(found, Ignored)
    assert found.reason.startswith("waits for approval of 4d1c2b3")
    assert sorted(one.status for one in await _approvals(worker)) == [ApprovalStatus.APPROVED, ApprovalStatus.PENDING]


async def test_a_refusal_stands(worker: "Worker") -> None:
    run = await worker.take_on(_pull_request())
    await _handle(worker, run)
    (approval,) = await _approvals(worker)
    await _decide(worker, approval.id, approved=False)
    statuses = [one for one in (await worker.history(run)).effects if one.kind == "github.commit_status"]
    said = await _reason(worker, _comment("/contexten rerun"))
    again = await _handle(worker, await worker.claim())

    assert [(one.content["state"], one.content["description"]) for one in statuses] == [
        ("pending", "waits for approval: /approve 4d1c2b3"),
        ("error", "mona refused the approval"),
    ]
    assert said.startswith("/contexten rerun by mona: the event of run ")
    reason = "mona refused the approval of 4d1c2b3: the pull request comes from a fork"
    assert again == Ignored(reason, refused=True)


async def test_an_approval_expires(worker: "Worker") -> None:
    await _take(worker, _pull_request())
    (approval,) = await _approvals(worker)
    later = approval.expires_at + timedelta(seconds=1)

    assert approval.expires_at - approval.created_at >= VALID_FOR - timedelta(minutes=1)
    assert approval_line(approval, later)["status"] == "expired"
    with pytest.raises(ConflictError, match="has expired"):
        await _decide(worker, approval.id, now=later)


async def test_an_answer_is_given_once(worker: "Worker") -> None:
    await _take(worker, _pull_request())
    (approval,) = await _approvals(worker)
    await _decide(worker, approval.id)

    with pytest.raises(ConflictError, match="was approved by mona already"):
        await _decide(worker, approval.id, approved=False)


async def test_what_cannot_be_answered(worker: "Worker") -> None:
    with pytest.raises(NotFoundError, match="there is no approval"):
        await _decide(worker, uuid4())
    with pytest.raises(NotFoundError, match="nothing waits for an approval of 4d1c2b3 in acme/cashbox#12"):
        await _decide(worker, Waiting.on(CASHBOX, 12, "4d1c2b3"))
    for sha in ("4d1c2b", "", "%", "4d1c2b3'", "main"):
        with pytest.raises(InvalidInputError):
            await _decide(worker, Waiting.on(CASHBOX, 12, sha))


async def test_an_approval_that_comes_before_its_run_has_ended_has_to_come_again(worker: "Worker") -> None:
    run = await worker.take_on(_pull_request())
    event = await worker.ingest(run)
    target = await worker.resolve(run, event)
    assert isinstance(target, Target)
    assert isinstance(await worker.select(run, event, target), Ignored)
    (approval,) = await _approvals(worker)

    with pytest.raises(UnavailableError, match="has not ended yet"):
        await _decide(worker, approval.id)
    assert [one.status for one in await _approvals(worker)] == [ApprovalStatus.PENDING]


async def test_a_pull_request_of_the_repository_itself(worker: "Worker") -> None:
    assert isinstance(await _take(worker, _pull_request(fork=False, sender="mona")), Choice)
    reason = await _reason(worker, _pull_request(fork=False))

    assert reason.startswith(
        "waits for approval of 4d1c2b3: mallory has no more than read permission in acme/cashbox; "
    )


async def test_without_a_token_only_forks_wait(open_worker: "OpenWorker") -> None:
    async with open_worker() as worker:
        await worker.add_project(CASHBOX)
        assert isinstance(await _take(worker, _pull_request(fork=False)), Choice)
        assert (await _reason(worker, _pull_request())).startswith("waits for approval of 4d1c2b3")


async def test_rerun_explain_and_cancel(worker: "Worker") -> None:
    assert (await _reason(worker, _comment("/contexten rerun"))).endswith("carried out for acme/cashbox#12 yet")
    await _take(worker, _pull_request())
    run = await worker.take_on(_comment("/contexten explain", number=2))
    await _handle(worker, run)
    history = await worker.history(run)
    said = await _reason(worker, _comment("/contexten cancel", number=3))

    answers = {effect.kind: effect.content for effect in history.effects}
    assert answers["github.reaction"]["content"] == "+1"
    assert "waits for approval of 4d1c2b3" in answers["github.comment"]["body"]
    assert said == "/contexten cancel by mona: 0 run(s) cancelled, 1 approval(s) no longer asked for"
    assert [one.status for one in await _approvals(worker)] == [ApprovalStatus.VOID]


async def test_fixes_can_be_switched_off_for_a_pull_request(worker: "Worker") -> None:
    async def allowed(payload: dict[str, Any] | None = None) -> bool:
        async with worker.database.reading() as session:
            return await autofix_allowed(session, "acme/cashbox#12", payload)

    assert await allowed()
    assert not await allowed({"pull_request": {"labels": [{"name": "Autofix: off"}]}})
    await _take(worker, _comment("/contexten autofix off"))
    assert not await allowed()
    await _take(worker, _comment("/contexten autofix on", number=2))
    assert await allowed()


async def test_a_budget_that_is_used_up_stops_before_work_starts(worker: "Worker") -> None:
    async with worker.database.transaction() as session:
        (project,) = await project_store.newest(session, limit=1)
        await project_store.set_config(session, project_id=project.id, config_type="budget", key="daily_runs", value=0)
    reason = await _reason(worker, _pull_request(fork=False, sender="mona"))

    assert reason == "the project's budget is used up, daily runs: 0 of 0 runs used"


async def test_a_budget_that_is_no_number_is_not_taken_for_none(worker: "Worker") -> None:
    async with worker.database.transaction() as session:
        (project,) = await project_store.newest(session, limit=1)
        await project_store.set_config(
            session, project_id=project.id, config_type="budget", key="daily_dollars", value="ten"
        )
    reason = await _reason(worker, _pull_request(fork=False, sender="mona"))

    assert reason == "the project's budget daily_dollars is not a number from 0 to 1e+12; set it anew"


async def test_the_digest_of_a_plan_changes_with_what_is_done(worker: "Worker") -> None:
    choice = await _take(worker, _pull_request(fork=False, sender="mona"))
    assert isinstance(choice, Choice)
    changed = [
        replace(choice, version=2),
        replace(choice, limits={"wall_seconds": 1}),
        replace(choice, executor_config={"command": "true"}),
        replace(choice, instruction="Something else"),
    ]
    assert len({plan_digest(one) for one in (choice, *changed)}) == 5
    assert plan_digest(replace(choice, probability=0.5)) == plan_digest(choice)
