"""What GitHub could not deliver comes back: its emulator delivers through the real web routes."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr
from sqlalchemy import select, update

from contexten.emulators.clock import Clock
from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.github_hooks import GitHubApp, GitHubHook, GitHubHooks
from contexten.emulators.recorder import Fault
from contexten.emulators.sending_faults import SendingFaults
from contexten.server.app import create_app
from contexten_core.analytics.models import AnalyticsModel
from contexten_core.db import utc_now
from contexten_core.events import recover as recovery
from contexten_core.events import redelivery_store
from contexten_core.events.models import EventModel, EventProvider, RedeliveryModel
from contexten_core.events.recover import FIRST_WAIT, MOST_ATTEMPTS, recover
from contexten_core.events.recovery_result import RecoveryResult
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.projects.models import ProjectModel, ProjectStatus

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Worker

SECRET = "the-webhook-secret-of-the-tests"
TOKEN = "ghp_of_the_recovery_tests"
REPOSITORY = "acme/cashbox"
OURS = "https://contexten.acme.example/github/events"


class Road(httpx.AsyncBaseTransport):
    """The way from GitHub to us, which may be blocked."""

    def __init__(self) -> None:
        self.is_open = True
        self.leads_to: httpx.AsyncBaseTransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.leads_to is None or not self.is_open:
            raise httpx.ConnectError("nobody listens")
        return await self.leads_to.handle_async_request(request)


@dataclass(slots=True)
class Scene:
    """A Contexten, and a GitHub that delivers to it."""

    worker: "Worker"
    github: RunningEmulator
    hook: GitHubHook
    road: Road

    @property
    def hooks(self) -> GitHubHooks:
        return self.github.hooks

    async def deliver(self, count: int = 1, *, every_seconds: float = 1, **faults: float) -> list[str]:
        """Have GitHub deliver that many pushes, one after the other; return their guids."""
        self.hooks.sender.use_faults(SendingFaults(**faults))
        guids = [str(uuid4()) for _ in range(count)]
        for guid in guids:
            self.hooks.deliver("push", a_push(), guid=guid)
            await self.hooks.sender.settled()
            self.hooks.clock.advance(every_seconds)
        self.hooks.sender.use_faults(SendingFaults())
        return guids

    async def miss(self, count: int = 1, *, every_seconds: float = 1) -> list[str]:
        """Have GitHub try to deliver that many pushes while we are down."""
        self.road.is_open = False
        guids = await self.deliver(count, every_seconds=every_seconds)
        self.road.is_open = True
        return guids

    async def recover(self, **given: Any) -> RecoveryResult:
        """Run the recovery once, and wait until GitHub has sent what it was asked for."""
        result = await recover(self.worker.runtime, flow_run_id=given.pop("flow_run_id", uuid4()), **given)
        await self.hooks.sender.settled()
        return result

    async def held(self) -> list[str]:
        async with self.worker.database.reading() as session:
            statement = select(EventModel.external_id).where(EventModel.provider == EventProvider.GITHUB)
            return [str(guid) for guid in (await session.execute(statement)).scalars()]

    async def rows(self) -> list[RedeliveryModel]:
        async with self.worker.database.reading() as session:
            return list((await session.execute(select(RedeliveryModel))).scalars())

    async def let_the_wait_end(self) -> None:
        async with self.worker.database.transaction() as session:
            ago = utc_now() - FIRST_WAIT * 2**MOST_ATTEMPTS
            statement = update(RedeliveryModel).where(RedeliveryModel.requested_at.is_not(None))
            await session.execute(statement.values(requested_at=ago))

    def asked(self) -> list[str]:
        """Return the guids that GitHub was asked for, in that order."""
        guids = {str(delivery.id): delivery.guid for delivery in self.hooks.deliveries}
        paths = [request.path for request in self.github.recorder.requests if request.method == "POST"]
        return [guids[path.split("/")[-2]] for path in paths]

    def looked(self) -> int:
        """Return how many requests only looked."""
        return sum(request.method == "GET" for request in self.github.recorder.requests)


_numbers = itertools.count(1)


def a_push() -> dict[str, Any]:
    owner = {"login": "acme"}
    return {"after": f"{next(_numbers):040x}", "repository": {"id": 7, "full_name": REPOSITORY, "owner": owner}}


SQLITE = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
"""For what happens at GitHub and is no matter of the database."""

Stage = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture
def stage(open_worker: "OpenWorker") -> Stage:
    """Set the scene; settings, and what the emulator is made with, can be given by name."""

    @asynccontextmanager
    async def setting(
        *,
        required_token: str | None = TOKEN,
        hourly_requests: int | None = None,
        app: GitHubApp | None = None,
        hours_ago: float = 2,
        **settings: Any,
    ) -> AsyncIterator[Scene]:
        clock, road = Clock(time_scale=0, starts_at=utc_now() - timedelta(hours=hours_ago)), Road()
        hooks = GitHubHooks(clock=clock, app=app, transport=road)
        async with run_emulator(hooks=hooks, required_token=required_token, hourly_requests=hourly_requests) as github:
            given = {"github_token": SecretStr(TOKEN), "github_api_url": github.url} | settings
            async with open_worker(**given) as worker:
                orchestrator = SystemOrchestrator(worker.runtime.settings)
                await orchestrator.initialize()
                road.leads_to = httpx.ASGITransport(create_app(orchestrator, lifespan=None))
                await worker.add_project(REPOSITORY)
                hook = hooks.add_hook(REPOSITORY, url=OURS, secret=SECRET)
                try:
                    yield Scene(worker, github, hook, road)
                finally:
                    await hooks.sender.aclose()
                    await orchestrator.shutdown()

    return setting


@pytest.fixture
async def scene(stage: Stage) -> AsyncIterator[Scene]:
    async with stage() as scene:
        yield scene


async def test_what_was_missed_in_an_hour_of_downtime_comes_back_and_nothing_comes_twice(scene: Scene) -> None:
    received = await scene.deliver(4)
    too_late = await scene.deliver(3, cut_after=1)
    missed = await scene.miss(12, every_seconds=300)
    first, second = await scene.recover(), await scene.recover()

    assert sorted(await scene.held()) == sorted([*received, *too_late, *missed])
    assert scene.asked() == missed, "each once, the oldest first"
    assert (first.seen, first.held, first.missing, first.requested, first.left) == (19, 3, 12, 12, 0)
    assert (second.missing, second.requested) == (0, 0)
    assert [hook.complete for hook in (*first.hooks, *second.hooks)] == [True, True]


@SQLITE
async def test_all_pages_are_read_once_and_afterwards_only_what_is_new(scene: Scene) -> None:
    (missed,) = await scene.miss()
    for _ in range(220):
        scene.hooks.clock.advance(20)
        scene.hooks.remember(scene.hook, "push", {}, status="OK", status_code=202)
    first = await scene.recover()
    looked = scene.looked()
    second = await scene.recover()

    assert (first.seen, first.requested, looked) == (221, 1, 1 + 3)
    assert (second.missing, scene.looked() - looked) == (0, 1 + 1)
    assert second.seen == 100, "a page, since GitHub may have been late with something"
    assert missed in await scene.held()


@SQLITE
async def test_a_look_that_could_not_be_finished_is_continued_by_the_next_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_MOST_LOOKS", 3)
    oldest = await scene.miss(2)
    for _ in range(350):
        scene.hooks.clock.advance(10)
        scene.hooks.remember(scene.hook, "push", {}, status="OK", status_code=202)
    first, second = await scene.recover(), await scene.recover()

    assert ([hook.complete for hook in first.hooks], first.requested) == ([False], 0)
    assert "the next goes on" in str(first.hooks[0].note)
    third = second if second.requested else await scene.recover()
    assert ([hook.complete for hook in third.hooks], third.requested) == ([True], 2)
    assert sorted(await scene.held()) == sorted(oldest)


async def test_a_recovery_that_is_killed_between_asking_and_noting_it_is_continued_and_asks_nothing_twice(
    scene: Scene,
) -> None:
    missed = await scene.miss(3)
    scene.github.recorder.queue_fault(Fault(method="POST", drop_after=True))
    scene.github.recorder.queue_fault(Fault(method="POST", delay_seconds=60))
    first = await scene.recover()
    running = asyncio.create_task(scene.recover())
    async with asyncio.timeout(20):
        while len(scene.asked()) < 2:  # noqa: ASYNC110 - the second is asked for, and not answered
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])

    assert (first.missing, first.requested, first.left) == (3, 0, 3), "its answer was lost, though GitHub did it"
    assert await scene.held() == missed[:1]
    after = await scene.recover()
    assert (after.missing, after.requested, after.left) == (2, 1, 1), "the second may be on its way"
    await scene.let_the_wait_end()
    assert (await scene.recover()).requested == 1
    assert sorted(await scene.held()) == sorted(missed)
    assert scene.asked() == [missed[0], missed[1], missed[2], missed[1]]


async def test_two_recoveries_at_once_ask_for_nothing_twice(scene: Scene) -> None:
    missed = await scene.miss(4)
    results = await asyncio.gather(scene.recover(), scene.recover())

    assert sorted(scene.asked()) == sorted(missed)
    assert sum(result.requested for result in results) == 4
    assert sorted(await scene.held()) == sorted(missed)


@SQLITE
async def test_what_fails_again_is_asked_for_again_after_a_while_and_not_for_ever(scene: Scene) -> None:
    (missed,) = await scene.miss()
    scene.road.is_open = False
    first, too_soon = await scene.recover(), await scene.recover()
    results = []
    for _ in range(MOST_ATTEMPTS):
        await scene.let_the_wait_end()
        results.append(await scene.recover())

    assert (first.requested, too_soon.missing, too_soon.requested, too_soon.left) == (1, 1, 0, 1)
    assert scene.asked() == [missed] * MOST_ATTEMPTS
    assert (results[-1].missing, results[-1].given_up, results[-1].left) == (1, 1, 0)
    # Each time the newest attempt is asked for again, as a person would at GitHub.
    paths = [request.path for request in scene.github.recorder.requests if request.method == "POST"]
    assert len(set(paths)) == MOST_ATTEMPTS


@SQLITE
async def test_what_we_refused_comes_back_once_the_secret_is_right(scene: Scene) -> None:
    scene.worker.runtime.settings.github_webhook_secrets = (SecretStr("another secret of the tests"),)
    refused = await scene.deliver()
    assert await scene.held() == []
    scene.worker.runtime.settings.github_webhook_secrets = (SecretStr(SECRET),)
    await scene.recover()

    assert await scene.held() == refused


@SQLITE
async def test_what_another_receiver_took_is_not_asked_for(scene: Scene) -> None:
    """A delivery with any success is done, whichever attempt it was and whoever answered."""
    taken, pending = await scene.miss(2)
    for guid, status, code in (
        (taken, "OK", 200),
        (pending, "pending", 0),
        (taken, "Invalid HTTP Response: 503", 503),
    ):
        scene.hooks.remember(scene.hook, "push", {}, guid=guid, redelivery=True, status=status, status_code=code)

    result = await scene.recover()
    assert (result.seen, result.missing, scene.asked()) == (2, 0, [])


async def test_a_delivery_that_turns_out_to_be_delivered_is_no_longer_missing(scene: Scene) -> None:
    (missed,) = await scene.miss()
    scene.github.recorder.queue_fault(Fault(method="POST", status=502))
    assert (await scene.recover()).left == 1
    # Somebody pressed "Redeliver", and another receiver at our address took it.
    scene.hooks.remember(scene.hook, "push", {}, guid=missed, redelivery=True, status="OK", status_code=200)

    assert (await scene.recover()).missing == 0
    assert await scene.rows() == []


@SQLITE
async def test_after_three_days_nothing_is_asked_for(stage: Stage) -> None:
    async with stage(hours_ago=3 * 24 + 1) as scene:
        await scene.miss()
        scene.hooks.clock.advance(2 * 3600)
        (younger,) = await scene.miss()
        await scene.recover()

        assert scene.asked() == [younger]


@pytest.mark.parametrize("status", [403, 429])
async def test_a_rate_limit_ends_the_run_and_is_waited_for(scene: Scene, status: int) -> None:
    missed = await scene.miss(2)
    scene.github.recorder.queue_fault(Fault(method="POST", status=status, retry_after=120))
    first = await scene.recover()
    requests = len(scene.github.recorder.requests)
    second = await scene.recover()

    assert (first.missing, first.requested, first.left) == (2, 0, 2)
    assert f"GitHub answered {status}" in str(first.hooks[0].note)
    assert [(skip.where, skip.reason[:34]) for skip in second.skipped] == [
        (REPOSITORY, "GitHub wants to be left alone unti")
    ]
    assert len(scene.github.recorder.requests) == requests, "nothing was asked meanwhile"
    assert {(row.attempts, row.requested_at) for row in await scene.rows()} == {(0, None)}, "it was not asked for"

    async with scene.worker.database.transaction() as session:
        await session.execute(update(AnalyticsModel).values(context={}))
    assert (await scene.recover()).requested == 2
    assert sorted(await scene.held()) == sorted(missed)


@SQLITE
async def test_a_fifth_of_the_hourly_budget_is_left_to_others(stage: Stage) -> None:
    async with stage(hourly_requests=10, hours_ago=0.01) as scene:
        await scene.miss(9)
        first, second = await scene.recover(), await scene.recover()

        assert len(scene.github.recorder.requests) == 9
        assert (first.requested, first.left, first.requests) == (7, 2, 9)
        assert "what is left of GitHub's rate limit is for others" in str(first.hooks[0].note)
        assert (second.requested, second.requests) == (0, 0)


@SQLITE
async def test_a_github_that_stumbles_is_left_alone_until_the_next_run(scene: Scene) -> None:
    missed = await scene.miss(2)
    scene.github.recorder.queue_fault(Fault(method="POST", status=502))
    first = await scene.recover()
    second = await scene.recover()

    assert (first.requested, first.left) == (0, 2)
    assert [row.last_error for row in await scene.rows() if row.external_id == missed[0]] == [first.hooks[0].note]
    assert (second.requested, scene.asked()) == (1, missed)


@SQLITE
async def test_a_delivery_that_github_no_longer_has_keeps_nobody_from_the_others(scene: Scene) -> None:
    missed = await scene.miss(2)
    scene.github.recorder.queue_fault(Fault(method="POST", status=404))
    result = await scene.recover()

    assert (result.requested, result.left) == (1, 1)
    assert await scene.held() == missed[1:]


@SQLITE
async def test_when_deliveries_cannot_be_listed_the_result_says_so(scene: Scene) -> None:
    await scene.miss()
    scene.github.recorder.queue_fault(Fault(path_contains="/deliveries", status=500))
    result = await scene.recover()

    assert [(hook.complete, hook.missing) for hook in result.hooks] == [(False, 0)]
    assert "GitHub answered 500 to GET /repos/acme/cashbox/hooks/" in str(result.hooks[0].note)
    assert (await scene.recover()).requested == 1


@SQLITE
async def test_a_token_without_rights_is_said_and_is_no_error(stage: Stage) -> None:
    async with stage(required_token="ghp_another") as scene:
        result = await scene.recover()

        assert (result.hooks, [skip.where for skip in result.skipped]) == ([], [REPOSITORY])
        assert "GitHub answered 401" in result.skipped[0].reason
        assert "`admin:repo_hook`" in result.skipped[0].reason


@SQLITE
async def test_without_a_token_nobody_is_asked(stage: Stage) -> None:
    async with stage(github_token=None, github_api_url="https://api.github.com") as scene:
        result = await scene.recover()

        assert [skip.reason for skip in result.skipped] == ["no GitHub token is configured; set GITHUB_ACCESS_TOKEN"]
        assert result.requests == 0


@SQLITE
async def test_a_token_goes_to_its_own_address_only(stage: Stage) -> None:
    async with stage() as scene, run_emulator(required_token=TOKEN) as another:
        await scene.worker.add_project("acme/elsewhere", api_url=another.url)
        result = await scene.recover()

        assert [skip.where for skip in result.skipped] == ["acme/elsewhere"]
        assert "Requires authentication" in result.skipped[0].reason


@SQLITE
async def test_hooks_that_deliver_elsewhere_are_not_ours_to_repeat(scene: Scene) -> None:
    other = scene.hooks.add_hook(REPOSITORY, url="https://ci.acme.example/github/events", secret=SECRET)
    silent = scene.hooks.add_hook(REPOSITORY, url=OURS, active=False)
    for hook in (other, silent):
        scene.hooks.remember(hook, "push", a_push())
    result = await scene.recover()

    assert [hook.hook for hook in result.hooks] == [f"{scene.github.url} {REPOSITORY} hook {scene.hook.id}"]
    assert result.missing == 0


async def test_a_project_that_is_not_active_is_not_asked_about(scene: Scene) -> None:
    async with scene.worker.database.transaction() as session:
        await session.execute(update(ProjectModel).values(status=ProjectStatus.ARCHIVED))
    result = await scene.recover()

    assert (result.hooks, result.skipped, result.requests) == ([], [], 0)


@pytest.fixture(scope="module")
def app_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@SQLITE
async def test_our_apps_deliveries_are_recovered_as_well(stage: Stage, app_key: rsa.RSAPrivateKey) -> None:
    pem, spki = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    public = app_key.public_key().public_bytes(pem, spki).decode()
    private = app_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    settings = {"github_app_id": "1234", "github_app_private_key": SecretStr(private)}
    # An App's token has to be of now, by GitHub's clock.
    async with stage(app=GitHubApp(id=1234, public_key=public), hours_ago=0, **settings) as scene:
        hook = scene.hooks.add_hook(None, url=OURS, secret=SECRET)
        missed = scene.hooks.remember(hook, "push", a_push(), delivered_at=utc_now() - timedelta(hours=1))
        result = await scene.recover()

        assert [found.hook.split(" ", 1)[1] for found in result.hooks if found.requested] == ["app 1234"]
        assert await scene.held() == [missed.guid]


@SQLITE
async def test_an_app_without_a_usable_key_is_said_and_keeps_nobody_from_the_rest(stage: Stage) -> None:
    settings = {"github_app_id": "1234", "github_app_private_key": SecretStr("no such file of the tests")}
    async with stage(**settings) as scene:
        (missed,) = await scene.miss()
        result = await scene.recover()

        assert [skip.where for skip in result.skipped] == ["app 1234"]
        assert "GITHUB_APP_PRIVATE_KEY is no RSA private key" in result.skipped[0].reason
        assert await scene.held() == [missed]


@SQLITE
async def test_nothing_is_done_when_recovery_is_off(stage: Stage) -> None:
    async with stage(delivery_recovery=False) as scene:
        await scene.miss()
        result = await scene.recover()

        assert (result.reason, result.requests) == ("DELIVERY_RECOVERY is off", 0)
        assert scene.github.recorder.requests == []


@SQLITE
async def test_a_run_that_is_later_than_the_next_leaves_the_work_to_it(scene: Scene) -> None:
    await scene.miss()
    late = await scene.recover(scheduled_at=utc_now() - timedelta(minutes=6))
    in_time = await scene.recover(scheduled_at=utc_now() - timedelta(minutes=4))

    assert "a later one does its work" in str(late.reason)
    assert (late.requests, in_time.requested) == (0, 1)


async def test_what_a_run_found_is_read_by_its_flow_run_and_kept_for_a_week(scene: Scene) -> None:
    await scene.miss(2)
    ours, later = uuid4(), uuid4()
    await scene.recover(flow_run_id=ours)
    assert await result_of(scene, uuid4()) is None
    found = await result_of(scene, ours)
    assert found is not None
    assert (found["missing"], found["requested"], found["hooks"][0]["complete"]) == (2, 2, True)

    week_ago = utc_now() - timedelta(days=7, minutes=1)
    async with scene.worker.database.transaction() as session:
        for table in (AnalyticsModel, RedeliveryModel):
            await session.execute(update(table).values(created_at=week_ago))
    await scene.recover(flow_run_id=later)
    assert await result_of(scene, ours) is None
    assert await result_of(scene, later) is not None
    assert await scene.rows() == []


async def result_of(scene: Scene, flow_run_id: UUID) -> dict[str, Any] | None:
    async with scene.worker.database.reading() as session:
        return await redelivery_store.recovery_result(session, flow_run_id)
