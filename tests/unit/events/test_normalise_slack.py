import json
from pathlib import Path
from typing import Any

import pytest

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent, Own
from contexten_core.events.normalise_any import normalise
from contexten_core.events.normalise_slack import normalise_slack, slack_event_type

PAYLOADS = Path(__file__).parents[4] / "shared/data/webhooks/slack"
needs_payloads = pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is not there")


def _payload(name: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_bytes())["payload"]
    return payload


def _normalised(payload: dict[str, Any]) -> NormalisedEvent:
    return normalise(EventProvider.SLACK, slack_event_type(payload) or "", payload)


@needs_payloads
def test_a_mention() -> None:
    event = _normalised(_payload("event_callback__app_mention-1"))

    assert (event.name, event.subject) == ("slack/C111 app_mention", "C111/1595926230.009600")
    assert (event.actor, event.text, event.title) == ("W222", "<@W111> Hi there!", "<@W111> Hi there!")


def test_an_answer_has_the_subject_of_its_thread() -> None:
    first = {"type": "message", "channel": "C1", "ts": "1.0", "text": "is main broken?"}
    answer = {"type": "message", "channel": "C1", "ts": "2.0", "thread_ts": "1.0", "text": "it is"}

    assert _normalised({"event": first}).subject == _normalised({"event": answer}).subject == "C1/1.0"


@needs_payloads
def test_so_have_a_reaction_and_an_edit() -> None:
    assert _normalised(_payload("event_callback__reaction_added-1")).subject == "C111/1599529504.000400"
    edit = _normalised(_payload("event_callback__message.message_changed-2"))

    assert (edit.subject, edit.action, edit.text) == ("C111/1665102338.901939", "message_changed", "updated message")


@needs_payloads
def test_a_click_on_a_message() -> None:
    event = _normalised(_payload("block_actions-2"))

    assert (event.type, event.actor, event.subject) == ("block_actions", "W111", "C111/111.222")


def test_a_slash_command() -> None:
    event = _normalised({"command": "/deploy", "text": "main", "user_id": "U1", "channel_id": "C1", "team_id": "T1"})

    assert (event.type, event.action, event.text) == ("slash_command", "/deploy", "main")
    assert (event.actor, event.subject, event.name) == ("U1", "slack/C1", "slack/C1 slash_command /deploy")


def test_without_user_text_and_channel() -> None:
    event = _normalised({"team_id": "T1", "event": {"type": "message"}})

    assert (event.actor, event.text, event.title) == (None, None, "message")
    assert (event.subject, event.name) == ("slack/T1", "slack/T1 message")


def test_a_title_is_the_text_on_one_line_and_cut() -> None:
    event = _normalised({"event": {"type": "message", "text": "is\nmain\tbroken? " + "x" * 30_000}})

    assert event.title is not None
    assert event.title.startswith("is main broken? x")
    assert (len(event.title), len(event.text or "")) == (200, 20_000)


@pytest.mark.parametrize(
    ("payload", "event_type"),
    [
        ({}, None),
        ({"event": {"type": "message"}, "type": "event_callback"}, "message"),
        ({"event": {"type": 7}, "type": "event_callback"}, "event_callback"),
        ({"event": "message", "type": "shortcut"}, "shortcut"),
        ({"type": "view_submission"}, "view_submission"),
        ({"command": "/deploy"}, "slash_command"),
    ],
)
def test_the_type_is_the_inner_events(payload: dict[str, Any], event_type: str | None) -> None:
    assert slack_event_type(payload) == event_type


def _event(**event: Any) -> dict[str, Any]:
    authorizations = [{"user_id": "UBOT", "is_bot": True}, {"user_id": "UANN", "is_bot": False}]
    return {
        "type": "event_callback",
        "team_id": "T1",
        "api_app_id": "A1",
        "authorizations": authorizations,
        "event": event,
    }


@pytest.mark.parametrize(
    ("payload", "subject", "title", "actor"),
    [
        (_event(type="message", channel="C1"), "slack/C1", "message", None),
        (
            _event(type="message", channel="C1", ts="1.0", text="  \n ", user="U1", files=[{"title": "log.txt"}]),
            "C1/1.0",
            "message log.txt",
            "U1",
        ),
        (
            _event(
                type="message",
                subtype="bot_message",
                channel="C1",
                ts="1.0",
                text="",
                bot_id="B1",
                attachments=[{"fallback": "Build 7 failed"}],
            ),
            "C1/1.0",
            "Build 7 failed",
            "B1",
        ),
        (
            _event(type="message", subtype="thread_broadcast", channel="C1", ts="2.0", thread_ts="1.0", text="fixed"),
            "C1/1.0",
            "fixed",
            None,
        ),
        (
            _event(
                type="message",
                subtype="message_deleted",
                channel="C1",
                ts="3.0",
                deleted_ts="2.0",
                previous_message={"ts": "2.0", "thread_ts": "1.0", "text": "oops", "user": "U1"},
            ),
            "C1/1.0",
            "oops",
            None,
        ),
        (
            _event(type="reaction_added", user="U1", reaction="eyes", item={"channel": "C1", "ts": "1.0"}),
            "C1/1.0",
            "reaction added eyes",
            "U1",
        ),
        (_event(type="app_home_opened", user="U1", channel="D1", tab="home"), "slack/D1", "app home opened home", "U1"),
        (
            {
                "type": "view_submission",
                "team": {"id": "T1"},
                "user": {"id": "U1"},
                "view": {"id": "V1", "callback_id": "c"},
            },
            "slack/T1/V1",
            "view submission c",
            "U1",
        ),
        (
            {"type": "shortcut", "team": {"id": "T1"}, "user": {"id": "U1"}, "callback_id": "run"},
            "slack/T1",
            "shortcut run",
            "U1",
        ),
        (
            {"command": "/deploy", "text": "main", "user_id": "U1", "channel_id": "C1", "team_id": "T1"},
            "slack/C1",
            "/deploy main",
            "U1",
        ),
    ],
)
def test_what_a_delivery_is_about(payload: dict[str, Any], subject: str, title: str, actor: str | None) -> None:
    event = _normalised(payload)

    assert (event.subject, event.title, event.actor) == (subject, title, actor)


def test_the_links_of_a_message_are_those_that_slack_found_in_it() -> None:
    text = (
        "see <https://ci.acme.example/1|the build>, <https://a.example> <@U1> <mailto:a@b.c> <javascript:x> https://no"
    )

    assert _normalised(_event(type="message", text=text)).links == ("https://ci.acme.example/1", "https://a.example")


@pytest.mark.parametrize(
    ("payload", "own"),
    [
        (_event(type="message", user="U1"), False),
        (_event(type="message", user="UBOT"), True),
        (_event(type="message", user="UANN"), False),
        (_event(type="reaction_added", user="UBOT", item_user="U1"), True),
        (_event(type="reaction_added", user="U1", item_user="UBOT"), False),
        (_event(type="message", bot_id="B1", app_id="A1"), True),
        (_event(type="message", bot_id="B1", app_id="A2"), False),
        (_event(type="message", bot_id="B1", bot_profile={"app_id": "A1"}), True),
        (_event(type="message", subtype="message_changed", message={"bot_id": "B1", "app_id": "A1"}), True),
        ({"type": "block_actions", "api_app_id": "A1", "user": {"id": "U1"}, "message": {"app_id": "A1"}}, False),
    ],
)
def test_what_our_app_did_itself(payload: dict[str, Any], *, own: bool) -> None:
    assert _normalised(payload).own is own


@pytest.mark.parametrize("event", [{"bot_id": "BOURS"}, {"user": "UOURS"}, {"message": {"bot_id": "BOURS"}}])
def test_what_an_account_of_ours_did(event: dict[str, Any]) -> None:
    ours = Own(slack=frozenset({"BOURS", "UOURS"}))

    assert normalise_slack("message", _event(type="message", **event), ours).own
    assert not normalise_slack("message", _event(type="message", **event)).own
