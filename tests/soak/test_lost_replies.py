"""Effects whose replies are cut after they were carried out: each is there once, and says the right thing.

A few dozen in the normal suite, five hundred under `make soak`.
"""

import base64
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, update

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.linear import run_linear_emulator
from contexten.emulators.recorder import Fault, Recorder
from contexten.emulators.slack import run_slack_emulator
from contexten_core.db import utc_now
from contexten_core.errors.breaker import BREAKERS
from contexten_core.events import outbox_store
from contexten_core.events.models import EffectStatus, OutboxModel
from contexten_core.integrations.outbox import deliver_due
from contexten_core.integrations.posters import posters_of
from contexten_core.runtime import Runtime, open_runtime
from contexten_core.settings import DatabaseConfig, Settings

EFFECTS = 500 if "CONTEXTEN_SOAK_SECONDS" in os.environ else 40
TOKEN, KEY, BOT = "ghs_of_the_lost_replies", "lin_api_of_the_lost_replies", "xoxb-of-the-lost-replies"
KINDS = (
    "commit_status",
    "comment",
    "sticky",
    "sticky, edited",
    "review",
    "labels",
    "reaction",
    "check_run",
    "check_run, updated",
    "pull_request",
)
ELSEWHERE = (
    "linear.comment",
    "linear.sticky",
    "linear.sticky, edited",
    "linear.state",
    "linear.reaction",
    "slack.message",
    "slack.sticky",
    "slack.sticky, edited",
    "slack.reaction",
)
STEPS = ("git/blobs", "git/trees", "git/commits", "git/refs", "pulls", "issues")
SHA = "4d1c2b3a" * 5
MOST_ROUNDS = 40


@dataclass(frozen=True, slots=True)
class Case:
    """An effect in a repository of its own, or the second one on what the effect before it has made there."""

    kind: str
    content: Mapping[str, Any]
    fault: Fault
    position: int

    @property
    def repository(self) -> str:
        return str(self.content["repository"])


def _case(number: int, url: str) -> Case:
    name, _, second = KINDS[number % len(KINDS)].partition(", ")
    repository = f"acme/of-{number - 1 if second else number}"
    text = f"This is number {number}."
    content: dict[str, Any]
    match name:
        case "commit_status":
            content = {"sha": SHA, "state": "success", "context": "c", "description": text, "target_url": "http://x"}
        case "comment":
            content = {"number": 1, "body": text}
        case "sticky":
            content = {"number": 1, "post": repository, "body": text}
        case "review":
            content = {"number": 1, "commit": SHA, "body": text}
            content["comments"] = [{"path": "till.py", "line": 1, "body": text}]
        case "labels":
            content = {"number": 1, "add": ["triage"], "remove": ["bug"]}
        case "reaction":
            content = {"number": 1, "content": "eyes"}
        case "check_run":
            content = {"sha": SHA, "name": "contexten", "external_id": "run", "title": "t", "summary": text}
            content |= {"status": "completed", "conclusion": "success"} if second else {"status": "in_progress"}
        case _:
            content = {"base": "main", "base_commit": SHA, "branch": "fix", "title": text, "body": text}
            content |= {"files": {"a.py": base64.b64encode(text.encode()).decode()}, "labels": ["contexten"]}
    step = STEPS[number // len(KINDS) % len(STEPS)] if name == "pull_request" else ""
    fault = Fault(method="PATCH" if second else "POST", path_contains=f"/{repository}/{step}", drop_after=True)
    where = {"api_url": url, "repository": repository}
    return Case(f"github.{name}", where | content, fault, position=int(bool(second)))


def _case_elsewhere(number: int) -> Case:
    """Return an effect at Linear or in Slack; each is on a ticket or in a thread of its own."""
    name, _, second = ELSEWHERE[number % len(ELSEWHERE)].partition(", ")
    about = number - 1 if second else number
    service, _, kind = name.partition(".")
    text = f"This is number {number}."
    where = {"channel": "C123456", "thread_ts": f"17{about:08d}.000100"}
    content: dict[str, Any]
    fault = Fault(path_contains="/graphql", drop_after=True)
    match name:
        case "linear.comment":
            content = {"issue_id": f"ENG-{about}", "body": text}
        case "linear.sticky":
            content = {"issue_id": f"ENG-{about}", "post": f"linear:{about}", "body": text}
        case "linear.state":
            content, fault = {"issue_id": f"ENG-{about}", "state": "Done"}, fault.model_copy(update={"times": 2})
        case "linear.reaction":
            content = {"issue_id": f"ENG-{about}", "emoji": "eyes"}
        case "slack.reaction":
            fault = Fault(path_contains="/api/reactions.add", drop_after=True)
            content = {"channel": "C123456", "ts": f"17{about:08d}.000100", "name": "eyes"}
        case _:
            method = "chat.update" if second else "chat.postMessage"
            fault = Fault(path_contains=f"/api/{method}", drop_after=True)
            content = {**where, "text": text, "blocks": [], **({"post": f"slack:{about}"} if kind == "sticky" else {})}
    effect = "slack.message" if service == "slack" and kind == "sticky" else name
    return Case(effect, {"repository": f"{service}/{about}", **content}, fault, position=int(bool(second)))


@pytest.fixture
def settings(database_config: DatabaseConfig, tmp_path: Path) -> Settings:
    return Settings(db=database_config, home=tmp_path / "home", github_token=SecretStr(TOKEN), api_timeout_seconds=30)


async def test_nothing_is_said_twice_when_replies_are_lost(settings: Settings) -> None:
    async with (
        run_emulator(required_token=TOKEN, capacity=100_000) as github,
        open_runtime(settings.model_copy(update={"github_api_url": github.url})) as runtime,
    ):
        cases = [_case(number, github.url) for number in range(EFFECTS)]
        for position in (0, 1):
            await _enqueue(runtime, github.recorder, [case for case in cases if case.position == position])
            await _deliver_all(runtime)
        async with runtime.database.reading() as session:
            effects = (await session.execute(select(OutboxModel))).scalars().all()
        requests = github.recorder.requests

    assert Counter(effect.status for effect in effects) == {EffectStatus.SENT: EFFECTS}
    assert all(effect.last_error for effect in effects), "each has lost a reply"
    assert len(requests) < 15 * EFFECTS
    _check(github, cases)


async def test_nothing_is_said_twice_at_linear_and_in_slack(settings: Settings) -> None:
    async with run_linear_emulator(required_key=KEY) as linear, run_slack_emulator(required_token=BOT) as slack:
        changed = {
            "linear_api_url": f"{linear.url}/graphql",
            "linear_api_key": SecretStr(KEY),
            "slack_api_url": f"{slack.url}/api/",
            "slack_bot_token": SecretStr(BOT),
        }
        cases = [_case_elsewhere(number) for number in range(EFFECTS)]
        for number in range(EFFECTS):
            linear.recorder.add_issue(number, "Totals are rounded wrongly")
            slack.recorder.messages.put(f"C123456 17{number:08d}.000100", _asked(number))
        async with open_runtime(settings.model_copy(update=changed)) as runtime:
            for case in cases:
                # One after another: what goes wrong is not for one effect, but for the next call.
                recorder = linear.recorder if case.kind.startswith("linear.") else slack.recorder
                await _enqueue(runtime, recorder, [case])
                await _deliver_all(runtime)
            async with runtime.database.reading() as session:
                effects = (await session.execute(select(OutboxModel))).scalars().all()

    assert Counter(effect.status for effect in effects) == {EffectStatus.SENT: EFFECTS}
    assert all(effect.attempts > 1 for effect in effects), "each has lost a reply"
    last = {case.repository: case for case in cases if "body" in case.content or "text" in case.content}
    said = [comment["body"] for comment in linear.recorder.comments]
    said += [message["text"] for message in slack.recorder.messages if "thread_ts" in message]
    assert Counter(said) == Counter(case.content.get("body") or case.content["text"] for case in last.values())
    reacted = len(linear.recorder.reactions) + len(slack.recorder.reactions)
    assert reacted == sum(case.kind.endswith("reaction") for case in cases)
    done = sum(issue["state"]["name"] == "Done" for issue in linear.recorder.issues)
    assert done == sum(case.kind == "linear.state" for case in cases)


def _asked(number: int) -> dict[str, Any]:
    return {"type": "message", "channel": "C123456", "ts": f"17{number:08d}.000100", "user": "U1", "text": "Why?"}


async def _enqueue(runtime: Runtime, recorder: Recorder, cases: list[Case]) -> None:
    for case in cases:
        recorder.queue_fault(case.fault)
        async with runtime.database.transaction() as session:
            await outbox_store.enqueue(
                session,
                kind=case.kind,
                effect_key=f"{case.repository}:{case.position}",
                stream=case.repository,
                position=case.position,
                content=case.content,
                run_id=None,
            )


async def _deliver_all(runtime: Runtime) -> None:
    posters = posters_of(runtime.settings, runtime.database)
    for _ in range(MOST_ROUNDS + 4 * EFFECTS):
        # Only as many as a service is asked for at once, and so that none is left alone for long.
        BREAKERS.clear()
        async with runtime.database.transaction() as session:
            # What would be waited for is over.
            is_waiting = OutboxModel.status == EffectStatus.PENDING
            past = utc_now() - timedelta(seconds=1)
            await session.execute(update(OutboxModel).where(is_waiting).values(available_at=past))
            waiting = (await session.execute(select(func.count()).where(is_waiting))).scalar_one()
        if not waiting:
            return
        await deliver_due(runtime, posters)


def _check(github: RunningEmulator, cases: list[Case]) -> None:
    recorder, kinds = github.recorder, Counter(case.kind for case in cases)
    assert len(recorder.statuses) == kinds["github.commit_status"]
    assert len(recorder.comments) == kinds["github.comment"] + kinds["github.sticky"] // 2
    assert len(recorder.reviews) == len(recorder.line_comments) == kinds["github.review"]
    assert len(recorder.reactions) == kinds["github.reaction"]
    assert len(recorder.check_runs) == kinds["github.check_run"] // 2
    assert len(recorder.pulls) == len(recorder.refs) == kinds["github.pull_request"]
    assert len(recorder.labels) == kinds["github.labels"] + kinds["github.pull_request"]
    assert {run["conclusion"] for run in recorder.check_runs} == {"success"}
    last = {case.repository: case for case in cases if case.kind in {"github.comment", "github.sticky"}}
    bodies = Counter(comment["body"].split("\n")[-1] for comment in recorder.comments)
    assert bodies == Counter(case.content["body"] for case in last.values())
