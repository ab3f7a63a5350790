"""Where a run may answer, by what its event says."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise_any import normalise
from contexten_core.events.normalise_slack import slack_event_type
from contexten_core.outputs.place import Place, place_of
from contexten_core.projects.resolve import Target

RECORDED = Path(__file__).resolve().parents[4] / "shared" / "data" / "webhooks"
COMMIT = "c" * 40


def target(repository: str = "acme/shop", **changes: Any) -> Target:
    fields: dict[str, Any] = {
        "project_id": UUID(int=1),
        "project_slug": "shop",
        "project_name": "Shop",
        "repository_id": UUID(int=2),
        "repository": repository,
        "clone_url": f"https://github.com/{repository}.git",
        "default_branch": "main",
        "commit": COMMIT,
        "ref": None,
        "allow_local": False,
        "api_url": None,
    }
    return Target(**{**fields, **changes})


def place(provider: EventProvider, kind: str, payload: dict[str, Any], **changes: Any) -> Place:
    return place_of(normalise(provider, kind, payload), target(**changes), payload)


REPOSITORY = {"full_name": "Acme/Shop"}


def test_a_pull_request_is_answered_on_itself_and_patched_on_its_branch() -> None:
    found = place(
        EventProvider.GITHUB,
        "pull_request",
        {"repository": REPOSITORY, "pull_request": {"number": 7, "head": {"ref": "fix", "repo": REPOSITORY}}},
        ref="refs/pull/7/head",
    )

    assert (found.number, found.is_pull_request, found.commit, found.branch) == (7, True, COMMIT, "fix")
    assert found.repository == "acme/shop"


def test_a_comment_on_an_issue_is_known_and_a_discussion_cannot_be_commented_on() -> None:
    said = {"repository": REPOSITORY, "issue": {"number": 3}, "comment": {"id": 99}}
    on_issue = place(EventProvider.GITHUB, "issue_comment", said)
    on_pull_request = place(EventProvider.GITHUB, "issue_comment", {**said, "issue": {"number": 3, "pull_request": {}}})
    on_discussion = place(EventProvider.GITHUB, "discussion", {"repository": REPOSITORY, "discussion": {"number": 3}})

    assert (on_issue.number, on_issue.is_pull_request, on_issue.branch) == (3, False, "main")
    assert (on_issue.comment_id, on_issue.comment_kind) == (99, "issue")
    assert on_pull_request.is_pull_request
    assert on_discussion.number is None


def test_a_number_of_another_repository_is_none_of_ours() -> None:
    said = {"repository": {"full_name": "evil/other"}, "issue": {"number": 3}}

    assert place(EventProvider.GITHUB, "issues", said).number is None


def test_a_ticket_is_answered_at_linear_and_its_number_is_not_taken_for_one_of_github() -> None:
    said = {"type": "Comment", "action": "create", "data": {"id": "c-1", "issueId": "i-1"}}
    said["url"] = "https://linear.app/acme/issue/ENG-12/x"

    found = place(EventProvider.LINEAR, "Comment", said)

    assert (found.issue_id, found.issue_identifier, found.message, found.number) == ("i-1", "ENG-12", "c-1", None)
    assert (found.repository, found.branch) == ("acme/shop", "main")


def test_a_message_is_answered_in_its_thread_and_begins_one_when_there_is_none() -> None:
    said = {"event": {"type": "app_mention", "channel": "C1", "ts": "2.0", "thread_ts": "1.0"}}
    command = {"command": "/x", "channel_id": "C1"}

    found = place(EventProvider.SLACK, "app_mention", said)
    del said["event"]["thread_ts"]
    first = place(EventProvider.SLACK, "app_mention", said)

    assert (found.channel, found.thread, found.message) == ("C1", "1.0", "2.0")
    assert (first.thread, first.message) == ("2.0", "2.0")
    assert place(EventProvider.SLACK, "slash_command", command).thread is None


def test_texts_may_link_to_github_and_to_the_repositorys_own_host() -> None:
    assert place(EventProvider.GITHUB, "push", {}).hosts == {"github.com"}
    own = place(EventProvider.GITHUB, "push", {}, api_url="https://Git.Acme.example/api/v3")
    assert own.hosts == {"github.com", "git.acme.example"}


@pytest.mark.parametrize("provider", [EventProvider.GITHUB, EventProvider.LINEAR, EventProvider.SLACK])
def test_every_recorded_delivery_has_a_place_and_nothing_odd_in_it(provider: EventProvider) -> None:
    files = sorted((RECORDED / provider.value).rglob("*.json"))
    if not files:
        pytest.skip(f"there are no recorded webhooks in {RECORDED}")
    numbered = issues = threads = 0
    for file in files:
        payload = json.loads(file.read_bytes())
        payload = payload["payload"] if provider is EventProvider.SLACK else payload
        kind = _kind(provider, file, payload)
        event = normalise(provider, kind, payload)

        found = place_of(event, target(repository=event.repository or "acme/shop"), payload)

        assert found.provider is provider
        numbered += found.number is not None
        issues += found.issue_id is not None
        threads += found.thread is not None
        assert found.number is None or (provider is EventProvider.GITHUB and "/discussion" not in str(file))
        assert found.thread is None or found.channel is not None
        if kind.startswith("pull_request"):
            assert found.is_pull_request
            assert found.number == payload["pull_request"]["number"]
    assert {EventProvider.GITHUB: numbered, EventProvider.LINEAR: issues, EventProvider.SLACK: threads}[provider] > 5


def _kind(provider: EventProvider, file: Path, payload: dict[str, Any]) -> str:
    if provider is EventProvider.GITHUB:
        return file.parent.name
    return slack_event_type(payload) or "" if provider is EventProvider.SLACK else payload["type"]
