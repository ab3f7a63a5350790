import json
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest

from contexten.emulators.deliveries import Delivery, GitHubDelivery, Outcome, Try
from contexten.emulators.linear_deliveries import LinearDelivery
from contexten.emulators.signing import sign_linear, sign_slack, sign_standard
from contexten.emulators.slack_deliveries import SlackDelivery
from contexten.emulators.standard_deliveries import StandardDelivery

SECRET = "the-webhook-secret-of-the-tests"
AT = datetime(2025, 1, 7, 9, 0, tzinfo=UTC)
FIRST = Try(number=0, at=AT)


def schedule(delivery: Delivery) -> tuple[float, tuple[float, ...]]:
    return delivery.schedule.limit_seconds, delivery.schedule.retries


def test_each_sender_has_its_own_time_limit_and_schedule() -> None:
    assert schedule(GitHubDelivery(event="push", payload={})) == (10, ())
    assert schedule(LinearDelivery(payload={})) == (5, (60, 3600, 21_600))
    assert schedule(SlackDelivery.of_event({"type": "message"})) == (3, (0, 60, 300))
    assert schedule(SlackDelivery.of_command("/deploy")) == (3, ())
    assert schedule(StandardDelivery(payload={}))[0] == 15


def test_linear_says_in_the_body_when_it_was_sent_and_signs_that() -> None:
    delivery = LinearDelivery(payload={"type": "Issue", "action": "update"}, sent_at=1_736_240_400_000)
    headers = delivery.headers_of(FIRST, SECRET)
    assert json.loads(delivery.body) == {
        "webhookTimestamp": 1_736_240_400_000,
        "webhookId": delivery.webhook_id,
        "type": "Issue",
        "action": "update",
    }
    assert headers["Linear-Signature"] == sign_linear(SECRET, delivery.body)
    assert (headers["Linear-Event"], headers["Linear-Delivery"]) == ("Issue", delivery.delivery_id)


def test_a_linear_payload_that_says_its_time_keeps_it_and_raw_bytes_stay_as_they_are() -> None:
    assert json.loads(LinearDelivery(payload={"webhookTimestamp": 1}).body)["webhookTimestamp"] == 1
    assert LinearDelivery(payload={}, raw=b"{ }").body == b"{ }"


def test_an_attempt_at_linear_has_the_same_headers_and_bytes_each_time() -> None:
    delivery = LinearDelivery(payload={"type": "Issue"})
    again = Try(number=3, at=AT, last=Outcome.REFUSED)
    assert delivery.headers_of(again, SECRET) == delivery.headers_of(FIRST, SECRET)
    assert delivery.body == delivery.body


@pytest.mark.parametrize(("status", "taken"), [(200, True), (202, False), (204, False), (301, False), (500, False)])
def test_linear_takes_200_for_a_success_and_nothing_else(status: int, *, taken: bool) -> None:
    assert LinearDelivery(payload={}).accepts(status, b"") is taken


def test_slack_signs_with_the_time_of_the_attempt_and_says_why_it_comes_again() -> None:
    delivery = SlackDelivery.of_event({"type": "app_mention", "text": "hello", "user": "U123456"})
    first = delivery.headers_of(FIRST, SECRET)
    later = Try(number=2, at=datetime(2025, 1, 7, 9, 1, tzinfo=UTC), last=Outcome.TIMED_OUT)
    again = delivery.headers_of(later, SECRET)

    assert first["X-Slack-Signature"] == sign_slack(SECRET, delivery.body, timestamp=int(AT.timestamp()))
    assert not [name for name in first if "Retry" in name]
    assert int(again["X-Slack-Request-Timestamp"]) == int(AT.timestamp()) + 60
    assert again["X-Slack-Signature"] != first["X-Slack-Signature"]
    assert (again["X-Slack-Retry-Num"], again["X-Slack-Retry-Reason"]) == ("2", "http_timeout")


def test_an_inner_event_is_put_into_an_event_callback_and_a_whole_one_stays() -> None:
    outer = json.loads(SlackDelivery.of_event({"type": "app_mention", "text": "hello"}).body)
    assert (outer["type"], outer["event"]["text"], outer["event_id"][:2]) == ("event_callback", "hello", "Ev")
    assert json.loads(SlackDelivery.of_event(outer).body) == outer
    assert SlackDelivery.of_event(outer).delivery_id == outer["event_id"]


def test_interactions_and_commands_are_forms() -> None:
    interaction = SlackDelivery.of_interaction({"type": "block_actions", "text": "ä & b"})
    assert json.loads(parse_qs(interaction.body.decode())["payload"][0])["text"] == "ä & b"
    command = SlackDelivery.of_command("/deploy", "main now", user_id="U9")
    fields = parse_qs(command.body.decode())
    assert (fields["command"], fields["text"], fields["user_id"]) == (["/deploy"], ["main now"], ["U9"])
    assert {interaction.content_type, command.content_type} == {"application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("payload", "event", "content_type"),
    [
        ({"type": "event_callback", "event": {"type": "message"}}, "message", "application/json"),
        ({"type": "reaction_added", "reaction": "eyes"}, "reaction_added", "application/json"),
        ({"type": "url_verification", "challenge": "abc"}, "url_verification", "application/json"),
        ({"type": "block_actions", "team": {}, "user": {}}, "block_actions", "application/x-www-form-urlencoded"),
        ({"command": "/deploy", "text": "now"}, "/deploy", "application/x-www-form-urlencoded"),
    ],
)
def test_a_payload_is_sent_the_way_slack_sends_its_kind(
    payload: Mapping[str, object], event: str, content_type: str
) -> None:
    delivery = SlackDelivery.of_payload(payload)
    assert (delivery.event, delivery.content_type) == (event, content_type)


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (b"abc", True),
        (b'{"challenge": "abc"}', True),
        (b"", False),
        (b'{"challenge": "x"}', False),
        (b"[" * 9999, False),
    ],
)
def test_slack_wants_to_hear_its_challenge(answer: bytes, *, taken: bool) -> None:
    delivery = SlackDelivery.of_url_verification("abc")
    assert delivery.accepts(200, answer) is taken
    assert not delivery.accepts(500, b"abc")


def test_standard_webhooks_sign_the_id_and_the_time_of_the_attempt() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    delivery = StandardDelivery(payload={"type": "deployment.failed"}, delivery_id="msg_1")
    headers = delivery.headers_of(FIRST, secret)
    seconds = int(AT.timestamp())
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", str(seconds))
    assert headers["webhook-signature"] == sign_standard(secret, delivery.body, message_id="msg_1", timestamp=seconds)


def test_github_sends_for_an_app_in_the_apps_name() -> None:
    delivery = GitHubDelivery(event="push", payload={"repository": {"id": 1}}, app_id=99, raw=b"{}")
    assert delivery.body == b"{}"
    assert delivery.headers(None)["X-GitHub-Hook-Installation-Target-Type"] == "integration"
    assert delivery.headers(None)["X-GitHub-Hook-Installation-Target-ID"] == "99"
