"""Effects at GitHub whose replies are cut after they were carried out: each is there once, and says the right thing.

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
from contexten.emulators.recorder import Fault
from contexten_core.db import utc_now
from contexten_core.events import outbox_store
from contexten_core.events.models import EffectStatus, OutboxModel
from contexten_core.integrations.outbox import deliver_due
from contexten_core.integrations.posters import posters_of
from contexten_core.runtime import Runtime, open_runtime
from contexten_core.settings import DatabaseConfig, Settings

EFFECTS = 500 if "CONTEXTEN_SOAK_SECONDS" in os.environ else 40
TOKEN = "ghs_of_the_lost_replies"
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
            await _enqueue(runtime, github, [case for case in cases if case.position == position])
            await _deliver_all(runtime)
        async with runtime.database.reading() as session:
            effects = (await session.execute(select(OutboxModel))).scalars().all()
        requests = github.recorder.requests

    assert Counter(effect.status for effect in effects) == {EffectStatus.SENT: EFFECTS}
    assert all(effect.attempts > 1 for effect in effects), "each has lost a reply"
    assert len(requests) < 15 * EFFECTS
    _check(github, cases)


async def _enqueue(runtime: Runtime, github: RunningEmulator, cases: list[Case]) -> None:
    for case in cases:
        github.recorder.queue_fault(case.fault)
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
    for _ in range(MOST_ROUNDS * EFFECTS):
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
