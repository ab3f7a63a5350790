"""Over real HTTP, to the emulator."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from contexten.emulators.recorder import Fault
from contexten.emulators.slack import RunningSlack, run_slack_emulator
from contexten_core.db import Database
from contexten_core.errors import OutboundError
from contexten_core.integrations import post_store
from contexten_core.integrations.slack import SlackPoster
from contexten_core.settings import Settings

TOKEN = "xoxb-of-these-tests"
CHANNEL, THREAD = "C123456", "1700000000.000100"
MESSAGE = {"channel": CHANNEL, "thread_ts": None, "text": "*1 test fails*: `test_total`", "post": None}
REPLY = {**MESSAGE, "thread_ts": THREAD}
STICKY = {**REPLY, "post": f"slack:{CHANNEL}:{THREAD}"}
REACTION = {"channel": CHANNEL, "ts": THREAD, "name": "eyes"}


@pytest.fixture
async def slack() -> AsyncIterator[RunningSlack]:
    async with run_slack_emulator(required_token=TOKEN) as running:
        yield running


def _poster(url: str, database: Database | None = None, *, token: str | None = TOKEN) -> SlackPoster:
    settings = Settings(
        slack_api_url=f"{url}/api/",
        slack_bot_token=SecretStr(token) if token else None,
    )
    return SlackPoster(settings, database or Database())


async def _lose_the_answer(slack: RunningSlack, poster: SlackPoster, content: dict[str, Any], *, key: str) -> None:
    """Carry an effect out, the answer being lost, and once more."""
    slack.recorder.queue_fault(Fault(drop_after=True))
    with pytest.raises(OutboundError) as caught:
        await poster.post(content, key=key, maybe_done=False)
    assert (caught.value.transient, caught.value.ambiguous) == (True, True)
    await poster.post(content, key=key, maybe_done=True)


def _calls(slack: RunningSlack) -> list[str]:
    return [request.path.removeprefix("/api/") for request in slack.recorder.requests]


@pytest.mark.parametrize("content", [MESSAGE, REPLY], ids=["to the channel", "to a thread"])
async def test_a_message_is_posted_as_it_is_given(slack: RunningSlack, content: dict[str, Any]) -> None:
    answer = await _poster(slack.url).post(content, key="run-1:message:0", maybe_done=False)

    (message,) = slack.recorder.messages
    assert (message["text"], message.get("thread_ts")) == (content["text"], content["thread_ts"])
    assert answer == {"channel": CHANNEL, "ts": message["ts"]}
    sent = json.loads(slack.recorder.requests[0].body)
    assert (sent["parse"], sent["mrkdwn"], sent["link_names"]) == ("none", True, False)
    assert (sent["unfurl_links"], sent["unfurl_media"]) == (False, False)
    assert sent["metadata"] == {"event_type": "contexten", "event_payload": {"key": "run-1:message:0"}}


async def test_a_message_is_reacted_to_and_a_second_time_is_no_error(slack: RunningSlack) -> None:
    poster = _poster(slack.url)
    answers = [await poster.post(REACTION, key=f"run-{number}:reaction:0", maybe_done=False) for number in range(2)]

    (reaction,) = slack.recorder.reactions
    assert (reaction["channel"], reaction["ts"], reaction["name"]) == (CHANNEL, THREAD, "eyes")
    assert answers == [REACTION, REACTION]


async def test_the_message_of_one_post_is_edited_in_place(slack: RunningSlack, database: Database) -> None:
    for number, text in enumerate(["Running", "1 test fails", "All tests pass"]):
        # Each by another worker, which knows nothing but the database.
        poster = _poster(slack.url, database)
        await poster.post({**STICKY, "text": text}, key=f"run-1:message:{number}", maybe_done=False)

    (message,) = slack.recorder.messages
    assert (message["text"], message["thread_ts"]) == ("All tests pass", THREAD)
    assert _calls(slack) == ["chat.postMessage", "chat.update", "chat.update"]
    assert json.loads(slack.recorder.requests[1].body)["parse"] == "none"
    async with database.reading() as session:
        row = await post_store.get(session, str(STICKY["post"]))
    assert row is not None
    assert row.external_id == f"{CHANNEL}/{message['ts']}"


async def test_blocks_are_shown_and_taken_away_again(slack: RunningSlack, database: Database) -> None:
    poster = _poster(slack.url, database)
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "Shall I?"}}]
    await poster.post({**STICKY, "blocks": blocks}, key="run-1:message:0", maybe_done=False)
    (asked,) = slack.recorder.messages
    await poster.post({**STICKY, "blocks": []}, key="run-1:message:1", maybe_done=False)
    (answered,) = slack.recorder.messages

    assert (asked["blocks"], answered["blocks"]) == (blocks, [])


async def test_a_message_that_somebody_deleted_is_posted_anew(slack: RunningSlack, database: Database) -> None:
    poster = _poster(slack.url, database)
    first = await poster.post(STICKY, key="run-1:message:0", maybe_done=False)
    slack.recorder.messages.remove(f"{CHANNEL} {first['ts']}")
    again = await poster.post({**STICKY, "text": "All tests pass"}, key="run-1:message:1", maybe_done=False)

    (message,) = slack.recorder.messages
    assert (message["ts"], message["text"]) == (again["ts"], "All tests pass")


async def test_of_twenty_effects_of_each_kind_whose_answers_are_lost_none_is_doubled(
    slack: RunningSlack, database: Database
) -> None:
    poster = _poster(slack.url, database)
    for number in range(20):
        in_channel = {**MESSAGE, "text": f"message {number}"}
        await _lose_the_answer(slack, poster, in_channel, key=f"run-{number}:message:0")
        in_thread = {**REPLY, "text": f"reply {number}"}
        await _lose_the_answer(slack, poster, in_thread, key=f"run-{number}:message:1")
        sticky = {**STICKY, "post": f"post {number // 2}", "text": f"sticky {number}"}
        await _lose_the_answer(slack, poster, sticky, key=f"run-{number}:message:2")
        await _lose_the_answer(slack, poster, {**REACTION, "name": f"emoji{number}"}, key=f"run-{number}:reaction:0")

    said = [message["text"] for message in slack.recorder.messages]
    expected = [f"{what} {number}" for number in range(20) for what in ("message", "reply")]
    assert sorted(said) == sorted([*expected, *(f"sticky {number}" for number in range(1, 20, 2))])
    assert len(slack.recorder.reactions) == 20


@pytest.mark.parametrize("content", [MESSAGE, REPLY], ids=["in the channel", "in a thread"])
async def test_a_message_is_found_among_hundreds(slack: RunningSlack, content: dict[str, Any]) -> None:
    poster = _poster(slack.url)
    thread = {"thread_ts": content["thread_ts"]} if content["thread_ts"] else {}
    for number in range(450):
        if number == 225:
            await poster.post(content, key="run-1:message:0", maybe_done=False)
        slack.recorder.post(CHANNEL, text=f"something else {number}", **thread)
    answer = await poster.post(content, key="run-1:message:0", maybe_done=True)

    assert answer["ts"] in [message["ts"] for message in slack.recorder.messages if "metadata" in message]
    assert len(slack.recorder.messages) == 451


async def test_what_did_not_arrive_is_posted_after_it_was_looked_for(slack: RunningSlack) -> None:
    poster = _poster(slack.url)
    for content in (MESSAGE, REPLY):
        slack.recorder.queue_fault(Fault(drop_before=True))
        with pytest.raises(OutboundError):
            await poster.post(content, key=f"{content['thread_ts']}:message:0", maybe_done=False)
        await poster.post(content, key=f"{content['thread_ts']}:message:0", maybe_done=True)

    assert len(slack.recorder.messages) == 2
    assert _calls(slack)[1:3] == ["conversations.history", "chat.postMessage"]
    assert _calls(slack)[4:] == ["conversations.replies", "chat.postMessage"]


@pytest.mark.parametrize(
    ("fault", "retry_after", "ambiguous"),
    [
        (Fault(status=429, retry_after=7), 7, False),
        (Fault(status=500), None, True),
        (Fault(status=503, retry_after=7), 7, True),
        (Fault(drop_before=True), None, True),
    ],
    ids=lambda value: value.model_dump_json(exclude_defaults=True) if isinstance(value, Fault) else None,
)
async def test_what_passes_is_to_be_tried_again(
    slack: RunningSlack, fault: Fault, retry_after: float | None, *, ambiguous: bool
) -> None:
    slack.recorder.queue_fault(fault)
    with pytest.raises(OutboundError) as caught:
        await _poster(slack.url).post(MESSAGE, key="run-1:message:0", maybe_done=False)

    error = caught.value
    assert (error.transient, error.ambiguous, error.retry_after) == (True, ambiguous, retry_after)
    assert TOKEN not in f"{error.message} {error.hint}"


async def test_as_long_as_it_cannot_be_looked_for_it_is_not_posted_again(slack: RunningSlack) -> None:
    slack.recorder.queue_fault(Fault(status=429, retry_after=7, path_contains="conversations."))
    with pytest.raises(OutboundError) as caught:
        await _poster(slack.url).post(MESSAGE, key="run-1:message:0", maybe_done=True)

    assert (caught.value.transient, caught.value.retry_after) == (True, 7)
    assert len(slack.recorder.messages) == 0


@pytest.mark.parametrize(
    ("content", "error", "hint"),
    [
        ({**MESSAGE, "channel": "nowhere"}, "channel_not_found", "invite the app"),
        ({**MESSAGE, "text": "x" * 40_001}, "msg_too_long", "at most 40,000 characters"),
        ({**REPLY, "thread_ts": "yesterday"}, "invalid_thread_ts", ""),
        ({**REACTION, "name": "No such!"}, "invalid_name", "name it without colons"),
        ({**MESSAGE, "text": ""}, "the effect has no text", "please report it"),
    ],
)
async def test_what_will_not_pass_is_not_tried_again_and_says_what_to_do(
    slack: RunningSlack, content: dict[str, Any], error: str, hint: str
) -> None:
    with pytest.raises(OutboundError, match=error) as caught:
        await _poster(slack.url).post(content, key="run-1:message:0", maybe_done=False)

    assert (caught.value.transient, caught.value.ambiguous) == (False, False)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("token", "hint"), [("xoxb-revoked", "check SLACK_BOT_TOKEN"), ("a\ntoken", "was it copied together with others?")]
)
async def test_a_token_that_is_not_valid_is_no_reason_to_try_again(slack: RunningSlack, token: str, hint: str) -> None:
    with pytest.raises(OutboundError) as caught:
        await _poster(slack.url, token=token).post(MESSAGE, key="run-1:message:0", maybe_done=False)

    assert not caught.value.transient
    assert hint in (caught.value.hint or "")
    assert token not in f"{caught.value.message} {caught.value.hint}"


async def test_whatever_answers_instead_of_slack_is_a_failed_call(slack: RunningSlack) -> None:
    settings = Settings(slack_api_url=f"{slack.url}/nowhere/", slack_bot_token=SecretStr(TOKEN))
    with pytest.raises(OutboundError, match="Slack answered 404") as caught:
        await SlackPoster(settings, Database()).post(MESSAGE, key="run-1:message:0", maybe_done=False)

    assert caught.value.hint == "is SLACK_API_URL the address of Slack's API?"


@pytest.mark.parametrize(("token", "able"), [(None, False), (TOKEN, True)])
def test_without_a_token_nothing_can_be_posted(token: str | None, *, able: bool) -> None:
    reason = _poster("http://127.0.0.1:9", token=token).unable(MESSAGE)

    assert reason == (None if able else "no Slack token is configured; set SLACK_BOT_TOKEN")
