"""Over real HTTP, to the emulator."""

import socket
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from contexten.emulators.linear import RunningLinear, run_linear_emulator
from contexten.emulators.recorder import Fault
from contexten_core.db import Database
from contexten_core.errors import OutboundError
from contexten_core.integrations import post_store
from contexten_core.integrations.linear import LinearPoster, id_of
from contexten_core.settings import Settings

KEY = "lin_api_of_these_tests"
COMMENT = {"issue_id": "ENG-12", "body": "1 test fails: test_total"}
STICKY = {"issue_id": "ENG-12", "post": "linear:ENG-12:checks", "body": "Running"}
STATE = {"issue_id": "ENG-12", "state": "In Progress"}
REACTION = {"issue_id": "ENG-12", "emoji": "eyes"}


@pytest.fixture
async def linear() -> AsyncIterator[RunningLinear]:
    async with run_linear_emulator(required_key=KEY) as running:
        running.recorder.add_issue(12, "Totals are rounded wrongly")
        yield running


def _poster(url: str, database: Database | None = None, *, key: str | None = KEY, seconds: float = 30) -> LinearPoster:
    settings = Settings(
        linear_api_url=f"{url}/graphql",
        linear_api_key=SecretStr(key) if key else None,
        api_timeout_seconds=seconds,
    )
    return LinearPoster(settings, database or Database())


async def _lose_the_answer(linear: RunningLinear, poster: LinearPoster, content: dict[str, Any], *, key: str) -> None:
    """Carry an effect out, the answer being lost, and once more."""
    linear.recorder.queue_fault(Fault(drop_after=True))
    with pytest.raises(OutboundError) as caught:
        await poster.post(content, key=key, maybe_done=False)
    assert (caught.value.transient, caught.value.ambiguous) == (True, True)
    await poster.post(content, key=key, maybe_done=True)


def _state(linear: RunningLinear) -> str:
    (issue,) = linear.recorder.issues
    return str(issue["state"]["name"])


async def test_a_comment_is_made_under_an_id_that_its_effect_gives_it(linear: RunningLinear) -> None:
    answer = await _poster(linear.url).post(COMMENT, key="run-1:comment:0", maybe_done=False)

    (comment,) = linear.recorder.comments
    assert (comment["body"], comment["issue"]["identifier"]) == (COMMENT["body"], "ENG-12")
    assert (
        answer
        == {"id": comment["id"], "url": comment["url"]}
        == {"id": id_of("run-1:comment:0"), "url": comment["url"]}
    )
    assert UUID(comment["id"]).version == 4


async def test_an_issue_and_a_comment_are_reacted_to(linear: RunningLinear) -> None:
    poster = _poster(linear.url)
    comment = await poster.post(COMMENT, key="run-1:comment:0", maybe_done=False)
    await poster.post(REACTION, key="run-1:reaction:0", maybe_done=False)
    await poster.post({"comment_id": comment["id"], "emoji": "rocket"}, key="run-1:reaction:1", maybe_done=False)

    on_issue, on_comment = linear.recorder.reactions
    assert (on_issue["emoji"], on_issue["issue"]["identifier"]) == ("eyes", "ENG-12")
    assert (on_comment["emoji"], on_comment["comment"]["id"]) == ("rocket", comment["id"])


@pytest.mark.parametrize(
    ("state", "ends_as"),
    [("In Progress", "In Progress"), ("in progress", "In Progress"), ("Done", "Done"), ("completed", "Done")],
)
async def test_an_issue_is_moved_to_a_state_by_its_name_or_its_type(
    linear: RunningLinear, state: str, ends_as: str
) -> None:
    answer = await _poster(linear.url).post({**STATE, "state": state}, key="run-1:state:0", maybe_done=False)

    assert (_state(linear), answer) == (ends_as, {"issue": "ENG-12", "state": ends_as})


async def test_an_issue_that_is_in_a_state_of_that_type_already_stays_in_it(linear: RunningLinear) -> None:
    poster = _poster(linear.url)
    in_review = {**linear.recorder.states[2], "id": "in-review", "name": "In Review", "position": 2.5}
    linear.recorder.states.append(in_review)
    await poster.post({**STATE, "state": "In Review"}, key="run-1:state:0", maybe_done=False)
    answer = await poster.post({**STATE, "state": "started"}, key="run-1:state:1", maybe_done=False)

    assert (_state(linear), answer["state"]) == ("In Review", "In Review")
    assert [("issueUpdate" in request.body) for request in linear.recorder.requests] == [False, True, False]


async def test_a_state_that_there_is_not_is_refused_with_those_that_there_are(linear: RunningLinear) -> None:
    with pytest.raises(OutboundError, match="ENG-12 has no state 'Shipped'") as caught:
        await _poster(linear.url).post({**STATE, "state": "Shipped"}, key="run-1:state:0", maybe_done=False)

    assert not caught.value.transient
    assert caught.value.hint == "its team's states are: Backlog, Todo, In Progress, Done"


async def test_the_comment_of_one_post_is_edited_in_place(linear: RunningLinear, database: Database) -> None:
    for number, body in enumerate(["Running", "1 test fails", "All tests pass"]):
        # Each by another worker, which knows nothing but the database.
        poster = _poster(linear.url, database)
        await poster.post({**STICKY, "body": body}, key=f"run-1:sticky:{number}", maybe_done=False)

    (comment,) = linear.recorder.comments
    assert comment["body"] == "All tests pass"
    assert len(linear.recorder.requests) == 3
    async with database.reading() as session:
        row = await post_store.get(session, STICKY["post"])
    assert row is not None
    assert (row.external_id, row.url) == (comment["id"], comment["url"])


async def test_a_comment_that_somebody_deleted_is_made_anew(linear: RunningLinear, database: Database) -> None:
    poster = _poster(linear.url, database)
    first = await poster.post(STICKY, key="run-1:sticky:0", maybe_done=False)
    linear.recorder.comments.remove(first["id"])
    again = await poster.post({**STICKY, "body": "All tests pass"}, key="run-1:sticky:1", maybe_done=False)

    (comment,) = linear.recorder.comments
    assert (comment["id"], comment["body"]) == (again["id"], "All tests pass")
    assert again["id"] != first["id"]


async def test_of_twenty_effects_of_each_kind_whose_answers_are_lost_none_is_doubled(
    linear: RunningLinear, database: Database
) -> None:
    poster = _poster(linear.url, database)
    for number in range(20):
        comment = {**COMMENT, "body": f"comment {number}"}
        await _lose_the_answer(linear, poster, comment, key=f"run-{number}:comment:0")
        about = {"comment_id": id_of(f"run-{number}:comment:0"), "emoji": "eyes"}
        await _lose_the_answer(linear, poster, about, key=f"run-{number}:reaction:0")
        sticky = {**STICKY, "post": f"post {number // 2}", "body": f"sticky {number}"}
        await _lose_the_answer(linear, poster, sticky, key=f"run-{number}:sticky:0")
        await _lose_the_answer(linear, poster, {**STATE, "state": "Done"}, key=f"run-{number}:state:0")

    said = [comment["body"] for comment in linear.recorder.comments]
    expected = [f"comment {number}" for number in range(20)] + [f"sticky {number}" for number in range(1, 20, 2)]
    assert sorted(said) == sorted(expected)
    assert len(linear.recorder.reactions) == 20
    assert _state(linear) == "Done"


@pytest.mark.parametrize(
    ("fault", "retry_after", "ambiguous"),
    [
        (Fault(status=429, retry_after=7), 7, False),
        (Fault(status=429), 60, False),
        (Fault(status=500), None, True),
        (Fault(status=503, retry_after=7), 7, True),
        (Fault(drop_before=True), None, True),
    ],
    ids=lambda value: value.model_dump_json(exclude_defaults=True) if isinstance(value, Fault) else None,
)
async def test_what_passes_is_to_be_tried_again(
    linear: RunningLinear, fault: Fault, retry_after: float | None, *, ambiguous: bool
) -> None:
    linear.recorder.queue_fault(fault)
    with pytest.raises(OutboundError) as caught:
        await _poster(linear.url).post(COMMENT, key="run-1:effect:0", maybe_done=False)

    error = caught.value
    assert (error.transient, error.ambiguous, error.retry_after) == (True, ambiguous, retry_after)
    assert KEY not in f"{error.message} {error.hint}"


async def test_a_used_up_budget_is_waited_for_until_it_is_renewed() -> None:
    async with run_linear_emulator(hourly_requests=1) as linear:
        linear.recorder.add_issue(12, "Totals are rounded wrongly")
        poster = _poster(linear.url)
        await poster.post(COMMENT, key="run-1:comment:0", maybe_done=False)
        with pytest.raises(OutboundError, match="rate limit is used up") as caught:
            await poster.post(COMMENT, key="run-1:comment:1", maybe_done=False)

    assert caught.value.transient
    assert 3_000 < (caught.value.retry_after or 0) <= 3_600


async def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_configured(linear: RunningLinear) -> None:
    linear.recorder.queue_fault(Fault(delay_seconds=30))
    with pytest.raises(OutboundError, match="did not answer") as caught:
        await _poster(linear.url, seconds=0.2).post(COMMENT, key="run-1:comment:0", maybe_done=False)

    assert caught.value.transient


@pytest.mark.parametrize(
    ("key", "content", "hint"),
    [
        ("lin_api_revoked", COMMENT, "check LINEAR_ACCESS_TOKEN"),
        ("oauth_token_revoked", COMMENT, "check LINEAR_ACCESS_TOKEN"),
        ("a\nkey", COMMENT, "was it copied together with others?"),
        (KEY, {**COMMENT, "issue_id": "ENG-404"}, None),
        (KEY, {**STATE, "issue_id": "ENG-404"}, None),
        (KEY, {**REACTION, "issue_id": "ENG-404"}, None),
        (KEY, {"issue_id": "ENG-12"}, "please report it"),
    ],
    ids=["key", "token", "no key", "comment", "state", "reaction", "no body"],
)
async def test_what_will_not_pass_is_not_tried_again(
    linear: RunningLinear, key: str, content: dict[str, Any], hint: str | None
) -> None:
    with pytest.raises(OutboundError) as caught:
        await _poster(linear.url, key=key).post(content, key="run-1:effect:0", maybe_done=True)

    error = caught.value
    assert (error.transient, error.retry_after) == (False, None)
    assert (hint or "") in (error.hint or "")
    assert key not in f"{error.message} {error.hint}"


@pytest.mark.parametrize("path", ["/_emulator/made", "/nowhere"])
async def test_whatever_answers_instead_of_linear_is_a_failed_call(linear: RunningLinear, path: str) -> None:
    settings = Settings(linear_api_url=f"{linear.url}{path}", linear_api_key=SecretStr(KEY))
    with pytest.raises(OutboundError, match="Linear answered 40") as caught:
        await LinearPoster(settings, Database()).post(COMMENT, key="run-1:comment:0", maybe_done=False)

    assert caught.value.hint == "is LINEAR_API_URL the address of Linear's API?"


@pytest.mark.parametrize(("key", "able"), [(None, False), (KEY, True)])
def test_without_a_key_nothing_can_be_posted(key: str | None, *, able: bool) -> None:
    reason = _poster("http://127.0.0.1:9", key=key).unable(COMMENT)

    assert reason == (None if able else "no Linear key is configured; set LINEAR_ACCESS_TOKEN")


async def test_nobody_at_the_address() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        poster = _poster(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(OutboundError, match="did not answer") as caught:
            await poster.post(COMMENT, key="run-1:comment:0", maybe_done=False)

    assert (caught.value.transient, caught.value.ambiguous) == (True, False)
