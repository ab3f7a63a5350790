from typing import Any

import httpx
import pytest
from githubkit import GitHub, TokenAuthStrategy

from contexten.emulators.github import run_emulator

COMMENTS = "/repos/acme/cashbox/issues/12/comments"
REVIEWS = "/repos/acme/cashbox/pulls/12/reviews"


async def test_githubkit_comments_reacts_and_reviews() -> None:
    async with (
        run_emulator() as served,
        GitHub(TokenAuthStrategy("ghs_1"), base_url=served.url, http_cache=False, trust_env=False) as github,
    ):
        issues, reactions, pulls = github.rest.issues, github.rest.reactions, github.rest.pulls
        comment = (await issues.async_create_comment("acme", "cashbox", 12, body="Tests fail.")).parsed_data
        await issues.async_update_comment("acme", "cashbox", comment.id, body="Tests pass.")
        listed = (await issues.async_list_comments("acme", "cashbox", 12)).parsed_data
        assert [(found.id, found.body) for found in listed] == [(comment.id, "Tests pass.")]
        assert listed[0].user is not None
        assert listed[0].user.type == "Bot"

        eyes = await reactions.async_create_for_issue_comment("acme", "cashbox", comment.id, content="eyes")
        again = await reactions.async_create_for_issue_comment("acme", "cashbox", comment.id, content="eyes")
        assert (eyes.status_code, again.status_code) == (201, 200)
        assert again.parsed_data.id == eyes.parsed_data.id
        await reactions.async_create_for_issue("acme", "cashbox", 12, content="rocket")
        on_issue = (await reactions.async_list_for_issue("acme", "cashbox", 12)).parsed_data
        assert [reaction.content for reaction in on_issue] == ["rocket"]
        on_comment = (await reactions.async_list_for_issue_comment("acme", "cashbox", comment.id)).parsed_data
        assert [reaction.content for reaction in on_comment] == ["eyes"]

        review = await pulls.async_create_review("acme", "cashbox", 12, body="Well done", event="COMMENT")
        assert (review.parsed_data.state, review.parsed_data.submitted_at is None) == ("COMMENTED", False)
        reviews = (await pulls.async_list_reviews("acme", "cashbox", 12)).parsed_data
        assert [found.id for found in reviews] == [review.parsed_data.id]

        await issues.async_delete_comment("acme", "cashbox", comment.id)
        assert (await issues.async_list_comments("acme", "cashbox", 12)).parsed_data == []


@pytest.mark.parametrize("body", [{}, {"body": ""}, {"body": " \n"}, {"body": 5}, {"body": "x" * 65_537}])
async def test_a_comment_that_github_would_not_take_is_refused(
    open_client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    assert (await open_client.post(COMMENTS, json=body)).status_code == 422


async def test_comments_stay_with_their_issue_and_repository(open_client: httpx.AsyncClient) -> None:
    comment = (await open_client.post(COMMENTS, json={"body": "Here."})).json()
    assert (await open_client.get("/repos/ACME/cashbox/issues/12/comments")).json() == [comment]
    assert (await open_client.get("/repos/acme/cashbox/issues/13/comments")).json() == []
    elsewhere = f"/repos/acme/thermometer/issues/comments/{comment['id']}"
    assert (await open_client.patch(elsewhere, json={"body": "There."})).status_code == 404
    assert (await open_client.post(f"{elsewhere}/reactions", json={"content": "eyes"})).status_code == 404
    assert (await open_client.get("/repos/acme/cashbox/issues/x/comments")).status_code == 404


@pytest.mark.parametrize("content", ["tada", None, {}])
async def test_a_reaction_that_github_does_not_know_is_refused(open_client: httpx.AsyncClient, content: Any) -> None:
    answer = await open_client.post("/repos/acme/cashbox/issues/12/reactions", json={"content": content})
    assert answer.status_code == 422


@pytest.mark.parametrize("body", [{"event": "COMMENT"}, {"event": "LIKE"}, {"event": "REQUEST_CHANGES", "body": ""}])
async def test_a_review_that_says_nothing_is_refused(open_client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await open_client.post(REVIEWS, json=body)).status_code == 422


async def test_what_was_made_can_be_looked_at_and_forgotten(open_client: httpx.AsyncClient) -> None:
    await open_client.post(COMMENTS, json={"body": "Here."})
    await open_client.post(REVIEWS, json={"event": "APPROVE"})
    made = (await open_client.get("/_emulator/made")).json()
    assert [len(made[kind]) for kind in ("comments", "reviews", "check_runs")] == [1, 1, 0]
    await open_client.delete("/_emulator/requests")
    assert not any((await open_client.get("/_emulator/made")).json().values())
