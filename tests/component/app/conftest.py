"""Applications as users build them, on a fresh database of each kind."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from contexten import ContextenApp
from contexten_core.settings import DatabaseConfig, Settings

BuildApp = Callable[..., ContextenApp]


@pytest.fixture
def build_app(database_config: DatabaseConfig, tmp_path: Path) -> BuildApp:
    """Build an application on the test's database; settings and arguments may be given by name."""

    def build(*, name: str = "tests", settings: dict[str, Any] | None = None, **arguments: Any) -> ContextenApp:
        # A busy machine is to raise no alert, which would be one more event, and may take its time to answer.
        patient = {"sample_seconds": 3600, "cpu_alert_percent": 100, "memory_alert_percent": 100}
        patient["response_timeout_seconds"] = 60
        given: dict[str, Any] = {"db": database_config, "home": tmp_path / "home", **patient}
        arguments.setdefault("tmp_dir", str(tmp_path / "tmp"))
        return ContextenApp(name=name, settings=Settings(**(given | (settings or {}))), **arguments)

    return build


@pytest.fixture
async def app(build_app: BuildApp) -> AsyncIterator[ContextenApp]:
    app = build_app()
    await app.initialize()
    yield app
    await app.shutdown()
