from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.normalise_any import normalise
from contexten_core.events.verbs_parse import Verb, VerbName, parse, verb_of


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("/contexten rerun", Verb(VerbName.RERUN)),
        ("  /Contexten  CANCEL please", Verb(VerbName.CANCEL)),
        ("/contexten explain\n\nWhy did it fail?", Verb(VerbName.EXPLAIN)),
        ("/approve 4D1C2B3A", Verb(VerbName.APPROVE, "4d1c2b3a")),
        ("`/approve 4d1c2b3`", Verb(VerbName.APPROVE, "4d1c2b3")),
        ("/approve", Verb(VerbName.APPROVE)),
        ("/contexten approve 4d1c2b3", Verb(VerbName.APPROVE, "4d1c2b3")),
        ("/contexten refuse 4d1c2b3", Verb(VerbName.REFUSE, "4d1c2b3")),
        ("/contexten autofix off", Verb(VerbName.AUTOFIX_OFF)),
        ("/contexten autofix on", Verb(VerbName.AUTOFIX_ON)),
        ("/contexten dance", Verb(VerbName.HELP)),
        ("/contexten", Verb(VerbName.HELP)),
    ],
)
def test_the_first_line_says_what_is_asked_for(text: str, verb: Verb) -> None:
    assert parse(text) == verb


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "Looks good to me",
        "Please /contexten rerun",
        "Looks good\n/approve 4d1c2b3",
        "> /approve 4d1c2b3",
        "/contextenrerun",
        "/approved 4d1c2b3",
        "rerun",
    ],
)
def test_what_stands_elsewhere_is_no_verb(text: str | None) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("text", ["explain why main is broken", "approve it", "approve 4d1c2b3 and merge", "hello", ""])
def test_a_question_to_us_is_no_verb(text: str) -> None:
    assert parse(text, prefixed=False) is None


def test_a_verb_said_to_us_alone_needs_no_prefix() -> None:
    assert parse("approve 4d1c2b3", prefixed=False) == Verb(VerbName.APPROVE, "4d1c2b3")
    assert parse("autofix off", prefixed=False) == Verb(VerbName.AUTOFIX_OFF)


@given(st.text(), st.booleans())
def test_any_text_is_read(text: str, prefixed: bool) -> None:
    assert parse(text, prefixed=prefixed) is None or isinstance(text, str)


@given(st.lists(st.sampled_from(["/contexten", "/approve", "approve", "autofix", "off", "4d1c2b3", "\n", "`", "ẞ"])))
def test_any_order_of_our_words_is_read(words: list[str]) -> None:
    found = parse(" ".join(words))
    assert found is None or found.name in VerbName


def _comment(provider: EventProvider, kind: str, payload: dict[str, Any]) -> NormalisedEvent:
    return normalise(provider, kind, payload)


def test_only_a_comment_that_was_just_made_is_looked_at() -> None:
    payload = {"action": "created", "comment": {"id": 1, "body": "/contexten rerun"}, "issue": {"number": 7}}
    for kind in ("issue_comment", "pull_request_review_comment"):
        assert verb_of(_comment(EventProvider.GITHUB, kind, payload)) == Verb(VerbName.RERUN)
        assert verb_of(_comment(EventProvider.GITHUB, kind, {**payload, "action": "edited"})) is None
    assert verb_of(_comment(EventProvider.GITHUB, "commit_comment", payload)) is None


def test_a_comment_at_linear() -> None:
    payload = {"action": "create", "type": "Comment", "data": {"body": "/contexten explain", "issueId": "i1"}}
    assert verb_of(_comment(EventProvider.LINEAR, "Comment", payload)) == Verb(VerbName.EXPLAIN)
    assert verb_of(_comment(EventProvider.LINEAR, "Comment", {**payload, "action": "update"})) is None
    assert verb_of(_comment(EventProvider.LINEAR, "Issue", payload)) is None


def test_what_is_said_to_us_in_slack() -> None:
    event = {"type": "app_mention", "user": "U1", "channel": "C1", "ts": "1.2", "text": "<@U0BOT> rerun"}
    assert verb_of(_comment(EventProvider.SLACK, "app_mention", {"event": event})) == Verb(VerbName.RERUN)
    message = {"event": {**event, "type": "message"}}
    assert verb_of(_comment(EventProvider.SLACK, "message", message)) is None


def test_a_slash_command_in_slack() -> None:
    payload = {"command": "/contexten", "text": "approve 4d1c2b3", "user_id": "U1", "channel_id": "C1"}
    found = verb_of(_comment(EventProvider.SLACK, "slash_command", payload))
    assert found == Verb(VerbName.APPROVE, "4d1c2b3")
    assert verb_of(_comment(EventProvider.SLACK, "slash_command", {**payload, "command": "/weather"})) is None
