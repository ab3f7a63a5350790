"""The HTTP executor over real HTTP, against an agent that speaks the protocol and has its moods."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from contexten.emulators.hosted_agent import RunningAgent, Work, run_hosted_agent_emulator
from contexten.emulators.recorder import Fault
from contexten_core.errors import ConfigurationError, ContextenError, OutboundError
from contexten_core.execution.executor import Assignment, Cost, Report, executor_for
from contexten_core.execution.proposals import Comment, Labels
from contexten_core.execution.results import Ended
from contexten_core.security.redaction import redactor_of
from contexten_core.settings import Settings
from contexten_core.settings.environment import as_environment

TOKEN = "canary-of-the-hosted-agent"
COMMENT = {"kind": "comment", "body": "The total ignored refunds."}
ANSWER = {"succeeded": True, "summary": "The total counts refunds now.", "proposals": [COMMENT]}


@pytest.fixture
async def served() -> AsyncIterator[RunningAgent]:
    async with run_hosted_agent_emulator(token=TOKEN) as running:
        yield running


@pytest.fixture
def settings(served: RunningAgent) -> Settings:
    return Settings(hosted_agents={"acme": served.url}, hosted_agent_tokens={"acme": SecretStr(TOKEN)})


def assignment(*, config: Mapping[str, Any] | None = None, key: str = "run-1", **limits: Any) -> Assignment:
    return Assignment(
        name="acme/shop#7",
        prompt="fix-bug",
        instruction="Fix it.",
        system="Be brief.",
        config={"agent": "acme"} if config is None else config,
        limits=limits,
        outputs={"comment": 1},
        code="def total(): ...",
        key=key,
    )


async def carried_out(settings: Settings, work: Assignment) -> tuple[Report, str]:
    heard: list[str] = []

    async def say(text: str) -> None:
        heard.append(text)

    executor = executor_for("http", settings)
    executor.prepare(work)
    return await executor.run(work, say), "".join(heard)


async def refused(settings: Settings, work: Assignment) -> ContextenError:
    with pytest.raises(ContextenError) as caught:
        await carried_out(settings, work)
    assert TOKEN not in str(caught.value.as_dict())
    return caught.value


async def test_a_job_is_started_watched_and_read(settings: Settings, served: RunningAgent) -> None:
    cost = {"calls": 3, "tokens_in": 900, "tokens_out": 40, "dollars": 0.02}
    served.agent.queue(Work(polls=2, answer=ANSWER, cost=cost))

    report, heard = await carried_out(settings, assignment(wall_seconds=60))

    assert (report.succeeded, report.headline) == (True, "The total counts refunds now.")
    assert report.proposals == (Comment(body="The total ignored refunds."),)
    assert report.cost == Cost(calls=3, tokens_in=900, tokens_out=40, dollars=0.02)
    assert heard == report.log == "step 1\nstep 2\nstep 3\n"
    (job,) = served.agent.jobs
    assert job["key"] == "contexten-run-1-0"
    assert job["asked"] == {
        "run": "acme/shop#7",
        "prompt": "fix-bug",
        "instruction": "Fix it.",
        "system": "Be brief.",
        "code": "def total(): ...",
        "limits": {"wall_seconds": 60},
        "outputs": {"comment": 1},
    }


async def test_lost_replies_outages_and_full_queues_start_one_job(settings: Settings, served: RunningAgent) -> None:
    served.agent.queue(Work(polls=1, answer=ANSWER))
    served.recorder.queue_fault(Fault(method="POST", status=503, retry_after=0))
    served.recorder.queue_fault(Fault(method="POST", status=429, retry_after=0))
    served.recorder.queue_fault(Fault(method="GET", status=500, retry_after=0, times=3))

    assert (await carried_out(settings, assignment()))[0].succeeded
    served.recorder.queue_fault(Fault(method="POST", status=502, retry_after=0, times=4))
    again = await refused(settings, assignment())
    served.agent.queue(Work(answer={"succeeded": False, "summary": "Of another run."}))

    assert again.transient
    assert (await carried_out(settings, assignment()))[0].headline == "The total counts refunds now."
    assert (await carried_out(settings, assignment(key="run-2")))[0].headline == "Of another run."
    assert [job["key"] for job in served.agent.jobs] == ["contexten-run-1-0", "contexten-run-2-0"]


async def test_a_start_whose_answer_is_lost_finds_its_job(settings: Settings, served: RunningAgent) -> None:
    served.recorder.queue_fault(Fault(method="POST", drop_after=True))

    assert (await carried_out(settings, assignment()))[0].succeeded
    assert len(served.agent.jobs) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "transient"),
    [
        (Fault(status=429, retry_after=900), OutboundError, True),
        (Fault(status=500, retry_after=900), OutboundError, True),
        (Fault(status=401), ConfigurationError, False),
        (Fault(status=403), ConfigurationError, False),
        (Fault(status=404), OutboundError, False),
        (Fault(status=422), OutboundError, False),
    ],
    ids=lambda value: str(getattr(value, "status", "")),
)
async def test_refusals_are_told_apart(
    settings: Settings, served: RunningAgent, fault: Fault, kind: type[ContextenError], transient: bool
) -> None:
    served.recorder.queue_fault(fault)

    error = await refused(settings, assignment())

    assert (type(error), error.transient) == (kind, transient)
    assert not isinstance(error, OutboundError) or error.retry_after == fault.retry_after


async def test_an_agent_that_is_not_there_is_an_outage(settings: Settings) -> None:
    away = settings.model_copy(update={"hosted_agents": {"acme": "http://127.0.0.1:9"}})
    work = asyncio.create_task(carried_out(away, assignment(wall_seconds=0.2)))

    report, _ = await work

    assert (report.ended, report.succeeded) == (Ended.TIMED_OUT, False)


@pytest.mark.parametrize(
    "nonsense",
    [
        "<html>Busy</html>",
        "[]",
        '{"id": "../jobs", "status": "done"}',
        '{"id": "a", "status": "excellent"}',
        '{"id": "a", "status": "done"}',
        '{"id": "a", "status": "done", "answer": {"succeeded": "yes", "summary": ""}}',
        '{"id": "a", "status": "done", "answer": {"succeeded": true, "summary": "", "proposals": [{"kind": "merge"}]}}',
        '{"id": "a", "status": "running", "cost": {"dollars": -1}}',
        '{"id": "another", "status": "running"}',
        "[" * 100_000,
    ],
    ids=range(10),
)
async def test_nonsense_is_a_failure_that_says_so(settings: Settings, served: RunningAgent, nonsense: str) -> None:
    served.agent.queue(Work(nonsense=nonsense))

    report, _ = await carried_out(settings, assignment())

    assert not report.succeeded
    assert "no answer that can be used" in report.headline
    assert [request.method for request in served.recorder.requests][-1] == "DELETE"


async def test_an_answer_without_end_is_cut_off(settings: Settings, served: RunningAgent) -> None:
    served.agent.queue(Work(nonsense=" " * (5 * 1024**2)))

    assert "4,194,304 bytes" in (await refused(settings, assignment())).message


async def test_what_it_says_of_a_failure_is_kept(settings: Settings, served: RunningAgent) -> None:
    served.agent.queue(Work(status="failed", reason="No disk left."), Work(status="cancelled"))

    failed, _ = await carried_out(settings, assignment(key="a"))
    cancelled, _ = await carried_out(settings, assignment(key="b"))

    assert (failed.succeeded, failed.ended, failed.headline) == (False, Ended.EXITED, "No disk left.")
    assert (cancelled.succeeded, cancelled.ended) == (False, Ended.CANCELLED)


async def test_a_job_that_takes_too_long_or_too_much_is_cancelled(settings: Settings, served: RunningAgent) -> None:
    costly = Work(polls=9, cost={"dollars": 3})
    served.agent.queue(Work(polls=10_000), costly, costly.model_copy(update={"cost": {"tokens_out": 501}}))

    slow, _ = await carried_out(settings, assignment(key="a", wall_seconds=0.2))
    dear, _ = await carried_out(settings, assignment(key="b", max_cost=2))
    long, _ = await carried_out(settings, assignment(key="c", max_tokens=500))

    assert [one.ended for one in (slow, dear, long)] == [Ended.TIMED_OUT, Ended.EXHAUSTED, Ended.EXHAUSTED]
    assert "$2" in dear.headline
    assert "500 tokens" in long.headline
    assert [job["status"] for job in served.agent.jobs] == ["cancelled"] * 3


@pytest.mark.parametrize("is_answered", [True, False])
async def test_a_cancelled_run_cancels_its_job(settings: Settings, served: RunningAgent, is_answered: bool) -> None:
    served.agent.queue(Work(polls=10_000))
    if not is_answered:
        served.recorder.queue_fault(Fault(method="POST", drop_after=True))
    work = asyncio.create_task(carried_out(settings, assignment()))
    async with asyncio.timeout(20):
        while not served.agent.jobs or (is_answered and not served.agent.jobs[0]["polls"]):  # noqa: ASYNC110 - another's
            await asyncio.sleep(0.01)

    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    assert [job["status"] for job in served.agent.jobs] == ["cancelled"]


async def test_a_run_that_is_taken_up_again_after_it_was_cancelled_starts_anew(
    settings: Settings, served: RunningAgent
) -> None:
    served.agent.queue(Work(polls=10_000))
    await carried_out(settings, assignment(wall_seconds=0.1))

    report, _ = await carried_out(settings, assignment())

    assert report.succeeded
    assert [job["key"] for job in served.agent.jobs] == ["contexten-run-1-0", "contexten-run-1-1"]


async def test_what_the_prompt_does_not_allow_is_left_to_the_check(settings: Settings, served: RunningAgent) -> None:
    proposals = [{"kind": "labels", "add": ["bug"], "remove": []}, {**COMMENT, "body": "nul\x00"}]
    served.agent.queue(Work(answer={**ANSWER, "proposals": proposals}))

    report, _ = await carried_out(settings, assignment())

    assert report.proposals == (Labels(add=("bug",)), Comment(body="nul\ufffd"))


async def test_only_agents_of_the_settings_are_called(settings: Settings) -> None:
    no_token = settings.model_copy(update={"hosted_agent_tokens": {}})

    for config in ({}, {"agent": "other"}, {"agent": "https://elsewhere.example"}, {"agent": ["acme"]}):
        assert "HOSTED_AGENTS" in str((await refused(settings, assignment(config=config))).hint)
    assert "HOSTED_AGENT_TOKENS" in str((await refused(no_token, assignment())).hint)


def test_their_addresses_are_checked_and_their_tokens_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTED_AGENTS", '{"acme": "https://agents.example/v1/"}')
    monkeypatch.setenv("CONTEXTEN_HOSTED_AGENT_TOKENS", f'{{"acme": "{TOKEN}"}}')
    settings = Settings()

    assert settings.hosted_agents == {"acme": "https://agents.example/v1"}
    assert TOKEN not in repr(settings)
    assert TOKEN not in redactor_of(settings).redact(f"The token is {TOKEN}.")
    assert TOKEN in as_environment(settings)["HOSTED_AGENT_TOKENS"]
    for address in ("ftp://a.example", "https://", "https://u:p@a.example", "https://a.example?x=1", "http://a:99999"):
        with pytest.raises(ValidationError, match="hosted agent acme"):
            Settings(hosted_agents={"acme": address})
