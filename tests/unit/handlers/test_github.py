"""Acceptance points 14 and 17, as far as GitHub goes."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from contexten.handlers import GitHub
from contexten.handlers.types import PingEvent, PullRequestLabeledEvent, PushEvent
from contexten_core.errors import ConfigurationError
from contexten_core.events.handlers import HandlerRegistry
from contexten_core.settings import Settings

PAYLOADS = Path(__file__).parents[4] / "shared/data/webhooks/github"
TOLD_BY_THEIR_PAYLOAD = {
    "check_run",
    "check_suite",
    "commit_comment",
    "deployment",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "issue_comment",
    "issues",
    "ping",
    "pull_request",
    "pull_request_review",
    "pull_request_review_thread",
    "push",
    "release",
    "workflow_job",
    "workflow_run",
}


async def test_14_a_push_handler_gets_pushes(github: GitHub) -> None:
    @github.event("push")
    def handle(event: PushEvent) -> Any:
        assert event.repository is not None
        return event.repository.full_name, event.commits[0].message

    payload = {"repository": {"full_name": "owner/repo1"}, "commits": [{"message": "feat: new feature"}]}
    assert await github.handle(payload, event_type="push") == ("owner/repo1", "feat: new feature")


@pytest.mark.parametrize(
    ("name", "event_type", "payload", "handled"),
    [
        ("push", "push", {}, True),
        ("push", "pull_request", {"action": "push"}, False),
        ("pull_request", "pull_request", {"action": "labeled"}, True),
        ("pull_request", "pull_request", {}, True),
        ("pull_request", "pull_request_review", {}, False),
        ("pull_request:labeled", "pull_request", {"action": "labeled"}, True),
        ("pull_request:labeled", "pull_request", {"action": "opened"}, False),
        ("pull_request:labeled", "pull_request", {}, False),
        ("pull_request:labeled", "pull_request", {"action": ["labeled"]}, False),
        ("pull_request:labeled", "pull_request:labeled", {}, True),
        ("pull_request:labeled", "pull_request:labeled", {"action": "opened"}, True),
        ("pull_request:labeled", "issues", {"action": "labeled"}, False),
        ("*", "star", {"action": "created"}, True),
        ("labeled", "pull_request", {"action": "labeled"}, False),
    ],
)
async def test_14_names_are_the_event_with_or_without_its_action(
    github: GitHub, name: str, event_type: str, payload: dict[str, Any], handled: bool
) -> None:
    github.event(name)(lambda event: event.get("action"))

    answer = await github.handle(payload, event_type=event_type)
    action = "labeled" if event_type.endswith(":labeled") else payload.get("action")
    assert answer == (action if handled else {"message": "Event type not handled"})


@pytest.mark.parametrize("header", ["X-GitHub-Event", "x-github-event"])
async def test_the_type_is_that_of_the_requests_header(github: GitHub, header: str) -> None:
    @github.event("pull_request:labeled")
    def handle(event: PullRequestLabeledEvent) -> Any:
        return event.label.name, event.pull_request.number

    request = SimpleNamespace(headers={header: "pull_request"})
    payload = {"action": "labeled", "label": {"name": "bug"}, "pull_request": {"number": 7}}
    assert await github.handle(payload, request) == ("bug", 7)


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes())


@pytest.mark.parametrize("path", sorted(PAYLOADS.rglob("*.json")), ids=lambda path: str(path.relative_to(PAYLOADS)))
async def test_without_a_type_the_commonest_events_are_told_by_their_payload(github: GitHub, path: Path) -> None:
    for name in (path.parent.name, "*"):
        github.event(name)(lambda event: "told")

    told = path.parent.name in TOLD_BY_THEIR_PAYLOAD
    answer = await github.handle(_read(path))
    assert answer == (["told", "told"] if told else {"message": "Event type not handled"})


async def test_without_a_type_and_a_telling_payload_nothing_is_handled(github: GitHub) -> None:
    github.event("*")(lambda event: event)

    assert await github.handle({"action": "labeled"}) == {"message": "Event type not handled"}
    assert await github.handle({}, SimpleNamespace(headers={})) == {"message": "Event type not handled"}


async def test_17_events_without_a_repository_are_handled(github: GitHub) -> None:
    @github.event("ping")
    def ping(event: PingEvent) -> Any:
        return event.repository, event.zen

    @github.event("organization:member_added")
    def organization(event: dict[str, Any]) -> Any:
        return event["organization"]["login"]

    assert await github.handle({"zen": "Design for failure."}, event_type="ping") == (None, "Design for failure.")
    payload = {"action": "member_added", "organization": {"login": "acme"}}
    assert await github.handle(payload, event_type="organization") == "acme"


async def test_the_code_of_an_installation_is_not_echoed(github: GitHub) -> None:
    github.event("*")(lambda event: event)

    payload = {"installation_id": "17", "code": "as-good-as-a-password", "setup_action": "install", "state": "s"}
    answer = await github.handle(payload, event_type="installation")

    assert answer == {
        "message": "GitHub app installation details received",
        "details": {"installation_id": "17", "setup_action": "install"},
    }


def test_the_client_is_made_once_with_token_address_and_time_limit(
    registry: HandlerRegistry, settings: Settings
) -> None:
    settings.github_token = SecretStr("ghp_of_the_tests")
    settings.github_api_url = "http://localhost:9999/"
    settings.api_timeout_seconds = 4
    github = GitHub(registry, settings)

    assert github.client is github.client
    assert github.client.config.base_url.host == "localhost"
    assert github.client.config.timeout.read == 4
    assert github.client.auth.token == "ghp_of_the_tests"


def test_without_a_token_the_client_says_which_setting_is_missing(github: GitHub) -> None:
    with pytest.raises(ConfigurationError, match="GITHUB_ACCESS_TOKEN"):
        _ = github.client
