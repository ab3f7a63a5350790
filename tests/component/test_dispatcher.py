"""The dispatcher against a Prefect server that does not answer."""

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient

from contexten_core.events.claim import claim_events
from deployments.catalogue import LIFECYCLE
from deployments.dispatcher import dispatch
from deployments.engine import Engine

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Push

NOBODY = "http://127.0.0.1:1/api"


async def test_what_could_not_be_started_is_let_go(
    open_worker: "OpenWorker", push: "Push", caplog: pytest.LogCaptureFixture
) -> None:
    """A lease that is still renewed for a run that never began would keep its event for ever."""
    async with open_worker(lease_seconds=0.5, heartbeat_seconds=0.1) as worker, open_worker() as other:
        events = {await worker.receive(push(branch=name)) for name in ("one", "two")}
        engine = Engine(PrefectClient(NOBODY), {uuid4(): LIFECYCLE}, limit=5, name="test")
        dispatching = asyncio.create_task(dispatch(worker.runtime, engine))
        async with asyncio.timeout(30):
            while caplog.text.count("could not be started") < 2:  # noqa: ASYNC110 - the dispatcher tells nobody
                await asyncio.sleep(0.05)
        dispatching.cancel()
        await asyncio.wait([dispatching])
        claimed: set[UUID] = set()
        async with asyncio.timeout(30):
            while claimed != events:
                claimed |= {run.event_id for run in await claim_events(other.runtime, limit=5)}
                await asyncio.sleep(0.05)
