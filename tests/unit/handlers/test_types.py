import json
from pathlib import Path
from typing import Any

import pytest

from contexten.handlers import types
from contexten.handlers.types import GitHubEvent, IssueCommentEvent, LinearEvent, PullRequestLabeledEvent, SlackEvent

PAYLOADS = Path(__file__).parents[4] / "shared/data/webhooks"
MODELS: dict[str, type[GitHubEvent]] = {
    "check_run": types.CheckRunEvent,
    "check_suite": types.CheckSuiteEvent,
    "issue_comment": types.IssueCommentEvent,
    "issues": types.IssuesEvent,
    "ping": types.PingEvent,
    "pull_request": types.PullRequestEvent,
    "pull_request_review": types.PullRequestReviewEvent,
    "push": types.PushEvent,
    "workflow_run": types.WorkflowRunEvent,
}
needs_payloads = pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is not there")


def _recorded(pattern: str) -> list[Any]:
    return [pytest.param(path, id=str(path.relative_to(PAYLOADS))) for path in sorted(PAYLOADS.glob(pattern))]


def _read(path: Path) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(path.read_bytes())
    return payload


@pytest.mark.parametrize("path", _recorded("github/*/*.json"))
def test_every_recorded_event_of_github_fits_its_model(path: Path) -> None:
    payload = _read(path)
    event = MODELS.get(path.parent.name, GitHubEvent).model_validate(payload)

    assert event.action == payload.get("action")
    assert (event.repository and event.repository.full_name) == payload.get("repository", {}).get("full_name")
    assert (event.sender and event.sender.login) == payload.get("sender", {}).get("login")


@pytest.mark.parametrize("path", _recorded("linear/*/*.json"))
def test_every_recorded_event_of_linear_fits(path: Path) -> None:
    payload = _read(path)
    event = LinearEvent.model_validate(payload)

    assert (event.type, event.action, event.url) == (payload["type"], payload["action"], payload.get("url"))
    assert event.data.title == payload.get("data", {}).get("title")
    assert event.updatedFrom == payload.get("updatedFrom")
    assert event.createdAt is not None


@pytest.mark.parametrize("path", _recorded("slack/*.json"))
def test_every_recorded_event_of_slack_fits(path: Path) -> None:
    payload = _read(path)["payload"]
    inner = payload.get("event", payload)
    event = SlackEvent.model_validate(inner)

    assert (event.type, event.text, event.ts) == (inner.get("type"), inner.get("text"), inner.get("ts"))
    assert event.channel is None or event.channel.startswith("C")


@needs_payloads
def test_a_labelled_pull_request() -> None:
    path = PAYLOADS / "github/pull_request/labeled.with-organization.payload.json"
    event = PullRequestLabeledEvent.model_validate(_read(path))

    assert event.label.name == "bug"
    assert event.pull_request.number == event.number
    assert event.pull_request.head.sha is not None
    assert event.organization is not None


@pytest.mark.parametrize("payload", [{}, {"issue": None, "comment": None}, {"issue": {"labels": None}}])
def test_what_is_missing_or_null_is_empty(payload: dict[str, Any]) -> None:
    event = IssueCommentEvent.model_validate(payload)

    assert event.comment.body is None
    assert event.issue.labels == []
    assert event.repository is None


def test_parts_can_be_read_as_attributes_and_as_keys() -> None:
    data = LinearEvent.model_validate({"data": {"title": "Tax", "estimate": 3, "get": 1, "team": {"key": "ENG"}}}).data

    assert data.title == data["title"] == data.get("title") == "Tax"
    assert data.estimate == data["estimate"] == 3  # type: ignore[attr-defined]
    assert data["get"] == 1
    assert data["team"]["key"] == "ENG"
    assert ("title" in data, "estimate" in data, "body" in data) == (True, True, False)
    assert (data["body"], data.get("body", "empty"), data.get("nothing")) == (None, "empty", None)
    with pytest.raises(KeyError, match="nothing"):
        data["nothing"]


def test_slack_objects_count_as_their_ids() -> None:
    event = SlackEvent.model_validate({"type": "reaction_added", "user": {"id": "U1"}, "item": {"channel": "C1"}})

    assert (event.user, event.channel) == ("U1", "C1")
    assert "text" not in event
