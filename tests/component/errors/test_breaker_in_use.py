"""Where circuit breakers stand: what fails is called five times and not a sixth, over real connections."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.linear import run_linear_emulator
from contexten.emulators.recorder import Fault, Recorder
from contexten.emulators.slack import run_slack_emulator
from contexten.server.metrics import Metrics
from contexten_core.db import Database
from contexten_core.errors import GitError, OutboundError
from contexten_core.errors.breaker import BREAKERS, BreakerOpenError, DependencyKind, refused_for
from contexten_core.execution.git import GitMirrors
from contexten_core.integrations.github_client import GitHubClient
from contexten_core.integrations.linear_client import LinearClient
from contexten_core.integrations.slack_client import SlackClient
from contexten_core.settings import Settings

Call = Callable[[], Awaitable[object]]
TOKEN = SecretStr("a-token")


@pytest.fixture
async def github() -> AsyncIterator[RunningEmulator]:
    async with run_emulator() as running:
        yield running


async def _is_left_alone(kind: DependencyKind, recorder: Recorder, call: Call) -> None:
    recorder.queue_fault(Fault(status=503, times=100))
    for _ in range(5):
        with pytest.raises(OutboundError) as failed:
            await call()
        assert not isinstance(failed.value, BreakerOpenError)
    with pytest.raises(BreakerOpenError, match=f"{kind} 127.0.0.1"):
        await call()

    assert len(recorder.requests) == 5


async def test_github_is_left_alone(github: RunningEmulator) -> None:
    client = GitHubClient(Settings(github_token=TOKEN, github_api_url=github.url))

    await _is_left_alone(DependencyKind.GITHUB, github.recorder, lambda: client.call(github.url, "GET", "/meta"))


async def test_slack_is_left_alone() -> None:
    async with run_slack_emulator() as slack:
        client = SlackClient(Settings(slack_bot_token=TOKEN, slack_api_url=f"{slack.url}/api/"))

        await _is_left_alone(DependencyKind.SLACK, slack.recorder, lambda: client.read("auth.test", {}))


async def test_linear_is_left_alone() -> None:
    async with run_linear_emulator() as linear:
        client = LinearClient(Settings(linear_api_key=TOKEN, linear_api_url=f"{linear.url}/graphql"))

        await _is_left_alone(DependencyKind.LINEAR, linear.recorder, lambda: client.call("{ viewer { id } }", {}))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine that nobody listens on, and that nobody else is given meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_git_server_is_left_alone_and_the_error_says_for_how_long(tmp_path: Path, closed_port: int) -> None:
    mirror = GitMirrors(tmp_path).open(f"http://127.0.0.1:{closed_port}/acme/shop.git", allow_local=True)
    for _ in range(5):
        with pytest.raises(GitError) as failed:
            mirror.head()
        assert refused_for(failed.value) is None
    with pytest.raises(GitError, match=f"git remote 127.0.0.1:{closed_port} is left alone") as refused:
        mirror.head()

    assert refused.value.transient
    assert 0 < (refused_for(refused.value) or 0) <= 20


async def test_of_a_rate_limit_everybody_who_calls_that_host_hears(github: RunningEmulator) -> None:
    settings = Settings(github_token=TOKEN, github_api_url=github.url)
    github.recorder.queue_fault(Fault(status=429, retry_after=90))
    with pytest.raises(OutboundError, match="rate limit"):
        await GitHubClient(settings).call(github.url, "GET", "/meta")
    with pytest.raises(BreakerOpenError, match="it has asked for that") as refused:
        await GitHubClient(settings).call(github.url, "GET", "/meta")

    assert refused.value.retry_after == pytest.approx(90, abs=20)
    assert len(github.recorder.requests) == 1


async def test_the_figures_say_what_is_left_alone(database: Database) -> None:
    BREAKERS.of(DependencyKind.GIT, "git.acme.example").hold(60)
    BREAKERS.of(DependencyKind.SLACK, "slack.com")
    metrics = Metrics(Settings())
    await metrics.refresh(database)

    def figure(kind: str, host: str) -> float | None:
        return metrics.registry.get_sample_value("contexten_dependency_open", {"kind": kind, "host": host})

    assert (figure("git remote", "git.acme.example"), figure("slack", "slack.com")) == (1, 0)
