import json
from pathlib import Path

import pytest

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise_known import unknown

SCHEMA = Path(__file__).parents[4] / "shared/data/webhooks/github-events.schema.json"


@pytest.mark.parametrize(
    ("event_type", "action"), [("push", None), ("pull_request", "synchronize"), ("repository_dispatch", "retrain")]
)
def test_what_github_is_known_to_send(event_type: str, action: str | None) -> None:
    assert unknown(EventProvider.GITHUB, event_type, action) is None


def test_an_unknown_type_and_an_unknown_action_are_named() -> None:
    assert (
        unknown(EventProvider.GITHUB, "teleport", "begun") == "unknown event type teleport: nothing is done for it yet"
    )
    assert (
        unknown(EventProvider.GITHUB, "issues", "sung") == "unknown action sung of issues: nothing is done for it yet"
    )
    assert unknown(EventProvider.LINEAR, "Hogehoge", "create") is not None
    assert unknown(EventProvider.LINEAR, "Issue", "hogehoge") is not None
    assert unknown(EventProvider.LINEAR, "Issue", "create") is None


def test_of_those_who_name_their_events_as_they_like_nothing_is_unknown() -> None:
    assert unknown(EventProvider.DEPLOYMENT, "nightly.done", "x") is None
    assert unknown(EventProvider.SLACK, "of_tomorrow", None) is None


@pytest.mark.skipif(not SCHEMA.is_file(), reason=f"{SCHEMA} is not there")
def test_everything_in_githubs_schema_is_known() -> None:
    names = [name.split("$") for name in json.loads(SCHEMA.read_bytes())["definitions"] if "$" in name]

    assert len(names) > 200
    for event_type, action in names:
        assert unknown(EventProvider.GITHUB, event_type, None if action == "event" else action) is None
