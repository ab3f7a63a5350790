import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent, Own, dig, line_of, link_of, text_at
from contexten_core.events.normalise_any import normalise
from contexten_core.events.normalise_github_tables import TITLES
from contexten_core.events.normalise_slack import slack_event_type
from contexten_core.settings import DatabaseConfig, Settings

EXAMPLES = settings(deadline=None, derandomize=True, database=None)
PAYLOADS = Path(__file__).parents[4] / "shared/data/webhooks"
FROM_OUTSIDE = (EventProvider.GITHUB, EventProvider.LINEAR, EventProvider.SLACK, EventProvider.DEPLOYMENT)
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]")
EVERYBODY = Own(*(frozenset({"ours", "7"}) for _ in range(4)))


def _known_payloads() -> Iterator[tuple[EventProvider, str, dict[str, Any], Path]]:
    for path in sorted(PAYLOADS.glob("github/*/*.json")):
        yield EventProvider.GITHUB, path.parent.name, json.loads(path.read_bytes()), path
    for path in sorted(PAYLOADS.glob("linear/**/*.json")):
        payload = json.loads(path.read_bytes())
        yield EventProvider.LINEAR, payload["type"], payload, path
    for path in sorted(PAYLOADS.glob("slack/*.json")):
        payload = json.loads(path.read_bytes())["payload"]
        yield EventProvider.SLACK, slack_event_type(payload) or "", payload, path


def _check(event: NormalisedEvent, what: object) -> None:
    """Hold what every event of somebody else has in common."""
    assert event.title, what
    assert event.subject, what
    assert event.name, what
    assert all(link.startswith(("http://", "https://")) and len(link) < 2_100 for link in event.links), what
    assert len(event.links) <= 20, what
    assert event.url is None or event.links[0] == event.url, what
    for name in ("name", "title", "subject", "actor", "action", "repository", "place"):
        line = getattr(event, name)
        assert line is None or (0 < len(line) <= 300 and not CONTROL.search(line)), (what, name)
    for field in fields(event):
        text = getattr(event, field.name)
        if isinstance(text, str) and field.name != "type":
            assert "\0" not in text, (what, field.name)
            assert len(text.encode()) <= 100_000, (what, field.name)


@pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is not there")
def test_every_known_payload_of_everybody_has_a_title_and_a_subject() -> None:
    seen = 0
    for provider, event_type, payload, path in _known_payloads():
        event = normalise(provider, event_type, payload)
        _check(event, path)
        assert (event.provider, event.type) == (provider, event_type)
        seen += 1

    assert seen > 200


def test_who_we_are_is_read_from_the_settings() -> None:
    own = Own.of(
        Settings(
            db=DatabaseConfig(),
            github_bot_logins=("Acme-Bot",),
            github_app_slug="Contexten",
            github_app_id="42",
            slack_bot_ids=("B1",),
            linear_bot_ids=("u1",),
        )
    )

    assert own.github == {"acme-bot", "contexten[bot]"}
    assert own.github_apps == {"contexten", "42"}
    assert own.slack == {"B1"}
    assert own.linear == {"u1"}


@pytest.mark.parametrize("provider", [EventProvider.SYSTEM, EventProvider.USER])
def test_our_own_events_are_read_plainly(provider: EventProvider) -> None:
    event = normalise(provider, "task_completed", {"title": "Fix the tax", "user": "ann", "task_id": "1"})

    assert (event.name, event.title, event.actor) == (f"{provider.value} task_completed", "Fix the tax", "ann")
    assert (event.subject, event.repository) == (None, None)


@pytest.mark.parametrize(
    ("path", "found"),
    [("a.b", 1), ("c.0.d", 2), ("c.1", None), ("c.-1", None), (f"c.{'9' * 5_000}", None), ("a.b.x", None), ("x", None)],
)
def test_a_path_leads_through_objects_and_lists(path: str, found: object) -> None:
    assert dig({"a": {"b": 1}, "c": [{"d": 2}]}, path) == found


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a\n\tb", "a b"),
        (7, "7"),
        (True, None),
        (" \n ", None),
        (2**70, None),
        (1.5, None),
        ("x" * 900, f"{'x' * 299}…"),
    ],
)
def test_a_line_is_a_text_or_a_number_and_no_longer_than_allowed(value: object, line: str | None) -> None:
    assert line_of(value) == line


def test_a_text_of_many_megabytes_is_only_read_as_far_as_it_is_kept() -> None:
    payload = {"body": "\0" + "x" * 20_000_000}

    assert text_at(payload, "body", limit=10) == "\ufffdxxxxxxxx…"


@pytest.mark.parametrize(
    "address",
    [
        *("javascript:alert(1)", "data:text/html,x", "//evil.example", "HTTP", "https://", "ftp://a.example", ""),
        *(
            "https://a.example/ b",
            "https://a.example/\n",
            "https://a.example/<b>",
            'https://a.example/"x',
            "https://a\u202eb",
        ),
        *("https://a.example/" + "x" * 3_000, 7, None, ["https://a.example"]),
    ],
)
def test_what_is_no_web_address_is_no_link(address: object) -> None:
    assert link_of(address) is None


_KEYS = sorted(
    {key for parts in TITLES.values() for paths in parts for path in paths for key in path.split(".")}
    | {
        "event",
        "data",
        "user",
        "login",
        "id",
        "text",
        "ts",
        "channel",
        "team",
        "key",
        "ref",
        "ref_type",
        "sha",
        "links",
    }
    | {
        "issue",
        "pull_request",
        "pull_requests",
        "number",
        "identifier",
        "commits",
        "html_url",
        "actor",
        "bot_id",
        "repo",
    }
    | {"authorizations", "repository", "full_name", "attachments", "notification", "agentSession", "environment", "app"}
)
_VALUES = [
    "ENG-12",
    "https://a.example/issue/ENG-0",
    "refs/heads/main",
    "ours",
    "a/b",
    "0" * 40,
    "ab" * 20,
    "tag",
    "Bot",
]
_text = st.text(st.characters(exclude_categories=()), max_size=20)
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text | st.sampled_from(_VALUES),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(_KEYS) | _text, children, max_size=5)
    ),
    max_leaves=20,
)
_types = st.sampled_from(sorted(TITLES)) | st.sampled_from(["Issue", "message", "block_actions", "a.9"]) | _text


@EXAMPLES
@given(st.sampled_from(FROM_OUTSIDE), _types, st.dictionaries(st.sampled_from(_KEYS) | _text, _json, max_size=8))
def test_no_payload_makes_it_raise(provider: EventProvider, event_type: str, payload: dict[str, Any]) -> None:
    _check(normalise(provider, event_type, payload, source="ci", own=EVERYBODY), (provider, event_type))


@EXAMPLES
@given(st.sampled_from(FROM_OUTSIDE), st.sampled_from(sorted(TITLES)), st.data())
def test_no_value_where_another_is_expected_makes_it_raise(
    provider: EventProvider, event_type: str, data: st.DataObject
) -> None:
    payload = {key: data.draw(_json, label=key) for key in ("action", "repository", "sender", "event", event_type)}

    _check(normalise(provider, event_type, payload, own=EVERYBODY), (provider, event_type))
