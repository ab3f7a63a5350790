import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from contexten.client import Answer, CodegenClient, _said
from contexten.emulators.serving import serve_app
from contexten.server.app import create_app
from contexten_core.db import Database
from contexten_core.errors import ConfigurationError, OutboundError
from contexten_core.events.models import EventModel
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.settings import DatabaseConfig, Settings, get_settings

SECRET = "the-webhook-secret-of-the-tests"
SECRETS = {"github_secret": SECRET, "linear_secret": SECRET, "slack_secret": SECRET}


@pytest.fixture
async def server(database_config: DatabaseConfig, tmp_path: Path) -> AsyncIterator[str]:
    """The address of a server that knows the secret of all three."""
    secrets = (SecretStr(SECRET),)
    settings = Settings(
        _env_file=None,
        home=tmp_path / "home",
        db=database_config,
        github_webhook_secrets=secrets,
        linear_webhook_secrets=secrets,
        slack_signing_secrets=secrets,
    )
    orchestrator = SystemOrchestrator(settings, enable_monitoring=False)
    await orchestrator.initialize()
    async with serve_app(create_app(orchestrator, lifespan=None), host="127.0.0.1", port=0) as url:
        yield url
    await orchestrator.shutdown()


@pytest.fixture
def client(server: str) -> Iterator[CodegenClient]:
    with CodegenClient(f"{server}/", timeout=10, **SECRETS) as client:
        yield client


async def _call(send: Callable[..., Answer], *arguments: Any, **named: Any) -> Answer:
    return await asyncio.to_thread(partial(send, *arguments, **named))


async def _events(database: Database) -> list[EventModel]:
    async with database.reading() as session:
        return list((await session.execute(select(EventModel).order_by(EventModel.created_at))).scalars())


async def test_each_provider_is_sent_signed_and_accepted(client: CodegenClient, database: Database) -> None:
    answers = [
        await _call(client.send_slack_message, "is main broken?"),
        await _call(
            client.send_slack_message, "hi", channel="C1", event_type="app_mention", thread_ts="1.0", user="U1"
        ),
        await _call(client.send_github_event, "pull_request", "labeled", {"number": 7}),
        await _call(client.send_github_event, "ping"),
        await _call(client.send_linear_event, {"type": "Issue", "action": "create", "data": {"title": "Tax"}}),
    ]
    message, mention, labeled, ping, issue = await _events(database)

    assert [answer["status"] for answer in answers] == ["accepted"] * 5
    assert (message.event_type, message.payload["event"]["channel"]) == ("message", "C123456")
    assert message.payload["event"]["text"] == "is main broken?"
    assert mention.event_type == "app_mention"
    assert mention.payload["event"].items() >= {"channel": "C1", "thread_ts": "1.0", "user": "U1"}.items()
    assert (labeled.event_type, labeled.payload) == ("pull_request", {"number": 7, "action": "labeled"})
    assert (ping.event_type, ping.payload) == ("ping", {})
    assert (issue.event_type, issue.payload["data"]) == ("Issue", {"title": "Tax"})
    assert len({event.external_id for event in (message, mention, labeled, ping, issue)} - {None}) == 5


async def test_the_same_message_twice_is_two_events_and_the_same_github_payload_one(client: CodegenClient) -> None:
    messages = [await _call(client.send_slack_message, "hi") for _ in range(2)]
    pushes = [await _call(client.send_github_event, "push", None, {"ref": "refs/heads/main"}) for _ in range(2)]

    assert [answer["status"] for answer in messages] == ["accepted", "accepted"]
    assert [answer["status"] for answer in pushes] == ["accepted", "duplicate"]


async def test_a_name_as_in_the_decorators_is_understood(client: CodegenClient, database: Database) -> None:
    await _call(client.send_github_event, "pull_request:labeled")
    (event,) = await _events(database)

    assert (event.event_type, event.payload) == ("pull_request", {"action": "labeled"})


async def test_a_refusal_is_an_error_with_the_servers_own_words(server: str) -> None:
    with CodegenClient(server, slack_secret="somebody-else's-own-secret", linear_secret=SECRET) as client:
        with pytest.raises(OutboundError, match="answered 401: the delivery's signature is not valid") as caught:
            await _call(client.send_slack_message, "hi")
        assert caught.value.hint is not None
        assert "SLACK_SIGNING_SECRET" in caught.value.hint
        assert not caught.value.transient
        # Signed, so it is kept; unreadable, so it waits for a person.
        answer = await _call(client.send_linear_event, {"type": "no type"})
        assert (answer["status"], "no type" in answer["reason"]) == ("accepted", True)


async def test_without_a_server_the_error_says_so() -> None:
    with (
        CodegenClient("http://127.0.0.1:9", timeout=2, **SECRETS) as client,
        pytest.raises(OutboundError, match="did not answer") as caught,
    ):
        await _call(client.send_slack_message, "hi")
    assert caught.value.transient
    assert not caught.value.ambiguous


@pytest.mark.parametrize(
    ("send", "setting"),
    [
        (lambda client: client.send_slack_message("hi"), "SLACK_SIGNING_SECRET"),
        (lambda client: client.send_github_event("push"), "GITHUB_WEBHOOK_SECRET"),
        (lambda client: client.send_linear_event({"type": "Issue"}), "LINEAR_WEBHOOK_SECRET"),
    ],
)
def test_without_a_secret_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, send: Callable[[CodegenClient], Answer], setting: str
) -> None:
    for name in ("github_webhook_secrets", "linear_webhook_secrets", "slack_signing_secrets"):
        monkeypatch.setattr(get_settings(), name, ())

    with CodegenClient() as client, pytest.raises(ConfigurationError, match=setting):
        send(client)


async def test_the_configured_secret_is_used(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setattr(get_settings(), "slack_signing_secrets", (SecretStr(SECRET), SecretStr(f"{SECRET}-2")))

    with CodegenClient(server) as client:
        assert (await _call(client.send_slack_message, "hi"))["status"] == "accepted"


async def test_code_for_the_older_client_may_await_and_close_it() -> None:
    client = CodegenClient()
    await client.close()

    assert client.base_url == "http://localhost:8000"
    assert await Answer(status="accepted") == {"status": "accepted"}
    async with CodegenClient() as client:
        assert client.base_url == "http://localhost:8000"
    with pytest.raises(RuntimeError, match="closed"):
        client._http.get("http://127.0.0.1:9")


def test_an_answer_that_is_no_json_object_is_told_too() -> None:
    assert _said(httpx.Response(502, text="<h1>Bad gateway</h1>")) == {"message": "<h1>Bad gateway</h1>"}
    assert _said(httpx.Response(200, json=[1])) == {"message": [1]}
