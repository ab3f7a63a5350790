import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten.emulators.clock import Clock
from contexten.emulators.linear import create_linear_emulator, run_linear_emulator
from contexten.emulators.linear_recorder import LinearRecorder
from contexten.emulators.recorder import Fault

KEY = "lin_api_only_this_one"
TITLE = "Totals are rounded wrongly"


@pytest.fixture
async def linear() -> AsyncIterator[httpx.AsyncClient]:
    app = create_linear_emulator(required_key=KEY)
    app.state.recorder.add_issue(12, TITLE)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://emulator", headers={"Authorization": KEY}
    ) as client:
        yield client


@pytest.fixture
def recorder(linear: httpx.AsyncClient) -> LinearRecorder:
    transport = linear._transport
    assert isinstance(transport, httpx.ASGITransport)
    found: LinearRecorder = transport.app.state.recorder  # type: ignore[attr-defined]
    return found


async def ask(client: httpx.AsyncClient, query: str, **variables: Any) -> Any:
    answer = await client.post("/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    assert "errors" not in answer.json(), answer.text
    return answer.json()["data"]


async def test_an_issue_is_commented_on_moved_and_reacted_to() -> None:
    async with run_linear_emulator(required_key=KEY) as served:
        served.recorder.add_issue(12, TITLE)
        async with httpx.AsyncClient(base_url=served.url, headers={"Authorization": KEY}, trust_env=False) as client:
            issue = (await ask(client, 'query { issue(id: "ENG-12") { id title state { name } team { id } } }'))[
                "issue"
            ]
            assert (issue["title"], issue["state"]["name"]) == (TITLE, "Todo")
            teams = await ask(client, "{ teams { nodes { id key states { nodes { id name } } } } }")
            states = {state["name"]: state["id"] for state in teams["teams"]["nodes"][0]["states"]["nodes"]}

            create = """mutation Comment($input: CommentCreateInput!) {
                commentCreate(input: $input) { success comment { id body url user { name isMe } } }
            }"""
            made = (await ask(client, create, input={"issueId": issue["id"], "body": "1 test fails"}))["commentCreate"]
            assert (made["success"], made["comment"]["body"]) == (True, "1 test fails")
            assert made["comment"]["user"]["isMe"] is True
            comment_id = made["comment"]["id"]
            update = "mutation($id: String!, $b: String!) { commentUpdate(id: $id, input: {body: $b}) { success } }"
            await ask(client, update, id=comment_id, b="All tests pass")
            move = "mutation($id: String!, $s: String) { issueUpdate(id: $id, input: {stateId: $s}) { success } }"
            await ask(client, move, id=issue["id"], s=states["Done"])
            react = """mutation($c: String!) { reactionCreate(input: {commentId: $c, emoji: "rocket"}) {
                reaction { emoji } } }"""
            assert (await ask(client, react, c=comment_id))["reactionCreate"]["reaction"] == {"emoji": "rocket"}

            seen = await ask(
                client,
                """query Look($id: String!) { it: issue(id: $id) { ...Parts comments { nodes { body } } } }
                   fragment Parts on Issue { state { name } }""",
                id=issue["id"],
            )
    assert seen == {"it": {"state": {"name": "Done"}, "comments": {"nodes": [{"body": "All tests pass"}]}}}


async def test_the_key_is_given_bare_and_a_token_as_bearer(linear: httpx.AsyncClient) -> None:
    async def status(authorization: str) -> tuple[int, str]:
        answer = await linear.post(
            "/graphql", json={"query": "{ viewer { id } }"}, headers={"Authorization": authorization}
        )
        return answer.status_code, answer.json().get("errors", [{"message": ""}])[0]["message"]

    assert await status(KEY) == (200, "")
    for wrong in ("", "lin_api_another", "Bearer another"):
        assert await status(wrong) == (401, "Authentication required, not authenticated")
    refused, message = await status(f"Bearer {KEY}")
    assert (refused, "Remove the Bearer prefix" in message) == (400, True)
    transport = httpx.ASGITransport(app=create_linear_emulator(required_key="oauth"))
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as client:
        headers = {"Authorization": "Bearer oauth"}
        assert (await client.post("/graphql", json={"query": "{__typename}"}, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("query", "message", "code"),
    [
        ("{ issues { nodes { id } } }", 'Cannot query field "issues" on type "Query".', "GRAPHQL_VALIDATION_FAILED"),
        ("{ viewer { salary } }", 'Cannot query field "salary" on type "User".', "GRAPHQL_VALIDATION_FAILED"),
        ("{ viewer }", "must have a selection of subfields", "GRAPHQL_VALIDATION_FAILED"),
        ("{ viewer { id { x } } }", "must not have a selection", "GRAPHQL_VALIDATION_FAILED"),
        ("{ viewer { id }", "Syntax Error: Unexpected <EOF>", "GRAPHQL_PARSE_FAILED"),
        ("{ viewer { } }", "Syntax Error", "GRAPHQL_PARSE_FAILED"),
        ("{ \ud800 }", "Syntax Error: Unexpected character", "GRAPHQL_PARSE_FAILED"),
        ("query($a: " + "[" * 5000, "too deep", None),
        ("subscription { x }", "Syntax Error", "GRAPHQL_PARSE_FAILED"),
        ("{ ...Nothing }", 'Unknown fragment "Nothing".', "GRAPHQL_VALIDATION_FAILED"),
        ("query A { viewer { id } } query B { viewer { id } }", "Must provide", "GRAPHQL_VALIDATION_FAILED"),
        ("query($id: String!) { issue(id: $id) { id } }", "required type", "BAD_USER_INPUT"),
        ("{ issue(id: $id) { id } }", 'Variable "$id" is not defined.', "GRAPHQL_VALIDATION_FAILED"),
        ("mutation { commentCreate { success } }", '"input" is required', "GRAPHQL_VALIDATION_FAILED"),
        ("{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }", "too deep", None),
    ],
)
async def test_a_document_that_linear_would_not_take_is_refused(
    linear: httpx.AsyncClient, query: str, message: str, code: str | None
) -> None:
    answer = await linear.post("/graphql", content=json.dumps({"query": query}))
    error = answer.json()["errors"][0]
    assert answer.status_code == 400
    assert message in error["message"]
    assert code in {None, error["extensions"]["code"]}


async def test_a_mutation_with_an_unknown_field_changes_nothing(
    linear: httpx.AsyncClient, recorder: LinearRecorder
) -> None:
    query = 'mutation { commentCreate(input: {issueId: "ENG-12", body: "Hello"}) { done } }'
    assert (await linear.post("/graphql", json={"query": query})).status_code == 400
    assert len(recorder.comments) == 0


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('{ issue(id: "ENG-13") { id } }', "Entity not found: Issue"),
        ('mutation { commentUpdate(id: "x", input: {body: "x"}) { success } }', "Entity not found: Comment"),
        ('mutation { issueUpdate(id: "ENG-12", input: {stateId: "x"}) { success } }', "Entity not found: Workflow"),
        ('mutation { commentCreate(input: {issueId: "ENG-12"}) { success } }', "Argument Validation Error"),
        ('mutation { reactionCreate(input: {emoji: "x"}) { success } }', "Argument Validation Error"),
    ],
)
async def test_what_linear_understands_and_refuses_comes_with_200(
    linear: httpx.AsyncClient, query: str, message: str
) -> None:
    answer = await linear.post("/graphql", json={"query": query})
    assert (answer.status_code, answer.json()["data"]) == (200, None)
    assert answer.json()["errors"][0]["message"].startswith(message)
    assert answer.json()["errors"][0]["extensions"]["code"] == "INPUT_ERROR"


async def test_a_comment_with_an_id_of_ours_is_made_once(linear: httpx.AsyncClient, recorder: LinearRecorder) -> None:
    query = """mutation($id: String) { commentCreate(input: {id: $id, issueId: "ENG-12", body: "Hello"}) {
        comment { id } } }"""
    variables = {"id": "5081a82b-0000-4000-8000-37d7be02a506"}
    first, second = [
        (await linear.post("/graphql", json={"query": query, "variables": variables})).json() for _ in range(2)
    ]
    assert first["data"]["commentCreate"]["comment"] == variables
    assert second["errors"][0]["message"] == "Entity already exists: Comment"
    assert len(recorder.comments) == 1


async def test_a_reaction_with_an_id_of_ours_is_made_once_and_shown(linear: httpx.AsyncClient) -> None:
    react = 'mutation($id: String) { reactionCreate(input: {id: $id, issueId: "ENG-12", emoji: "eyes"}) { success } }'
    reaction_id = "5081a82b-0000-4000-8000-37d7be02a506"
    await ask(linear, react, id=reaction_id)
    again = await linear.post("/graphql", json={"query": react, "variables": {"id": reaction_id}})
    assert again.json()["errors"][0]["message"] == "Entity already exists: Reaction"
    shown = await ask(linear, '{ issue(id: "ENG-12") { reactions { id emoji user { isMe } } } }')
    assert shown["issue"]["reactions"] == [{"id": reaction_id, "emoji": "eyes", "user": {"isMe": True}}]


@pytest.mark.parametrize("comment_id", ["mine", 7, "5081a82b-0000-5000-8000-37d7be02a506"])
async def test_an_id_that_is_no_uuid_of_version_4_is_refused(linear: httpx.AsyncClient, comment_id: Any) -> None:
    query = """mutation($id: String) { commentCreate(input: {id: $id, issueId: "ENG-12", body: "Hello"}) {
        success } }"""
    answer = await linear.post("/graphql", json={"query": query, "variables": {"id": comment_id}})
    assert answer.json()["errors"][0]["message"] == "Argument Validation Error"


async def test_one_comment_is_looked_up_by_its_id(linear: httpx.AsyncClient) -> None:
    create = 'mutation { commentCreate(input: {issueId: "ENG-12", body: "Hello"}) { comment { id } } }'
    comment = (await ask(linear, create))["commentCreate"]["comment"]
    shown = await ask(linear, "query($id: String!) { comment(id: $id) { body reactions { id } } }", id=comment["id"])
    assert shown["comment"] == {"body": "Hello", "reactions": []}


async def test_the_hourly_budget_is_told_and_enforced_when_it_is_given() -> None:
    clock = Clock(time_scale=0)
    transport = httpx.ASGITransport(app=create_linear_emulator(hourly_requests=1, clock=clock))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://emulator", headers={"Authorization": KEY}
    ) as client:
        answers = [await client.post("/graphql", json={"query": "{ viewer { id } }"}) for _ in range(2)]
        clock.advance(3600)
        answers.append(await client.post("/graphql", json={"query": "{ viewer { id } }"}))
    assert [answer.status_code for answer in answers] == [200, 400, 200]
    assert answers[1].json()["errors"][0]["extensions"]["code"] == "RATELIMITED"
    assert answers[1].headers["X-RateLimit-Requests-Remaining"] == "0"
    assert int(answers[1].headers["X-RateLimit-Requests-Reset"]) > 1_000_000_000_000


async def test_a_fault_is_told_in_linears_words(linear: httpx.AsyncClient, recorder: LinearRecorder) -> None:
    recorder.queue_fault(Fault(status=429, retry_after=3))
    recorder.queue_fault(Fault(status=503))
    limited, broken = [await linear.post("/graphql", json={"query": "{ viewer { id } }"}) for _ in range(2)]
    assert (limited.status_code, limited.headers["Retry-After"]) == (400, "3")
    assert limited.json()["errors"][0]["extensions"]["code"] == "RATELIMITED"
    assert broken.status_code == 503


async def test_issues_are_added_and_everything_made_is_shown(linear: httpx.AsyncClient) -> None:
    added = await linear.post("/_emulator/issues", json={"number": 13, "title": "Another"})
    assert (added.status_code, added.json()) == (201, {"identifier": "ENG-13"})
    made = (await linear.get("/_emulator/made")).json()
    assert [issue["identifier"] for issue in made["issues"]] == ["ENG-12", "ENG-13"]
    assert (await linear.post("/_emulator/deliveries", json={"payload": {}})).status_code == 409


@settings(max_examples=60, deadline=None)
@given(
    body=st.binary(max_size=100)
    | st.lists(
        st.sampled_from(
            [
                "{",
                "}",
                "(",
                ")",
                "query",
                "issue",
                "id",
                ":",
                "$id",
                '"x"',
                "...",
                "fragment",
                "on",
                "[",
                "]",
                "1e999",
                "-",
            ]
        ),
        max_size=25,
    ).map(lambda words: json.dumps({"query": " ".join(words)}).encode())
)
async def test_no_body_makes_the_emulator_fail(body: bytes) -> None:
    transport = httpx.ASGITransport(app=create_linear_emulator())
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as client:
        answer = await client.post("/graphql", content=body, headers={"Authorization": KEY})
    assert answer.status_code in {200, 400}
