from datetime import UTC, datetime
from typing import Any

import pytest

from contexten_core.events.models import EventPriority, EventProvider
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.normalise_any import normalise
from contexten_core.events.subjects import Standing, is_older, standing_of

REPOSITORY = {"full_name": "Acme/Cashbox", "pushed_at": 1_795_000_000}
PERSON = {"login": "mona", "type": "User"}


def _standing(event_type: str, payload: dict[str, Any], *, provider: EventProvider = EventProvider.GITHUB) -> Standing:
    return standing_of(normalise(provider, event_type, payload), payload)


def _pull_request(action: str) -> dict[str, Any]:
    pull = {"number": 7, "updated_at": "2026-11-20T10:00:00Z", "head": {"sha": "4d1c2b3a" * 5, "ref": "fix"}}
    return {"action": action, "number": 7, "pull_request": pull, "repository": REPOSITORY, "sender": PERSON}


def _comment(body: str) -> dict[str, Any]:
    return {
        "action": "created",
        "issue": {"number": 7, "pull_request": {}},
        "comment": {"id": 1, "body": body},
        "repository": REPOSITORY,
        "sender": PERSON,
    }


@pytest.mark.parametrize("action", ["opened", "synchronize", "reopened"])
def test_new_code_in_a_pull_request_supersedes(action: str) -> None:
    found = _standing("pull_request", _pull_request(action))

    assert (found.lane, found.supersedes) == ("github:acme/cashbox#7", True)
    assert found.happened_at == datetime(2026, 11, 20, 10, tzinfo=UTC)


def test_a_push_supersedes_on_its_branch() -> None:
    found = _standing("push", {"ref": "refs/heads/main", "repository": REPOSITORY, "sender": PERSON})

    assert (found.lane, found.supersedes) == ("github:acme/cashbox@main", True)
    assert found.happened_at == datetime.fromtimestamp(1_795_000_000, UTC)


@pytest.mark.parametrize(
    ("event_type", "payload"),
    [
        ("pull_request", _pull_request("labeled")),
        ("pull_request", _pull_request("closed")),
        ("pull_request_review", _pull_request("submitted") | {"review": {"state": "approved"}}),
        ("issue_comment", _comment("please look again")),
        ("push", {"ref": "refs/heads/main", "deleted": True, "repository": REPOSITORY}),
        ("push", {"ref": "refs/tags/v1", "repository": REPOSITORY}),
    ],
)
def test_anything_else_supersedes_nothing(event_type: str, payload: dict[str, Any]) -> None:
    assert not _standing(event_type, payload).supersedes


def test_a_comment_waits_for_what_is_being_done_about_its_pull_request() -> None:
    found = _standing("issue_comment", _comment("please look again"))

    assert found == Standing("github:acme/cashbox#7", supersedes=False, happened_at=None, priority=EventPriority.HIGH)


def test_what_is_asked_of_us_waits_for_nothing() -> None:
    found = _standing("issue_comment", _comment("/contexten cancel"))

    assert (found.lane, found.priority) == (None, EventPriority.CRITICAL)


def test_what_we_did_ourselves_neither_waits_nor_supersedes() -> None:
    ours = NormalisedEvent(type="push", name="push", subject="acme/cashbox@main", branch="main", own=True)

    assert standing_of(ours, {"ref": "refs/heads/main"}) == Standing(
        None, supersedes=False, happened_at=None, priority=EventPriority.LOW
    )


def test_what_could_not_be_read_waits_for_nothing() -> None:
    assert _standing("push", {}).lane is None


@pytest.mark.parametrize("value", [True, "soon", -1, 10**30, None, [], float("inf")])
def test_a_time_that_is_none_is_left_out(value: object) -> None:
    payload = {"ref": "refs/heads/main", "repository": {"full_name": "a/b", "pushed_at": value}}

    assert _standing("push", payload).happened_at is None


def test_the_senders_time_counts_before_the_order_of_arrival() -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)

    assert is_older((early, late), (late, early))
    assert not is_older((late, early), (early, late))
    assert is_older((None, early), (late, late))
    assert is_older((late, early), (late, late))
    assert not is_older((late, late), (late, late))
