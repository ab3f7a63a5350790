import json
from pathlib import Path
from typing import Any

import pytest

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent, Own
from contexten_core.events.normalise_any import normalise
from contexten_core.events.normalise_linear import normalise_linear

PAYLOADS = Path(__file__).parents[4] / "shared/data/webhooks/linear"
needs_payloads = pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is not there")


def _read(name: str) -> NormalisedEvent:
    payload = json.loads((PAYLOADS / name).read_bytes())
    return normalise(EventProvider.LINEAR, payload["type"], payload)


@needs_payloads
def test_an_issue() -> None:
    event = _read("korosuke613/createIssue.json")

    assert (event.name, event.subject, event.number) == ("KOR-11 Issue create", "KOR-11", 11)
    assert event.title == "webhook test"
    assert event.url == "https://linear.app/korosuke613/issue/KOR-11/webhook-test"
    assert (event.place, event.repository, event.commit) == ("KOR", None, None)


@needs_payloads
def test_the_labels_of_an_issue() -> None:
    assert _read("korosuke613/updateIssueEstimated.json").labels == ("FUTA",)
    assert _read("korosuke613/createComment.json").labels == ()


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
    assert (event.title, event.place) == ("Cycle update", "eeaa0cbd-xxxx-xxxx-xxxx-1c701c3485f1")


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


TEAM = {"team": {"id": "t1", "key": "ENG"}}


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        ({"data": TEAM}, "ENG"),
        ({"data": {"issue": TEAM}}, "ENG"),
        ({"notification": {"issue": TEAM}}, "ENG"),
        ({"agentSession": {"issue": {"identifier": "ENG-12", "teamId": "t1"}}}, "ENG"),
        ({"data": {"teamId": "t1"}}, "t1"),
        ({"data": {"teamIds": ["t1", "t2"]}}, "t1"),
        ({"data": {"teamIds": "t1"}}, None),
        ({}, None),
    ],
)
def test_the_place_is_the_team_by_its_key_or_else_its_id(payload: dict[str, Any], place: str | None) -> None:
    assert normalise_linear("Issue", payload).place == place


SESSION = {
    "type": "AgentSessionEvent",
    "action": "created",
    "appUserId": "ours",
    "oauthClientId": "our-app",
    "agentSession": {
        "id": "s1",
        "creator": {"id": "u1", "name": "Ann"},
        "issue": {
            "id": "i1",
            "identifier": "ENG-12",
            "title": "Round totals",
            "url": "https://linear.app/a/issue/ENG-12",
        },
        "comment": {"body": "@contexten have a look"},
    },
}


def test_a_session_with_the_agent() -> None:
    event = normalise_linear("AgentSessionEvent", SESSION, OURS)

    assert (event.subject, event.actor, event.title) == ("ENG-12", "Ann", "Round totals")
    assert (event.text, event.links) == ("@contexten have a look", ("https://linear.app/a/issue/ENG-12",))
    assert not event.own


def test_what_somebody_says_to_the_agent_in_a_session_that_it_began() -> None:
    began = {**SESSION["agentSession"], "creator": {"id": "ours"}}  # type: ignore[dict-item]
    activity = {"userId": "u1", "content": {"type": "prompt", "body": "and the cents?"}}
    event = normalise_linear(
        "AgentSessionEvent", {**SESSION, "action": "prompted", "agentSession": began, "agentActivity": activity}, OURS
    )

    assert (event.actor, event.text, event.own) == ("u1", "and the cents?", False)


OURS = Own(linear=frozenset({"ours", "our-app"}))


@pytest.mark.parametrize(
    ("payload", "own"),
    [
        ({"action": "update", "actor": {"id": "ours"}}, True),
        ({"action": "update", "actor": {"id": "u1", "oauthClientId": "our-app"}}, True),
        ({"action": "create", "data": {"userId": "ours"}}, True),
        ({"action": "create", "data": {"botActor": {"id": "our-app"}}, "actor": {"id": "u1"}}, True),
        ({"action": "update", "data": {"botActor": {"id": "our-app"}}, "actor": {"id": "u1"}}, False),
        ({"action": "update", "data": {"creatorId": "ours"}}, False),
        ({"action": "issueMention", "notification": {"actorId": "ours"}}, True),
        ({"action": "issueMention", "notification": {"userId": "ours"}, "appUserId": "ours"}, False),
        ({"action": "create", "data": {"userId": "u1"}}, False),
    ],
)
def test_what_we_did_ourselves(payload: dict[str, Any], *, own: bool) -> None:
    assert normalise_linear("Issue", payload, OURS).own is own
    assert not normalise_linear("Issue", payload).own


@pytest.mark.parametrize(
    ("kind", "is_bot"), [("user", False), ("OauthClient", True), ("Integration", True), (7, False)]
)
def test_what_a_program_did(kind: object, *, is_bot: bool) -> None:
    assert normalise_linear("Issue", {"actor": {"type": kind}}).from_bot is is_bot
