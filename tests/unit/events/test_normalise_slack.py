import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.normalise_any import normalise
from contexten_core.events.normalise_slack import normalise_slack, slack_event, slack_event_type

EXAMPLES = settings(deadline=None, derandomize=True, database=None)

PAYLOADS = Path(__file__).parents[4] / "shared/data/webhooks/slack"
needs_payloads = pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is not there")


def _payload(name: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_bytes())["payload"]
    return payload


def _normalised(payload: dict[str, Any]) -> NormalisedEvent:
    return normalise(EventProvider.SLACK, slack_event_type(payload) or "", payload)


@needs_payloads
@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.json")), ids=lambda path: path.stem)
def test_every_known_payload_has_a_type_a_name_and_a_subject(path: Path) -> None:
    payload = _payload(path.stem)
    event = _normalised(payload)

    assert event.type == slack_event(payload).get("type", "event_callback")
    assert event.name
    assert event.subject
    assert event.repository is None


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

    assert (event.actor, event.text, event.title) == (None, None, None)
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


_KEYS = ("event", "type", "channel", "user", "id", "text", "ts", "message", "item", "container", "team_id", "command")
_text = st.text(st.characters(exclude_categories=()))
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text,
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(_KEYS) | _text, children, max_size=4)
    ),
    max_leaves=15,
)


@EXAMPLES
@given(st.dictionaries(st.sampled_from(_KEYS) | _text, _json, max_size=6))
def test_no_object_makes_it_raise(payload: dict[str, Any]) -> None:
    event = normalise_slack(slack_event_type(payload) or "message", payload)

    assert event.name
    assert event.subject
    assert all("\0" not in text and text.encode() for text in (event.name, event.subject, event.title or "-"))
