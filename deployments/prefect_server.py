"""Our own Prefect server, as a supervised child."""

import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from deployments.child import Child, ReadyCheck
from deployments.home import Home

HOST = "127.0.0.1"
USUAL_PORT = 4200
_START_SECONDS = 90.0
_POLL_SECONDS = 2.0


def prefect_server(
    home: Home, *, port: int, database_dsn: str | None, environment: Mapping[str, str], cwd: Path
) -> Child:
    """Describe the server. It listens on loopback only, sends no telemetry, and keeps to its folder of the home.

    Args:
        database_dsn: a `postgresql://` address, or None to keep its rows in SQLite.
        environment: what the server's environment starts from.
    """
    ours = {
        **client_environment(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_API_URL": api_url(port),
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
    }
    if database_dsn is not None:
        ours["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database_dsn.replace(
            "postgresql://", "postgresql+asyncpg://", 1
        )
    inherited = {name: value for name, value in environment.items() if not name.startswith("PREFECT_")}
    return Child(
        name="prefect",
        argv=(sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)),
        env={**inherited, **ours},
        cwd=cwd,
        log=home.log("prefect"),
        ready=health_check(api_url(port)),
        start_timeout=_START_SECONDS,
    )


def client_environment(home: Home) -> dict[str, str]:
    """Return the variables that keep Prefect's client silent, and its files within the home."""
    return {
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_PROFILES_PATH": str(home.prefect / "profiles.toml"),
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def api_url(port: int) -> str:
    return f"http://{HOST}:{port}/api"


def ui_url(api: str) -> str:
    """Return the address of the UI that belongs to an API address."""
    return api.rstrip("/").removesuffix("/api")


def health_check(api: str) -> ReadyCheck:
    async def healthy() -> bool:
        # A proxy of the environment must not come between us and our own child.
        async with httpx.AsyncClient(timeout=_POLL_SECONDS, trust_env=urlsplit(api).hostname != HOST) as client:
            try:
                return (await client.get(f"{api}/health")).is_success
            except httpx.HTTPError:
                return False

    return healthy
