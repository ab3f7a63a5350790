"""The system as a whole: what it is, how it is, and how much is going on."""

import os
import time
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel

from contexten.server.api.health import Health
from contexten.server.api.routing import api_router
from contexten.server.dependencies import OrchestratorOf, Reading, SettingsOf
from contexten_core.events import run_store
from contexten_core.events import store as event_store
from contexten_core.events.history import result_word

router = api_router("/api/system", "system")

_STARTED = time.monotonic()


class Features(BaseModel):
    performance_monitoring: bool
    continuous_learning: bool
    analytics: bool


class SystemStatus(Health):
    """Health, and what is behind it. `runs` are counted by how they stand, `events` by status."""

    name: str
    version: str
    environment: str
    process_id: int
    uptime_seconds: float
    database: str
    features: Features
    providers: dict[str, bool]
    handlers: list[str]
    events: dict[str, int]
    runs: dict[str, int]


@router.get("/status", response_model=SystemStatus)
async def get_system_status(orchestrator: OrchestratorOf, settings: SettingsOf, session: Reading) -> Any:
    """Say how the system is, part by part, and what it has to do."""
    runs: dict[str, int] = {}
    for status, conclusion, count in await run_store.count_by_outcome(session):
        word = result_word(status, conclusion)
        runs[word] = runs.get(word, 0) + count
    return {
        **await orchestrator.get_system_health(),
        "name": settings.app_name,
        "version": version("contexten"),
        "environment": settings.environment.value,
        "process_id": os.getpid(),
        "uptime_seconds": time.monotonic() - _STARTED,
        "database": "sqlite" if orchestrator.database.is_sqlite else "postgresql",
        "features": {
            "performance_monitoring": orchestrator.performance_monitor is not None,
            "continuous_learning": settings.enable_continuous_learning,
            "analytics": settings.enable_analytics,
        },
        "providers": {
            "github": bool(settings.github_webhook_secrets),
            "linear": bool(settings.linear_webhook_secrets),
            "slack": bool(settings.slack_signing_secrets),
        },
        "handlers": sorted(orchestrator.functions.names),
        "events": {status.value: count for status, count in (await event_store.count_by_status(session)).items()},
        "runs": runs,
    }
