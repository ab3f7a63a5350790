"""The emulator of a hosted agent speaks the protocol of docs/reference/hosted-agents.md."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from contexten.emulators.hosted_agent import RunningAgent, Work, run_hosted_agent_emulator
from contexten.emulators.recorder import Fault
from contexten_core.execution.http_job import JobStatus, job_of

PAGE = (Path(__file__).parents[3] / "docs/reference/hosted-agents.md").read_text(encoding="utf-8")
TOKEN = "a-token-of-the-test"
ASKED = {"instruction": "Fix it."}


@pytest.fixture
async def served() -> AsyncIterator[RunningAgent]:
    async with run_hosted_agent_emulator(token=TOKEN) as running:
        yield running


@pytest.fixture
async def client(served: RunningAgent) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "run-1"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, trust_env=False) as made:
        yield made


async def test_a_job_goes_from_its_start_to_its_end(served: RunningAgent, client: httpx.AsyncClient) -> None:
    served.agent.queue(Work(polls=1, answer={"succeeded": True, "summary": "Fixed."}, retry_after="7"))

    started = await client.post("/jobs", json=ASKED)
    address = f"/jobs/{started.json()['id']}"
    running = await client.get(address)
    done = await client.get(address)

    assert (started.status_code, started.json()["status"]) == (201, "queued")
    assert (running.json()["status"], running.headers["Retry-After"]) == ("running", "7")
    assert job_of(done.json()).said.summary == "Fixed."
    assert (await client.delete(address)).json()["status"] == "done"


async def test_a_key_starts_one_job_also_when_its_answer_was_lost(
    served: RunningAgent, client: httpx.AsyncClient
) -> None:
    served.recorder.queue_fault(Fault(method="POST", drop_after=True))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/jobs", json=ASKED)

    again = await client.post("/jobs", json=ASKED)
    other = await client.post("/jobs", json=ASKED, headers={"Idempotency-Key": "run-2"})

    assert (again.status_code, other.status_code) == (200, 201)
    assert [job["key"] for job in served.agent.jobs] == ["run-1", "run-2"]


async def test_a_cancelled_job_stays_cancelled(client: httpx.AsyncClient) -> None:
    address = f"/jobs/{(await client.post('/jobs', json=ASKED)).json()['id']}"

    assert (await client.delete(address)).json()["status"] == "cancelled"
    assert (await client.get(address)).json()["status"] == "cancelled"
    assert (await client.get("/jobs/unknown")).status_code == 404


async def test_without_the_token_a_key_or_an_instruction_nothing_is_started(
    served: RunningAgent, client: httpx.AsyncClient
) -> None:
    refused = [
        await client.post("/jobs", json=ASKED, headers={"Authorization": "Bearer another"}),
        await client.post("/jobs", json=ASKED, headers={"Idempotency-Key": ""}),
        await client.post("/jobs", content=b"{"),
    ]

    assert [answer.status_code for answer in refused] == [401, 422, 422]
    assert served.agent.jobs == []


async def test_it_can_be_told_what_to_do_over_http(served: RunningAgent, client: httpx.AsyncClient) -> None:
    root = served.url.removesuffix("/v1")
    queued = await client.post(f"{root}/_emulator/works", json={"nonsense": "<html>"})
    address = f"/jobs/{(await client.post('/jobs', json=ASKED)).json()['id']}"

    assert queued.status_code == 201
    assert (await client.get(address)).text == "<html>"
    assert len((await client.get(f"{root}/_emulator/jobs")).json()["jobs"]) == 1


def test_the_examples_of_the_page_are_of_the_protocol() -> None:
    asked, started, done = (json.loads(example) for example in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))

    assert asked["instruction"]
    assert job_of(started).status is JobStatus.RUNNING
    assert job_of(done).said.proposals
    assert {f"`{status.value}`" for status in JobStatus} <= set(re.findall(r"`\w+`", PAGE))
