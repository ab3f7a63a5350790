"""A worker that delivers what waits in its outbox to GitHub's emulator."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten_core.db import utc_now
from contexten_core.events import outbox_store
from contexten_core.events.models import OutboxModel
from contexten_core.integrations.outbox import deliver_due
from contexten_core.integrations.posters import posters_of

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Worker

TOKEN = "ghp_of_the_outbox_tests"
SHA = "4d1c2b3a" * 5


class Dispatcher:
    """A worker that delivers what waits in its outbox to one GitHub."""

    def __init__(self, worker: "Worker", github: RunningEmulator) -> None:
        self.worker = worker
        self.github = github

    async def enqueue(self, *states: str, sha: str = SHA, api_url: str | None = None) -> None:
        for position, state in enumerate(states):
            async with self.worker.database.transaction() as session:
                await outbox_store.enqueue(
                    session,
                    kind="github.commit_status",
                    effect_key=f"{sha}:{state}",
                    stream=f"github:acme/cashbox:{sha}",
                    position=position,
                    run_id=None,
                    content={
                        "api_url": api_url or self.github.url,
                        "repository": "acme/cashbox",
                        "sha": sha,
                        "state": state,
                        "context": "contexten/checks",
                        "description": f"it is {state}",
                        "target_url": "https://contexten.acme.example/runs/1",
                    },
                )

    async def put(self, kind: str, content: Mapping[str, Any], *, key: str, stream: str, position: int = 0) -> None:
        """Put an effect of any kind on `acme/cashbox` into the outbox."""
        async with self.worker.database.transaction() as session:
            await outbox_store.enqueue(
                session,
                kind=kind,
                effect_key=key,
                stream=stream,
                position=position,
                run_id=None,
                content={"api_url": self.github.url, "repository": "acme/cashbox", **content},
            )

    async def deliver(self) -> int:
        runtime = self.worker.runtime
        return await deliver_due(runtime, posters_of(runtime.settings, runtime.database))

    async def let_the_wait_end(self, *, sha: str = SHA) -> None:
        async with self.worker.database.transaction() as session:
            statement = update(OutboxModel).where(OutboxModel.effect_key.startswith(sha))
            await session.execute(statement.values(available_at=utc_now() - timedelta(seconds=1)))

    async def effects(self) -> list[OutboxModel]:
        async with self.worker.database.reading() as session:
            statement = select(OutboxModel).order_by(OutboxModel.created_at, OutboxModel.position)
            return list((await session.execute(statement)).scalars())

    @property
    def said(self) -> list[str]:
        return [status.state.value for status in self.github.recorder.statuses]

    @property
    def calls(self) -> list[str]:
        return [request.method for request in self.github.recorder.requests]


@pytest.fixture
def new_dispatcher() -> type[Dispatcher]:
    return Dispatcher


@pytest.fixture
async def dispatcher(open_worker: "OpenWorker") -> AsyncIterator[Dispatcher]:
    async with (
        run_emulator(required_token=TOKEN) as github,
        open_worker(github_token=SecretStr(TOKEN), github_api_url=github.url, api_timeout_seconds=5) as worker,
    ):
        yield Dispatcher(worker, github)
