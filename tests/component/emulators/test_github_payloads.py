import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from contexten.emulators.sender import NO_COMMIT, pull_request_payload, push_payload
from contexten_core.errors import MalformedPayloadError

WEBHOOKS = Path(__file__).parents[4] / "shared" / "data" / "webhooks"
BEFORE, AFTER = "a" * 40, "b" * 40
AT = datetime(2025, 1, 7, 9, 0, tzinfo=UTC)

needs_shared_data = pytest.mark.skipif(not WEBHOOKS.exists(), reason=f"{WEBHOOKS} is not here")


@cache
def definitions() -> dict[str, Any]:
    schema = json.loads((WEBHOOKS / "github-events.schema.json").read_text())
    found: dict[str, Any] = schema["definitions"]
    return found


def complaints(payload: dict[str, Any], definition: str) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema")
    schema = {"definitions": definitions(), "$ref": f"#/definitions/{definition}"}
    return [f"{error.json_path}: {error.message}" for error in jsonschema.Draft7Validator(schema).iter_errors(payload)]


def push(*, before: str = BEFORE, after: str = AFTER) -> dict[str, Any]:
    return push_payload(
        "acme/cashbox", before, after, "refs/heads/main", "Add tax", "jonas", AT, modified=["cashbox/totals.py"]
    )


def pull_request(action: str, **more: Any) -> dict[str, Any]:
    return pull_request_payload(
        "acme/thermometer", 12, action, AFTER, BEFORE, "add-kelvin", "Add Kelvin", "ada", at=AT, **more
    )


@needs_shared_data
@pytest.mark.parametrize(("before", "after"), [(BEFORE, AFTER), (NO_COMMIT, AFTER), (BEFORE, NO_COMMIT)])
def test_a_push_fits_githubs_schema(before: str, after: str) -> None:
    assert complaints(push(before=before, after=after), "push$event") == []


@needs_shared_data
@pytest.mark.parametrize(
    ("action", "more"),
    [
        ("opened", {}),
        ("reopened", {}),
        ("synchronize", {"before": "c" * 40}),
        ("ready_for_review", {}),
        ("converted_to_draft", {"draft": True}),
        ("labeled", {"labels": ["bug", "automate me"]}),
        ("unlabeled", {"labels": ["bug"]}),
        ("closed", {}),
        ("closed", {"merged": True}),
    ],
)
def test_a_pull_request_fits_githubs_schema(action: str, more: dict[str, Any]) -> None:
    assert complaints(pull_request(action, **more), f"pull_request${action}") == []


@needs_shared_data
def test_the_keys_are_those_of_recorded_payloads() -> None:
    recorded = json.loads((WEBHOOKS / "github" / "push" / "1.payload.json").read_text())
    assert set(recorded) - set(push()) == {"organization"}
    assert set(recorded["repository"]) - set(push()["repository"]) == {"organization"}
    opened = json.loads((WEBHOOKS / "github" / "pull_request" / "opened.payload.json").read_text())
    assert set(opened) - set(pull_request("opened")) == {"installation"}
    assert set(opened["pull_request"]) == set(pull_request("opened")["pull_request"])


def test_a_push_says_what_was_pushed() -> None:
    payload = push()
    assert (payload["before"], payload["after"], payload["ref"]) == (BEFORE, AFTER, "refs/heads/main")
    assert (payload["created"], payload["deleted"]) == (False, False)
    assert payload["head_commit"] == payload["commits"][0]
    assert payload["head_commit"]["modified"] == ["cashbox/totals.py"]
    assert payload["head_commit"]["timestamp"] == "2025-01-07T09:00:00Z"
    assert payload["repository"]["pushed_at"] == int(AT.timestamp())


def test_a_deleted_ref_has_no_head_commit() -> None:
    payload = push(after=NO_COMMIT)
    assert (payload["deleted"], payload["commits"], payload["head_commit"]) == (True, [], None)


def test_a_synchronized_pull_request_says_from_where_to_where() -> None:
    payload = pull_request("synchronize", before="c" * 40)
    assert (payload["before"], payload["after"]) == ("c" * 40, AFTER)
    assert payload["pull_request"]["head"]["sha"] == AFTER
    assert payload["pull_request"]["base"]["sha"] == BEFORE


def test_the_same_repository_and_person_have_the_same_ids_each_time() -> None:
    assert push()["repository"]["id"] == push(before=NO_COMMIT)["repository"]["id"]
    assert push()["sender"]["id"] != pull_request("opened")["sender"]["id"]


@pytest.mark.parametrize("name", ["", "acme", "/cashbox", "acme/", "acme/cash/box"])
def test_a_name_that_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(MalformedPayloadError, match="names no repository"):
        push_payload(name, BEFORE, AFTER, "refs/heads/main", "x", "ada", AT)


def test_a_label_event_needs_a_label() -> None:
    with pytest.raises(MalformedPayloadError, match="without a label"):
        pull_request("labeled")
