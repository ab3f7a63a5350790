import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from githubkit import AppAuthStrategy, GitHub, TokenAuthStrategy

from contexten.emulators.clock import Clock
from contexten.emulators.github import create_github_emulator, run_emulator
from contexten.emulators.github_hooks import GitHubApp, GitHubHook, GitHubHooks
from contexten.emulators.sending_faults import SendingFaults
from contexten.emulators.signing import sign_github
from tests.component.emulators.conftest import Receiver

SECRET = "It's a Secret to Everybody"
REPOSITORY = "acme/cashbox"
HOOKS = f"/repos/{REPOSITORY}/hooks"
PAYLOAD = {"action": "opened", "repository": {"id": 7, "full_name": REPOSITORY, "owner": {"login": "acme"}}}
BEGINNING = datetime(2025, 1, 7, 9, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(time_scale=0, starts_at=BEGINNING)


@pytest.fixture
async def hooks(clock: Clock, receiver: Receiver) -> AsyncIterator[GitHubHooks]:
    hooks = GitHubHooks(clock=clock, transport=receiver.transport)
    yield hooks
    await hooks.sender.aclose()


@pytest.fixture
def hook(hooks: GitHubHooks) -> GitHubHook:
    return hooks.add_hook(REPOSITORY, url="http://contexten/github/events", secret=SECRET)


@pytest.fixture
async def github(hooks: GitHubHooks) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_github_emulator(hooks=hooks))
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as client:
        yield client


async def listed(github: httpx.AsyncClient, hook: GitHubHook, **query: Any) -> list[dict[str, Any]]:
    answer = await github.get(f"{HOOKS}/{hook.id}/deliveries", params=query)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_a_delivery_is_sent_signed_and_remembered(
    github: httpx.AsyncClient, hooks: GitHubHooks, hook: GitHubHook, receiver: Receiver
) -> None:
    receiver.answer = httpx.Response(202, json={"status": "accepted"})
    [sent] = hooks.deliver("pull_request", PAYLOAD, guid="58474f00-b361-11eb-836d-0e4f3503ccbe")
    await sent.ended.wait()

    [request] = receiver.requests
    assert request.headers["X-Hub-Signature-256"] == sign_github(SECRET, request.content)
    assert request.headers["X-GitHub-Hook-ID"] == str(hook.id)
    [item] = await listed(github, hook)
    assert item == {
        "id": item["id"],
        "guid": "58474f00-b361-11eb-836d-0e4f3503ccbe",
        "delivered_at": "2025-01-07T09:00:00Z",
        "redelivery": False,
        "duration": item["duration"],
        "status": "OK",
        "status_code": 202,
        "event": "pull_request",
        "action": "opened",
        "installation_id": None,
        "repository_id": 7,
        "throttled_at": None,
    }
    full = (await github.get(f"{HOOKS}/{hook.id}/deliveries/{item['id']}")).json()
    assert full["url"] == "http://contexten/github/events"
    assert full["request"]["payload"] == PAYLOAD
    assert full["request"]["headers"]["X-GitHub-Delivery"] == item["guid"]
    assert json.loads(full["response"]["payload"]) == {"status": "accepted"}


async def test_a_failed_delivery_is_not_sent_again_by_itself(
    github: httpx.AsyncClient, hooks: GitHubHooks, hook: GitHubHook, receiver: Receiver, clock: Clock
) -> None:
    receiver.answer = httpx.Response(503)
    hooks.deliver("push", PAYLOAD)
    await hooks.sender.settled()
    clock.advance(3600)
    await hooks.sender.settled()

    assert len(receiver.requests) == 1
    assert [(item["status"], item["status_code"]) for item in await listed(github, hook)] == [
        ("Invalid HTTP Response: 503", 503)
    ]


async def test_a_redelivery_has_the_same_guid_and_bytes_and_an_id_of_its_own(
    github: httpx.AsyncClient, hooks: GitHubHooks, hook: GitHubHook, receiver: Receiver
) -> None:
    raw = b'{"repository" : {"full_name":"acme/cashbox", "id":7}}'
    missed = hooks.remember(hook, "push", json.loads(raw), raw=raw)
    asked = await github.post(f"{HOOKS}/{hook.id}/deliveries/{missed.id}/attempts")
    await hooks.sender.settled()

    assert (asked.status_code, asked.json()) == (202, {})
    assert [request.content for request in receiver.requests] == [raw]
    again, first = await listed(github, hook)
    assert (first["id"], first["status"], first["status_code"]) == (missed.id, "failed to connect to host", 502)
    assert (again["guid"], again["redelivery"], again["status"]) == (missed.guid, True, "OK")
    assert again["id"] > first["id"]


async def test_a_receiver_that_is_away_or_lost_the_request_is_remembered_as_a_failure(
    github: httpx.AsyncClient, hooks: GitHubHooks, hook: GitHubHook, receiver: Receiver
) -> None:
    receiver.failure = httpx.ConnectError("refused")
    hooks.deliver("push", PAYLOAD)
    await hooks.sender.settled()
    receiver.failure = None
    hooks.sender.use_faults(SendingFaults(drop=1))
    hooks.deliver("push", PAYLOAD)
    await hooks.sender.settled()

    assert [(item["status"], item["status_code"]) for item in await listed(github, hook)] == [
        ("failed to connect to host", 502)
    ] * 2


async def test_deliveries_are_paged_by_cursor_and_new_ones_do_not_shift_the_pages(
    github: httpx.AsyncClient, hooks: GitHubHooks, hook: GitHubHook
) -> None:
    ids = [hooks.remember(hook, "push", PAYLOAD).id for _ in range(5)]
    page = await github.get(f"{HOOKS}/{hook.id}/deliveries", params={"per_page": 2})
    pages = [[item["id"] for item in page.json()]]
    while "next" in page.links:
        hooks.remember(hook, "push", PAYLOAD)
        page = await github.get(page.links["next"]["url"])
        pages.append([item["id"] for item in page.json()])

    newest = ids[::-1]
    assert pages == [newest[:2], newest[2:4], newest[4:]]


async def test_successes_and_failures_can_be_listed_apart(
    github: httpx.AsyncClient, hooks: GitHubHooks, hook: GitHubHook
) -> None:
    failed = hooks.remember(hook, "push", PAYLOAD)
    taken = hooks.remember(hook, "push", PAYLOAD, status="OK", status_code=200)
    assert [item["id"] for item in await listed(github, hook, status="failure")] == [failed.id]
    assert [item["id"] for item in await listed(github, hook, status="success")] == [taken.id]


@pytest.mark.parametrize("query", [{"cursor": "next"}, {"cursor": "v1_" + "9" * 30}, {"status": "perhaps"}])
async def test_a_cursor_or_status_that_github_does_not_know_is_refused(
    github: httpx.AsyncClient, hook: GitHubHook, query: dict[str, str]
) -> None:
    assert (await github.get(f"{HOOKS}/{hook.id}/deliveries", params=query)).status_code == 422


async def test_deliveries_are_kept_for_three_days_of_the_clock(
    github: httpx.AsyncClient, hooks: GitHubHooks, hook: GitHubHook, clock: Clock
) -> None:
    old = hooks.remember(hook, "push", PAYLOAD, delivered_at=BEGINNING - timedelta(hours=71))
    kept = hooks.remember(hook, "push", PAYLOAD)
    clock.advance(2 * 3600)
    assert [item["id"] for item in await listed(github, hook)] == [kept.id]
    assert (await github.post(f"{HOOKS}/{hook.id}/deliveries/{old.id}/attempts")).status_code == 404


@pytest.mark.parametrize(
    "path", ["1/deliveries", "x/deliveries", "{hook}/deliveries/1", "{hook}/deliveries/" + "9" * 30]
)
async def test_what_is_not_there_is_not_found(github: httpx.AsyncClient, hook: GitHubHook, path: str) -> None:
    assert (await github.get(f"{HOOKS}/{path.format(hook=hook.id)}")).status_code == 404


async def test_an_event_goes_to_every_hook_that_wants_it_under_one_guid(
    hooks: GitHubHooks, hook: GitHubHook, receiver: Receiver
) -> None:
    hooks.add_hook(None, url="http://contexten/app", secret=SECRET)
    hooks.add_hook(REPOSITORY, url="http://elsewhere/", events=["issues"])
    hooks.add_hook("acme/thermometer", url="http://elsewhere/")
    hooks.add_hook(REPOSITORY, url="http://elsewhere/", active=False)
    hooks.deliver("push", PAYLOAD)
    await hooks.sender.settled()

    assert sorted(str(request.url) for request in receiver.requests) == [
        "http://contexten/app",
        "http://contexten/github/events",
    ]
    assert len({request.headers["X-GitHub-Delivery"] for request in receiver.requests}) == 1
    assert {delivery.installation_id for delivery in hooks.deliveries} == {None, 5_678_901}


async def test_hooks_can_be_created_as_at_github(github: httpx.AsyncClient) -> None:
    wanted = {"config": {"url": "http://contexten/", "secret": SECRET}, "events": ["push"]}
    created = await github.post(HOOKS, json=wanted)
    assert (created.status_code, created.json()["config"]["secret"]) == (201, "********")
    assert (await github.post(HOOKS, json=wanted)).json()["errors"][0]["message"].startswith("Hook already exists")
    [found] = (await github.get(HOOKS)).json()
    assert found == created.json() == (await github.get(f"{HOOKS}/{found['id']}")).json()
    assert (found["events"], found["last_response"]["status"]) == (["push"], "unused")


@pytest.mark.parametrize(
    "body", [{}, {"config": {}}, {"config": {"url": "ftp://x"}}, {"config": {"url": "http://x"}, "events": []}]
)
async def test_a_hook_that_github_would_not_take_is_refused(github: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await github.post(HOOKS, json=body)).status_code == 422


async def test_a_repository_gets_its_hook_when_every_one_is_to_have_one(
    github: httpx.AsyncClient, hooks: GitHubHooks
) -> None:
    hooks.hook_everywhere(url="http://contexten/", secret=SECRET)
    [hook] = (await github.get(HOOKS)).json()
    assert [found["id"] for found in (await github.get(HOOKS)).json()] == [hook["id"]]


async def test_the_hourly_budget_is_enforced_when_it_is_given(clock: Clock) -> None:
    transport = httpx.ASGITransport(app=create_github_emulator(hooks=GitHubHooks(clock=clock), hourly_requests=2))
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as github:
        answers = [await github.get(HOOKS) for _ in range(3)]
        left = (await github.get("/rate_limit")).json()["resources"]["core"]
        clock.advance(3600)
        assert (await github.get(HOOKS)).status_code == 200
    assert [answer.status_code for answer in answers] == [200, 200, 403]
    assert answers[2].json()["message"].startswith("API rate limit exceeded")
    assert (answers[2].headers["X-RateLimit-Remaining"], left["remaining"]) == ("0", 0)
    assert int(answers[2].headers["X-RateLimit-Reset"]) == left["reset"] == BEGINNING.timestamp() + 3600


async def test_meta_names_the_networks_that_deliveries_come_from(github: httpx.AsyncClient) -> None:
    assert {"192.30.252.0/22", "127.0.0.0/8"} <= set((await github.get("/meta")).json()["hooks"])


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


def public(private_key: str) -> str:
    key = serialization.load_pem_private_key(private_key.encode(), password=None).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


async def test_githubkit_lists_and_redelivers_for_an_app_and_for_its_installation(
    private_key: str, receiver: Receiver
) -> None:
    hooks = GitHubHooks(app=GitHubApp(id=99, public_key=public(private_key)), transport=receiver.transport)
    of_app = hooks.add_hook(None, url="http://contexten/app", secret=SECRET)
    of_repository = hooks.add_hook(REPOSITORY, url="http://contexten/repository", secret=SECRET)
    for hook in (of_app, of_repository):
        hooks.remember(hook, "pull_request", PAYLOAD)
    async with run_emulator(required_token="ghp_only_this_one", hooks=hooks) as served:
        options: dict[str, Any] = {"base_url": served.url, "http_cache": False, "auto_retry": False, "trust_env": False}
        async with GitHub(AppAuthStrategy(99, private_key), **options) as github:
            [installation] = (await github.rest.apps.async_list_installations()).parsed_data
            [missed] = (await github.rest.apps.async_list_webhook_deliveries(per_page=100)).parsed_data
            assert missed.installation_id == installation.id
            await github.rest.apps.async_redeliver_webhook_delivery(missed.id)
            full = (await github.rest.apps.async_get_webhook_delivery(missed.id)).parsed_data
            assert full.request.payload is not None
            token = (await github.rest.apps.async_create_installation_access_token(installation.id)).parsed_data.token
        async with GitHub(TokenAuthStrategy(token), **options) as github:
            [hook_found] = (await github.rest.repos.async_list_webhooks("acme", "cashbox")).parsed_data
            deliveries = await github.rest.repos.async_list_webhook_deliveries("acme", "cashbox", hook_found.id)
            [of_hook] = deliveries.parsed_data
            await github.rest.repos.async_redeliver_webhook_delivery("acme", "cashbox", hook_found.id, of_hook.id)
        await hooks.sender.settled()
    assert [request.url.path for request in receiver.requests] == ["/app", "/repository"]


@pytest.mark.parametrize(
    "claims", [{"iss": "100"}, {"exp": 0}, {"exp": 10_000}, {"iat": 10_000}, {"exp": None}], ids=str
)
async def test_a_jwt_that_github_would_not_take_is_refused(claims: dict[str, Any], private_key: str) -> None:
    hooks = GitHubHooks(app=GitHubApp(id=99), clock=Clock(time_scale=0, starts_at=datetime.fromtimestamp(0, UTC)))
    hooks.add_hook(None, url="http://contexten/app")
    transport = httpx.ASGITransport(app=create_github_emulator(hooks=hooks))
    good = {"iss": "99", "iat": 0, "exp": 600}
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as client:
        statuses = []
        for body in (good, {name: value for name, value in (good | claims).items() if value is not None}):
            token = jwt.encode(body, private_key, algorithm="RS256")
            answer = await client.get("/app/hook/config", headers={"Authorization": f"Bearer {token}"})
            statuses.append(answer.status_code)
        assert (await client.get("/app/hook/config")).status_code == 401
    assert statuses == [200, 401]
