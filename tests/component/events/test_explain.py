"""What an event's way through the gates looks like, wherever it has come to."""

import json
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from contexten.emulators.sender import GitHubDelivery
from contexten_core.db import utc_now
from contexten_core.errors import NotFoundError, UnavailableError
from contexten_core.events.claim import replay_event
from contexten_core.events.emit import emit
from contexten_core.events.explain import EventExplanation, Gate, Verdict, explain_event
from contexten_core.events.finish import fail_run
from contexten_core.events.inputs import EventLog
from contexten_core.events.log import log_event
from contexten_core.events.models import (
    SIMULATED,
    EffectStatus,
    EventHandlerModel,
    EventProvider,
    EventStatus,
    HandlerStatus,
    OutboxModel,
    RedeliveryModel,
)
from contexten_core.events.steps import Step, StepRecord, run_step
from contexten_core.inputs import checked
from contexten_core.prompts.models import PromptModel, PromptStatus

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Push, Worker

GATES = (
    "received",
    "readable",
    "parsed",
    "not ours",
    "project",
    "prompt",
    "codebase",
    "execution",
    "report",
    "functions",
)
PASSED, STOPPED, WAITING, NOT_REACHED = Verdict
SQLITE = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)


async def explained(worker: "Worker", event_id: UUID) -> EventExplanation:
    async with worker.database.reading() as session:
        explanation = await explain_event(session, event_id)
    assert tuple(gate.name for gate in explanation.gates) == GATES
    json.dumps(explanation.as_dict())
    return explanation


def gate(explanation: EventExplanation, name: str) -> Gate:
    return next(gate for gate in explanation.gates if gate.name == name)


def verdicts(explanation: EventExplanation) -> list[Verdict]:
    """Return the verdicts of the gates between the first and the last, which every event passes."""
    assert explanation.gates[0].verdict is PASSED
    return [gate.verdict for gate in explanation.gates[1:-1]]


def ended_at(name: str, verdict: Verdict) -> list[Verdict]:
    position = GATES.index(name) - 1
    return [PASSED] * position + [verdict] + [NOT_REACHED] * (len(GATES) - 3 - position)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> DemoRepository:
    return make_demo_repositories(tmp_path_factory.mktemp("repositories")).thermometer


async def test_an_event_that_went_all_the_way(worker: "Worker", push: "Push", repository: DemoRepository) -> None:
    await worker.add_project("acme/cashbox", clone_url=str(repository.path), command="true")
    run = await worker.take_on(push(commit=repository.head))
    await worker.walk(run)
    unsaid = await explained(worker, run.event_id)
    assert verdicts(unsaid) == [*[PASSED] * 7, WAITING]
    assert unsaid.summary == "completed: success; github.commit_status success is to be posted"

    async with worker.database.transaction() as session:
        await session.execute(update(OutboxModel).values(status=EffectStatus.SENT, sent_at=utc_now()))
    explanation = await explained(worker, run.event_id)
    assert verdicts(explanation) == [PASSED] * 8
    assert (explanation.outcome, explanation.summary) == ("completed", "completed: success")
    assert gate(explanation, "project").reason == f"acme-cashbox, acme/cashbox at {repository.head[:8]}"
    assert gate(explanation, "not ours").reason == "jonas is not one of ours"
    prompt = gate(explanation, "prompt")
    assert prompt.reason == "acme-cashbox-checks applies"
    assert [candidate["applies"] for candidate in prompt.evidence["candidates"]] == [True]
    assert gate(explanation, "execution").reason.startswith("success")
    assert [effect["state"] for effect in gate(explanation, "report").evidence["effects"]] == ["pending", "success"]


async def test_what_was_received_and_how(worker: "Worker", push: "Push") -> None:
    delivery = push()
    event_id = await worker.receive(delivery)
    received = gate(await explained(worker, event_id), "received")
    assert f"from GitHub, delivery {delivery.delivery_id}; its signature was verified" in received.reason
    assert received.evidence["size_bytes"] == len(delivery.body)
    assert received.evidence["content_type"] == "application/json"

    asked = {"attempts": 2, "requested_at": utc_now(), "delivered_at": utc_now(), "event_type": "push", "name": "p"}
    async with worker.database.transaction() as session:
        session.add(RedeliveryModel(id=uuid4(), hook="hook 7", external_id=delivery.delivery_id, **asked))
    twin = GitHubDelivery(event="push", payload={"another": "body"}, delivery_id=delivery.delivery_id)
    twin_id = await worker.receive(twin)
    received = gate(await explained(worker, event_id), "received")
    assert "GitHub was asked to send it again" in received.reason
    assert [row["times"] for row in received.evidence["redeliveries"]] == [2]
    assert f"event {twin_id} has the same delivery id and another body" in received.reason


@SQLITE
async def test_an_event_that_waits_says_for_what(worker: "Worker", push: "Push") -> None:
    event_id = await worker.receive(push())
    waiting = await explained(worker, event_id)
    assert verdicts(waiting) == ended_at("parsed", WAITING)
    assert waiting.summary == "waiting at parsed: a worker takes it next, once one is free"

    run = await worker.claim()
    working = await explained(worker, event_id)
    assert gate(working, "parsed").reason == f"{worker.runtime.leases.owner} is working on it"

    await worker.ingest(run)
    async with worker.database.transaction() as session:
        session.add(_running_step(event_id, run.run_id))
    under_way = await explained(worker, event_id)
    assert verdicts(under_way) == ended_at("project", WAITING)
    assert "under way since" in gate(under_way, "project").reason


def _running_step(event_id: UUID, run_id: UUID) -> EventHandlerModel:
    name = Step.RESOLVE_PROJECT.value
    return EventHandlerModel(
        id=uuid4(),
        name=name,
        handler_name=name,
        handler_type="step",
        status=HandlerStatus.RUNNING,
        started_at=utc_now(),
        event_id=event_id,
        run_id=run_id,
    )


@SQLITE
async def test_an_event_that_no_project_wants(worker: "Worker", push: "Push") -> None:
    run = await worker.take_on(push("acme/unknown"))
    await worker.walk(run)
    explanation = await explained(worker, run.event_id)
    assert verdicts(explanation) == ended_at("project", STOPPED)
    assert explanation.outcome == "ignored"
    assert explanation.summary == (
        "ignored at project: no project has the repository acme/unknown; `contexten projects add` adds one"
    )


async def test_an_event_that_no_prompt_applies_to_shows_the_conditions(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox", clone_url="https://git.acme.example/cashbox.git")
    await worker.add_project("acme/other", clone_url="https://git.acme.example/other.git")
    async with worker.database.transaction() as session:
        await session.execute(
            update(PromptModel).where(PromptModel.slug == "acme-cashbox-checks").values(status=PromptStatus.INACTIVE)
        )
    run = await worker.take_on(push())
    await worker.walk(run)
    explanation = await explained(worker, run.event_id)
    assert verdicts(explanation) == ended_at("prompt", STOPPED)
    prompt = gate(explanation, "prompt")
    assert "none of 1 active prompts applies to push of acme-cashbox" in prompt.reason
    (candidate,) = prompt.evidence["candidates"]
    failing = [condition for condition in candidate["conditions"] if not condition["holds"]]
    assert [(each["field"], each["expected"], each["seen"]) for each in failing] == [
        ("project.slug", "acme-other", "acme-cashbox")
    ]


@SQLITE
async def test_an_event_of_our_own_doing_is_stopped_where_that_shows(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(github_bot_logins="jonas") as worker:
        await worker.add_project("acme/cashbox", clone_url="https://git.acme.example/cashbox.git")
        run = await worker.take_on(push())
        await worker.walk(run)
        explanation = await explained(worker, run.event_id)
        assert verdicts(explanation) == ended_at("not ours", STOPPED)
        assert gate(explanation, "not ours").reason == "jonas is ourselves; nothing answers itself"


@SQLITE
async def test_a_body_that_cannot_be_read_is_parked(worker: "Worker") -> None:
    event_id = await worker.receive(GitHubDelivery(event="push", payload={}, raw=b"{oh"))
    explanation = await explained(worker, event_id)
    assert verdicts(explanation) == ended_at("readable", STOPPED)
    assert "parked" in gate(explanation, "readable").reason
    assert "`contexten events replay`" in gate(explanation, "readable").reason


@SQLITE
async def test_a_step_that_failed_and_is_tried_again(worker: "Worker", push: "Push") -> None:
    run = await worker.take_on(push())
    error = UnavailableError("the disk is asleep", transient=True)

    async def fail(_record: StepRecord) -> None:
        raise error

    with pytest.raises(UnavailableError):
        await run_step(worker.runtime, run, Step.INGEST_EVENT, type(None), fail)
    await fail_run(worker.runtime, run, error)
    waiting = await explained(worker, run.event_id)
    assert verdicts(waiting) == ended_at("parsed", WAITING)
    assert "the disk is asleep; tried again from" in gate(waiting, "parsed").reason
    assert "(1 of 3)" in gate(waiting, "parsed").reason

    error.transient = False
    await worker.change_event(run.event_id, status=EventStatus.PROCESSING)
    await fail_run(worker.runtime, run, error)
    failed = await explained(worker, run.event_id)
    assert verdicts(failed) == ended_at("parsed", STOPPED)
    assert failed.summary == "failed at parsed: the disk is asleep"


async def test_a_commit_that_cannot_be_had_is_a_failed_task(worker: "Worker", push: "Push", tmp_path: Path) -> None:
    await worker.add_project("acme/cashbox", clone_url=str(tmp_path / "gone.git"))
    run = await worker.take_on(push())
    await worker.walk(run)
    explanation = await explained(worker, run.event_id)
    assert verdicts(explanation) == [*[PASSED] * 7, WAITING]
    assert gate(explanation, "codebase").reason.startswith("not analysed: ")
    assert gate(explanation, "execution").reason.startswith("error: ")


@SQLITE
async def test_a_report_that_is_not_posted_says_why(worker: "Worker", push: "Push", tmp_path: Path) -> None:
    await worker.add_project("acme/cashbox", clone_url=str(tmp_path / "gone.git"))
    run = await worker.take_on(push())
    await worker.walk(run)
    async with worker.database.transaction() as session:
        values = {"status": EffectStatus.WITHHELD, "reason": "no GitHub token is configured"}
        await session.execute(update(OutboxModel).values(values))
    explanation = await explained(worker, run.event_id)
    assert gate(explanation, "report").verdict is STOPPED
    assert explanation.summary.endswith("was not posted: no GitHub token is configured")


@SQLITE
async def test_a_replay_that_waits_shows_the_gates_of_the_run_before(worker: "Worker", push: "Push") -> None:
    run = await worker.take_on(push("acme/unknown"))
    await worker.walk(run)
    await replay_event(worker.database, run.event_id)
    explanation = await explained(worker, run.event_id)
    assert explanation.summary == "waiting: it will be handled again; the gates are those of attempt 1"
    assert verdicts(explanation) == ended_at("project", STOPPED)


@SQLITE
@pytest.mark.parametrize("kind", ["our own", "simulated", "logged"])
async def test_what_no_flow_handles_says_so(worker: "Worker", kind: str) -> None:
    async with worker.database.transaction() as session:
        if kind == "our own":
            event = await emit(session, "task_completed", {"task_id": "7"})
        else:
            given = {"event_type": "push", "provider": EventProvider.GITHUB, "status": EventStatus.COMPLETED}
            simulated = {"external_id": f"{SIMULATED}7"} if kind == "simulated" else {}
            event = await log_event(session, checked(EventLog, given | simulated))
    explanation = await explained(worker, event.id)
    said = {
        "our own": ("an event of our own,", "no flow handles an event of our own"),
        "simulated": ("simulated,", "no flow handles an event that did not happen"),
        "logged": ("logged,", "it was recorded as completed, so no flow took it up"),
    }[kind]
    assert explanation.gates[0].reason.startswith(said[0])
    assert said[1] in explanation.summary


@SQLITE
@pytest.mark.parametrize(
    ("status", "verdict", "said"),
    [
        (HandlerStatus.COMPLETED, PASSED, "app.notify"),
        (HandlerStatus.RETRYING, WAITING, "app.notify is retrying"),
        (HandlerStatus.FAILED, STOPPED, "app.notify failed: no such channel"),
    ],
)
async def test_functions_have_a_gate_of_their_own(
    worker: "Worker", push: "Push", status: HandlerStatus, verdict: Verdict, said: str
) -> None:
    event_id = await worker.receive(push())
    assert gate(await explained(worker, event_id), "functions").reason == "no function was registered for it"
    async with worker.database.transaction() as session:
        call = _running_step(event_id, uuid4())
        call.handler_type, call.handler_name, call.status, call.run_id = "function", "app.notify", status, None
        call.error_message = "no such channel"
        session.add(call)
    functions = gate(await explained(worker, event_id), "functions")
    assert (functions.verdict, functions.reason) == (verdict, said)


@SQLITE
async def test_an_event_that_is_not_there(worker: "Worker") -> None:
    with pytest.raises(NotFoundError):
        await explained(worker, uuid4())
