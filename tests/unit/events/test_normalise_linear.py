import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.normalise_any import normalise
from contexten_core.events.normalise_linear import normalise_linear

EXAMPLES = settings(deadline=None, derandomize=True, database=None)

PAYLOADS = Path(__file__).parents[4] / "shared/data/webhooks/linear"
needs_payloads = pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is not there")


def _read(name: str) -> NormalisedEvent:
    payload = json.loads((PAYLOADS / name).read_bytes())
    return normalise(EventProvider.LINEAR, payload["type"], payload)


@needs_payloads
@pytest.mark.parametrize("path", sorted(PAYLOADS.rglob("*.json")), ids=lambda path: path.stem)
def test_every_known_payload_has_a_name_and_a_subject(path: Path) -> None:
    payload = json.loads(path.read_bytes())
    event = normalise_linear(payload["type"], payload)

    assert (event.type, event.action) == (payload["type"], payload["action"])
    assert event.name
    assert event.subject
    assert event.deleted is (payload["action"] == "remove")
    assert (event.repository, event.commit) == (None, None)


@needs_payloads
def test_an_issue() -> None:
    event = _read("korosuke613/createIssue.json")

    assert (event.name, event.subject, event.number) == ("KOR-11 Issue create", "KOR-11", 11)
    assert event.title == "webhook test"
    assert event.url == "https://linear.app/korosuke613/issue/KOR-11/webhook-test"


@needs_payloads
def test_a_comment_has_the_subject_of_its_issue() -> None:
    event = _read("korosuke613/createComment.json")

    assert (event.name, event.subject, event.number) == ("KOR-12 Comment create", "KOR-12", 12)
    assert (event.title, event.text) == ("webhook test 2", "コメントだーい")
    assert event.actor == "user@example.com"


@needs_payloads
def test_a_mention_of_the_app_in_a_comment() -> None:
    event = _read("docs/issueCommentMention.json")

    assert (event.name, event.subject) == ("CEE-594 AppUserNotification issueCommentMention", "CEE-594")
    assert (event.actor, event.title) == ("Example User", "simple issue")
    assert event.text == "yah that clarifies things. @agentclear1 thanks. "


@needs_payloads
def test_what_is_no_issue_has_its_own_id_for_a_subject() -> None:
    event = _read("korosuke613/updateCycleForChangeStartTime.json")

    assert (event.subject, event.number) == ("linear/397b115e-xxxx-xxxx-xxxx-5012096c7484", None)


@pytest.mark.parametrize(
    "payload",
    [
        {"data": {"identifier": "ENG-12"}},
        {"data": {"issue": {"identifier": "ENG-12"}}},
        {"notification": {"issue": {"identifier": "ENG-12"}}},
        {"agentSession": {"issue": {"identifier": "ENG-12"}}},
        {"url": "https://linear.app/acme/issue/ENG-12"},
        {"url": "https://linear.app/acme/issue/ENG-12/a-title#comment-1"},
        {"type": "Issue", "data": {"number": 12, "team": {"key": "ENG"}}},
    ],
)
def test_an_issue_is_known_by_its_identifier_wherever_that_is(payload: dict[str, Any]) -> None:
    event = normalise_linear("Issue", payload)

    assert (event.subject, event.number) == ("ENG-12", 12)


@pytest.mark.parametrize("identifier", ["eng-12", "ENG-", "ENG-12\n", "ENG-١٢", "ENG 12", "../ENG-12", 12, None])
def test_what_is_no_identifier_is_not_taken_for_one(identifier: object) -> None:
    assert normalise_linear("Issue", {"data": {"identifier": identifier, "id": "i"}}).subject == "linear/i"


_KEYS = ("data", "issue", "identifier", "url", "actor", "name", "action", "type", "notification", "team", "key", "body")
_text = st.text(st.characters(exclude_categories=()))
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text | st.sampled_from(["ENG-12", "/issue/ENG-0"]),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(_KEYS) | _text, children, max_size=4)
    ),
    max_leaves=15,
)


@EXAMPLES
@given(st.sampled_from(EventProvider), _text, st.dictionaries(st.sampled_from(_KEYS) | _text, _json, max_size=6))
def test_no_object_of_anybody_makes_it_raise(provider: EventProvider, event_type: str, payload: dict[str, Any]) -> None:
    event = normalise(provider, event_type, payload)
    texts = {key: value for key, value in asdict(event).items() if isinstance(value, str) and key != "type"}

    assert event.type == event_type
    assert event.name
    if provider is not EventProvider.GITHUB:
        assert all("\0" not in text and text.encode() is not None for text in texts.values())


@pytest.mark.parametrize("provider", [EventProvider.SYSTEM, EventProvider.USER, EventProvider.DEPLOYMENT])
def test_our_own_events_are_read_plainly(provider: EventProvider) -> None:
    event = normalise(provider, "task_completed", {"title": "Fix the tax", "user": "ann", "task_id": "1"})

    assert (event.name, event.title, event.actor) == (f"{provider.value} task_completed", "Fix the tax", "ann")
    assert (event.subject, event.repository) == (None, None)
