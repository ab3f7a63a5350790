import asyncio
import time

import httpx
import pytest
from pydantic import ValidationError

from contexten.emulators.github import create_github_emulator
from contexten.emulators.github_recorder import GitHubRecorder
from contexten.emulators.recorder import Fault

STATUSES = f"/repos/acme/cashbox/statuses/{'a' * 40}"
BODY = {"state": "success"}


async def test_a_status_fault_answers_without_carrying_out(
    recorder: GitHubRecorder, http_client: httpx.AsyncClient
) -> None:
    queued = await http_client.post("/_emulator/faults", json={"status": 429, "retry_after": 7, "times": 2})
    answers = [await http_client.post(STATUSES, json=BODY) for _ in range(3)]

    assert (queued.status_code, queued.json()) == (201, {"queued": 2})
    assert [answer.status_code for answer in answers] == [429, 429, 201]
    assert answers[0].headers["Retry-After"] == "7"
    assert "secondary rate limit" in answers[0].json()["message"]
    assert len(recorder.statuses) == 1
    assert len(recorder.requests) == 3


async def test_a_lost_reply_leaves_the_status_behind(recorder: GitHubRecorder, http_client: httpx.AsyncClient) -> None:
    recorder.queue_fault(Fault(drop_after=True))
    with pytest.raises(httpx.RemoteProtocolError):
        await http_client.post(STATUSES, json=BODY)
    assert len(recorder.statuses) == 1


async def test_a_lost_request_leaves_nothing_behind(recorder: GitHubRecorder, http_client: httpx.AsyncClient) -> None:
    recorder.queue_fault(Fault(drop_before=True))
    with pytest.raises(httpx.RemoteProtocolError):
        await http_client.post(STATUSES, json=BODY)
    assert recorder.statuses == []
    assert (await http_client.post(STATUSES, json=BODY)).status_code == 201


async def test_without_a_connection_to_cut_the_client_gets_an_exception() -> None:
    app = create_github_emulator()
    app.state.recorder.queue_fault(Fault(drop_after=True))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://emulator") as client:
        with pytest.raises(ConnectionAbortedError):
            await client.post(STATUSES, json=BODY)
    assert len(app.state.recorder.statuses) == 1


async def test_a_delay_comes_before_the_answer(recorder: GitHubRecorder, http_client: httpx.AsyncClient) -> None:
    recorder.queue_fault(Fault(delay_seconds=0.2))
    started = time.monotonic()
    answer = await http_client.post(STATUSES, json=BODY)
    assert answer.status_code == 201
    assert time.monotonic() - started >= 0.2


async def test_a_client_that_gives_up_during_the_delay_has_changed_nothing(
    recorder: GitHubRecorder, http_client: httpx.AsyncClient
) -> None:
    recorder.queue_fault(Fault(delay_seconds=30))
    with pytest.raises(httpx.ReadTimeout):
        await http_client.post(STATUSES, json=BODY, timeout=0.1)
    assert recorder.statuses == []


async def test_a_fault_waits_for_the_request_that_it_is_meant_for(
    recorder: GitHubRecorder, http_client: httpx.AsyncClient
) -> None:
    recorder.queue_fault(Fault(method="post", path_contains="/cashbox/", status=500))
    assert (await http_client.get("/")).status_code == 200
    other = STATUSES.replace("cashbox", "thermometer")
    assert (await http_client.post(other, json=BODY)).status_code == 201
    assert (await http_client.post(STATUSES, json=BODY)).status_code == 500


async def test_reset_forgets_waiting_faults(http_client: httpx.AsyncClient) -> None:
    await http_client.post("/_emulator/faults", json={"status": 500})
    await http_client.delete("/_emulator/requests")
    assert (await http_client.get("/")).status_code == 200


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 200},
        {"status": 500, "drop_after": True},
        {"drop_before": True, "drop_after": True},
        {"retry_after": 5},
        {"delay_seconds": 3600},
        {"colour": "red"},
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(http_client: httpx.AsyncClient, fault: dict[str, object]) -> None:
    assert (await http_client.post("/_emulator/faults", json=fault)).status_code == 422
    with pytest.raises(ValidationError):
        Fault.model_validate(fault)


async def test_too_many_faults_are_refused(http_client: httpx.AsyncClient) -> None:
    answers = [
        (await http_client.post("/_emulator/faults", json={"status": 500, "times": 1000})).status_code
        for _ in range(11)
    ]
    assert answers == [201] * 10 + [422]


async def test_a_body_over_one_mebibyte_is_refused(recorder: GitHubRecorder, http_client: httpx.AsyncClient) -> None:
    answer = await http_client.post(STATUSES, content=b"x" * (1024 * 1024 + 1))
    assert answer.status_code == 413
    assert recorder.requests == []


async def test_many_requests_at_once_are_all_kept(recorder: GitHubRecorder, http_client: httpx.AsyncClient) -> None:
    posts = [http_client.post(STATUSES, json={"state": "pending", "context": str(number)}) for number in range(100)]
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 100
    assert len(recorder.statuses) == 100
