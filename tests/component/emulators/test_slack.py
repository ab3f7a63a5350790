import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.errors import SlackApiError
from slack_sdk.web import WebClient

from contexten.emulators.recorder import Fault
from contexten.emulators.slack import RunningSlack, create_slack_emulator, run_slack_emulator
from contexten.emulators.slack_deliveries import SlackDelivery

TOKEN = "xoxb-only-this-one"
CHANNEL = "C123456"


@pytest.fixture
async def served() -> AsyncIterator[RunningSlack]:
    async with run_slack_emulator(required_token=TOKEN) as running:
        yield running


@pytest.fixture
async def slack() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_slack_emulator(required_token=TOKEN))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator/api/", headers=headers) as client:
        yield client


async def call(slack: httpx.AsyncClient, method: str, **arguments: Any) -> dict[str, Any]:
    answer = await slack.post(method, json=arguments)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_slack_sdk_posts_updates_and_reacts(served: RunningSlack) -> None:
    client = WebClient(token=TOKEN, base_url=f"{served.url}/api/", timeout=10)

    def talk() -> None:
        us = client.auth_test()
        posted = client.chat_postMessage(
            channel=CHANNEL, text="1 test fails", blocks=[{"type": "divider"}], thread_ts="1700000000.000100"
        )
        assert posted["message"]["user"] == us["user_id"]
        client.chat_update(channel=CHANNEL, ts=posted["ts"], text="All tests pass ✓", blocks=[{"type": "divider"}])
        client.reactions_add(channel=CHANNEL, timestamp=posted["ts"], name="eyes")
        with pytest.raises(SlackApiError, match="already_reacted"):
            client.reactions_add(channel=CHANNEL, timestamp=posted["ts"], name="eyes")
        assert client.conversations_info(channel=CHANNEL)["channel"]["id"] == CHANNEL
        assert client.users_info(user=us["user_id"])["user"]["is_bot"] is True

    await asyncio.to_thread(talk)
    [message] = served.recorder.messages
    assert (message["text"], message["thread_ts"]) == ("All tests pass ✓", "1700000000.000100")
    assert message["blocks"] == [{"type": "divider"}]
    assert [reaction["name"] for reaction in served.recorder.reactions] == ["eyes"]


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, "not_authed"),
        ({"Authorization": "Bearer xoxb-another"}, "invalid_auth"),
        ({"Authorization": ""}, "not_authed"),
    ],
)
async def test_a_wrong_token_is_refused_by_name(headers: dict[str, str], error: str) -> None:
    transport = httpx.ASGITransport(app=create_slack_emulator(required_token=TOKEN))
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator/api/", headers=headers) as client:
        assert (await client.post("auth.test")).json() == {"ok": False, "error": error}
        assert (await client.post("auth.test", data={"token": TOKEN})).json()["ok"] is (error == "not_authed")


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("chat.postMessage", {"text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": "nowhere", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": CHANNEL}, "no_text"),
        ("chat.postMessage", {"channel": CHANNEL, "text": ""}, "no_text"),
        ("chat.postMessage", {"channel": CHANNEL, "text": "x" * 40_001}, "msg_too_long"),
        ("chat.postMessage", {"channel": CHANNEL, "blocks": "[{"}, "invalid_blocks_format"),
        ("chat.postMessage", {"channel": CHANNEL, "blocks": [{}] * 51}, "invalid_blocks"),
        ("chat.postMessage", {"channel": CHANNEL, "text": "x", "thread_ts": "1"}, "invalid_thread_ts"),
        ("chat.update", {"channel": CHANNEL, "text": "x", "ts": "1700000000.000100"}, "message_not_found"),
        ("reactions.add", {"channel": CHANNEL, "name": "eyes"}, "no_item_specified"),
        ("reactions.add", {"channel": CHANNEL, "name": "eyes", "timestamp": "now"}, "bad_timestamp"),
        ("reactions.add", {"channel": CHANNEL, "name": "No!", "timestamp": "1700000000.000100"}, "invalid_name"),
        ("conversations.replies", {"channel": CHANNEL, "ts": "1700000000.000100"}, "thread_not_found"),
        ("conversations.history", {"channel": "nowhere"}, "channel_not_found"),
        ("conversations.history", {"channel": CHANNEL, "limit": "all"}, "invalid_limit"),
        ("conversations.history", {"channel": CHANNEL, "cursor": "x"}, "invalid_cursor"),
        ("users.info", {"user": "ada"}, "user_not_found"),
        ("chat.shout", {}, "unknown_method"),
    ],
)
async def test_slack_says_no_by_name(
    slack: httpx.AsyncClient, method: str, arguments: dict[str, Any], error: str
) -> None:
    assert await call(slack, method, **arguments) == {"ok": False, "error": error}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "invalid_json"),
        (b'{"text":NaN}', "invalid_json"),
        (b'{"text":1e999}', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b"[]", "json_not_object"),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused_by_name(
    slack: httpx.AsyncClient, body: bytes, error: str
) -> None:
    answer = await slack.post("auth.test", content=body, headers={"Content-Type": "application/json"})
    assert answer.json() == {"ok": False, "error": error}


async def test_half_a_surrogate_pair_does_no_harm(slack: httpx.AsyncClient) -> None:
    body = b'{"channel":"C123456","text":"\\ud800","blocks":[{"type":"\\ud800"}]}'
    answer = await slack.post("chat.postMessage", content=body, headers={"Content-Type": "application/json"})
    assert answer.json()["message"]["text"] == "?"


async def test_the_channels_there_are_can_be_told() -> None:
    app = create_slack_emulator()
    app.state.recorder.channels["C777777"] = "builds"
    transport = httpx.ASGITransport(app=app)
    headers = {"Authorization": "Bearer any"}
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator/api/", headers=headers) as client:
        assert (await call(client, "chat.postMessage", channel="#builds", text="x"))["channel"] == "C777777"
        assert (await call(client, "chat.postMessage", channel=CHANNEL, text="x"))["error"] == "channel_not_found"


async def test_messages_posted_at_once_have_different_timestamps(slack: httpx.AsyncClient) -> None:
    stamps = [(await call(slack, "chat.postMessage", channel=CHANNEL, text="x"))["ts"] for _ in range(50)]
    assert stamps == sorted(set(stamps))


async def test_a_channel_is_read_newest_first_and_a_thread_oldest_first(slack: httpx.AsyncClient) -> None:
    metadata = {"event_type": "contexten", "event_payload": {"key": "run-1"}}
    first = await call(slack, "chat.postMessage", channel=CHANNEL, text="first", metadata=metadata)
    for text in ("reply 1", "reply 2", "reply 3"):
        await call(slack, "chat.postMessage", channel=CHANNEL, text=text, thread_ts=first["ts"])
    await call(slack, "chat.postMessage", channel=CHANNEL, text="second")

    history = await call(slack, "conversations.history", channel=CHANNEL)
    assert [message["text"] for message in history["messages"]] == ["second", "first"]
    assert all("metadata" not in message for message in history["messages"])
    thread = {"channel": CHANNEL, "ts": first["ts"], "include_all_metadata": "true", "limit": "3"}
    page = (await slack.get("conversations.replies", params=thread)).json()
    assert [message["text"] for message in page["messages"]] == ["first", "reply 1", "reply 2"]
    assert page["messages"][0]["metadata"] == metadata
    assert page["has_more"] is True
    cursor = page["response_metadata"]["next_cursor"]
    rest = (await slack.get("conversations.replies", params=thread | {"cursor": cursor})).json()
    assert [message["text"] for message in rest["messages"]] == ["reply 3"]
    assert (rest["has_more"], rest["response_metadata"]["next_cursor"]) == (False, "")


async def test_a_rate_limit_and_a_lost_answer_are_faults_like_any(served: RunningSlack) -> None:
    served.recorder.queue_fault(Fault(status=429, retry_after=7, path_contains="chat."))
    served.recorder.queue_fault(Fault(drop_after=True, path_contains="chat."))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=f"{served.url}/api/", headers=headers, trust_env=False) as client:
        assert (await call(client, "auth.test"))["ok"] is True
        limited = await client.post("chat.postMessage", json={"channel": CHANNEL, "text": "x"})
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("chat.postMessage", json={"channel": CHANNEL, "text": "x"})
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    assert limited.json() == {"ok": False, "error": "ratelimited"}
    assert len(served.recorder.messages) == 1


@settings(max_examples=60, deadline=None)
@given(
    method=st.sampled_from(["chat.postMessage", "chat.update", "conversations.history", "reactions.add", "users.info"]),
    body=st.binary(max_size=100)
    | st.dictionaries(
        st.sampled_from(
            ["channel", "text", "blocks", "ts", "thread_ts", "timestamp", "name", "user", "metadata", "cursor", "limit"]
        ),
        st.none() | st.booleans() | st.text() | st.just(CHANNEL) | st.lists(st.integers(), max_size=2),
    ).map(lambda given: json.dumps(given).encode()),
    content_type=st.sampled_from(["application/json", "application/x-www-form-urlencoded", ""]),
)
async def test_no_body_makes_the_emulator_fail(method: str, body: bytes, content_type: str) -> None:
    transport = httpx.ASGITransport(app=create_slack_emulator())
    headers = {"Authorization": "Bearer any", "Content-Type": content_type}
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator/api/") as client:
        answer = await client.post(method, content=body, headers=headers)
    assert answer.status_code == 200
    assert isinstance(answer.json()["ok"], bool)


BUTTON = {"type": "button", "action_id": "approve", "value": "1", "text": {"type": "plain_text", "text": "Approve"}}


async def test_a_press_of_a_button_tells_of_the_message_and_who_pressed(served: RunningSlack) -> None:
    message = served.recorder.post(
        CHANNEL, text="Shall I?", thread_ts="17.5", blocks=[{"type": "actions", "block_id": "b", "elements": [BUTTON]}]
    )
    delivery = SlackDelivery.of_press(message, "approve", user="U7")
    payload = json.loads(parse_qs(delivery.body.decode())["payload"][0])

    assert delivery.event == payload["type"] == "block_actions"
    assert payload["user"]["id"] == "U7"
    assert (payload["channel"]["id"], payload["container"]["message_ts"]) == (CHANNEL, message["ts"])
    assert payload["container"]["thread_ts"] == "17.5"
    (action,) = payload["actions"]
    assert (action["action_id"], action["value"], action["block_id"]) == ("approve", "1", "b")
    with pytest.raises(KeyError):
        SlackDelivery.of_press(message, "refuse", user="U7")


async def test_a_button_that_there_is_not_cannot_be_pressed(served: RunningSlack) -> None:
    async with httpx.AsyncClient(base_url=served.url) as http:
        given = {"channel": CHANNEL, "ts": "1700000000.000100", "action_id": "approve"}
        assert (await http.post("/_emulator/press", json=given)).status_code == 404
        message = served.recorder.post(CHANNEL, text="x", blocks=[{"type": "actions", "elements": [BUTTON]}])
        # Nobody told the emulator where to send to.
        answer = await http.post("/_emulator/press", json={**given, "ts": message["ts"]})
        assert answer.status_code == 409


@pytest.mark.parametrize(
    "block",
    [
        {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}},
        {"type": "section", "text": {"type": "mrkdwn", "text": ""}},
        {"type": "actions", "elements": []},
        {"type": "actions", "elements": [{**BUTTON, "text": {"type": "plain_text", "text": "x" * 76}}]},
        {"type": "actions", "elements": [{**BUTTON, "value": "x" * 2_001}]},
        {"text": "of no type"},
    ],
)
async def test_blocks_that_slack_does_not_take(slack: httpx.AsyncClient, block: dict[str, Any]) -> None:
    answer = await call(slack, "chat.postMessage", channel=CHANNEL, text="x", blocks=[block])
    assert answer == {"ok": False, "error": "invalid_blocks"}
