"""Acceptance point 17, as far as Slack goes."""

from typing import Any

import pytest
from pydantic import SecretStr

from contexten.handlers import Slack
from contexten.handlers.types import SlackEvent
from contexten_core.errors import ConfigurationError
from contexten_core.events.handlers import HandlerRegistry
from contexten_core.events.models import EventProvider
from contexten_core.settings import Settings

MENTION: dict[str, Any] = {
    "type": "app_mention",
    "text": "<@W111> is main broken?",
    "user": "W222",
    "ts": "1595926230.009600",
    "thread_ts": "1595926200.000100",
    "channel": "C111",
}
DELIVERY: dict[str, Any] = {"type": "event_callback", "event_id": "Ev111", "team_id": "T111", "event": MENTION}
NOTHING = {"message": "Event handled successfully"}


@pytest.mark.parametrize("payload", [DELIVERY, MENTION, {"event": MENTION}], ids=["delivery", "event", "wrapped"])
async def test_handlers_get_the_inner_event(slack: Slack, payload: dict[str, Any]) -> None:
    @slack.event("app_mention")
    async def mention(event: SlackEvent) -> Any:
        return event.text, event.channel, event.ts, event.user, event.thread_ts, event.type

    @slack.event("app_mention")
    def raw(event: dict[str, Any]) -> dict[str, Any]:
        return event

    typed = (
        "<@W111> is main broken?",
        "C111",
        "1595926230.009600",
        "W222",
        "1595926200.000100",
        "app_mention",
    )
    assert await slack.handle(payload) == [typed, MENTION]


async def test_14_the_given_type_is_honoured(slack: Slack) -> None:
    @slack.event("app_mention")
    def mention(event: SlackEvent) -> str | None:
        return event.type

    assert await slack.handle({"text": "hi", "channel": "C1"}, event_type="app_mention") == "app_mention"
    assert await slack.handle({"event": {"type": "message"}}, event_type="app_mention") == "app_mention"
    assert await slack.handle(DELIVERY, event_type="message") == NOTHING


async def test_17_events_without_user_or_text_are_handled(slack: Slack) -> None:
    @slack.event("message")
    def message(event: SlackEvent) -> Any:
        return event.user, event.text, event.channel

    assert await slack.handle({"event": {"type": "message", "channel": "C1"}}) == (None, None, "C1")
    assert await slack.handle({"event": {"type": "message", "user": None, "text": None}}) == (None, None, None)


async def test_url_verification_never_reaches_handlers(slack: Slack, registry: HandlerRegistry) -> None:
    for name in ("url_verification", "*"):
        slack.event(name)(lambda event: "reached")

    payload = {"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV"}
    assert await slack.handle(payload) == {"challenge": "3eZbrw1aBm2rZgRNFdxV"}
    assert registry.matching(EventProvider.SLACK, "url_verification", payload) == []


@pytest.mark.parametrize(("name", "handled"), [("slash_command", True), ("/deploy", True), ("/rollback", False)])
async def test_a_slash_command_goes_by_its_own_name_too(slack: Slack, name: str, handled: bool) -> None:
    @slack.event(name)
    def deploy(event: SlackEvent) -> Any:
        return event.text, event.user, event.channel

    command = {"command": "/deploy", "text": "main", "user_id": "U1", "channel_id": "C1"}
    assert await slack.handle(command) == (("main", "U1", "C1") if handled else NOTHING)


async def test_an_interaction_goes_by_its_type(slack: Slack) -> None:
    @slack.event("block_actions")
    def clicked(event: SlackEvent) -> Any:
        return event.user, event.channel, event["actions"][0]["action_id"]

    payload = {
        "type": "block_actions",
        "user": {"id": "U1", "name": "ann"},
        "channel": {"id": "C1"},
        "actions": [{"action_id": "rerun"}],
    }
    assert await slack.handle(payload) == ("U1", "C1", "rerun")


def test_the_client_is_made_once_with_token_address_and_time_limit(
    registry: HandlerRegistry, settings: Settings
) -> None:
    settings.slack_bot_token = SecretStr("xoxb-of-the-tests")
    settings.slack_api_url = "http://localhost:9999/api"
    settings.api_timeout_seconds = 2.5
    slack = Slack(registry, settings)

    assert slack.client is slack.client
    assert (slack.client.token, slack.client.timeout) == ("xoxb-of-the-tests", 3)
    assert slack.client.base_url == "http://localhost:9999/api/"


def test_without_a_token_the_client_says_which_setting_is_missing(slack: Slack) -> None:
    with pytest.raises(ConfigurationError, match="SLACK_BOT_TOKEN"):
        _ = slack.client
