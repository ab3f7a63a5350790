import pytest

from contexten.handlers import GitHub, Linear, Slack
from contexten_core.events.handlers import HandlerRegistry
from contexten_core.settings import Settings


@pytest.fixture
def registry() -> HandlerRegistry:
    return HandlerRegistry()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("GITHUB_ACCESS_TOKEN", "GITHUB_TOKEN", "GITHUB_API_KEY", "SLACK_BOT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"CONTEXTEN_{name}", raising=False)
    return Settings(_env_file=None)


@pytest.fixture
def github(registry: HandlerRegistry, settings: Settings) -> GitHub:
    return GitHub(registry, settings)


@pytest.fixture
def linear(registry: HandlerRegistry, settings: Settings) -> Linear:
    return Linear(registry, settings)


@pytest.fixture
def slack(registry: HandlerRegistry, settings: Settings) -> Slack:
    return Slack(registry, settings)
