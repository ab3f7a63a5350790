import httpx
import pytest

STATUSES = f"/repos/acme/cashbox/statuses/{'a' * 40}"


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        ("", "Requires authentication"),
        ("Bearer", "Requires authentication"),
        ("Bearer wrong", "Bad credentials"),
        ("Basic ghp_only_this_one", "Bad credentials"),
        ("Bearer ünbekannt", "Bad credentials"),
    ],
)
async def test_a_wrong_token_is_refused(client: httpx.AsyncClient, authorization: str, message: str) -> None:
    headers = {b"Authorization": authorization.encode()}
    answer = await client.post(STATUSES, json={"state": "success"}, headers=headers)
    assert (answer.status_code, answer.json()["message"]) == (401, message)
    assert (await client.get("/_emulator/statuses")).json() == {"statuses": []}


async def test_a_request_without_a_token_is_refused(transport: httpx.ASGITransport) -> None:
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as stranger:
        answer = await stranger.post(STATUSES, json={"state": "success"})
    assert (answer.status_code, answer.json()["message"]) == (401, "Requires authentication")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "token"])
async def test_both_authorization_schemes_are_accepted(client: httpx.AsyncClient, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} ghp_only_this_one"}
    answer = await client.post(STATUSES, json={"state": "success"}, headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing/here"), ("DELETE", STATUSES)])
async def test_an_unknown_path_answers_404_as_github_does(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == 404
    assert answer.json() == {
        "message": "Not Found",
        "documentation_url": "https://docs.github.com/rest",
        "status": "404",
    }


async def test_answers_carry_githubs_headers_and_count_the_hourly_budget(client: httpx.AsyncClient) -> None:
    first, second = await client.get("/"), await client.get("/nothing")
    assert first.json()["name"] == "GitHub emulator of Contexten"
    assert first.headers["X-GitHub-Request-Id"] != second.headers["X-GitHub-Request-Id"]
    assert first.headers["X-RateLimit-Limit"] == "5000"
    assert (first.headers["X-RateLimit-Remaining"], second.headers["X-RateLimit-Remaining"]) == ("4999", "4998")
    assert first.headers["Server"] == "github.com"


async def test_everything_received_is_recorded_until_it_is_reset(client: httpx.AsyncClient) -> None:
    await client.post(STATUSES, json={"state": "success"})
    await client.get("/nothing", params={"page": 2})

    received = (await client.get("/_emulator/requests")).json()
    assert [(request["method"], request["path"], request["query"]) for request in received["requests"]] == [
        ("POST", STATUSES, ""),
        ("GET", "/nothing", "page=2"),
    ]
    assert received["requests"][0]["body"] == '{"state":"success"}'
    assert received["requests"][0]["received_at"].endswith("Z")
    assert "ghp_only_this_one" not in str(received)
    created = (await client.get("/_emulator/statuses")).json()["statuses"]
    assert [(status["repository"], status["sha"], status["state"]) for status in created] == [
        ("acme/cashbox", "a" * 40, "success")
    ]

    assert (await client.delete("/_emulator/requests")).status_code == 204
    assert (await client.get("/_emulator/requests")).json() == {"requests": [], "forgotten": 0}
    assert (await client.get("/_emulator/statuses")).json() == {"statuses": []}
