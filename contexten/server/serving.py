"""The web process."""

import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from contexten_core.errors import StackError
from contexten_core.settings import Settings
from deployments.readiness import report_ready

_BACKLOG = 2048
_GRACE_SECONDS = 3
_IDLE_SECONDS = 30
_CONNECTIONS = 2_000


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            report_ready()


def listen(settings: Settings) -> socket.socket:
    """Listen where the settings say.

    Raises:
        StackError: the address is taken or not this machine's.
    """
    try:
        return socket.create_server(
            (settings.api_host, settings.api_port), backlog=_BACKLOG, reuse_port=settings.api_workers > 1
        )
    except OSError as error:
        raise StackError(
            f"cannot listen on {settings.api_host}:{settings.api_port}: {error.strerror}",
            hint="set API_PORT to a free port, or API_HOST to an address of this machine",
        ) from error


def make_server(app: FastAPI, **options: Any) -> uvicorn.Server:
    """Return a server for the application; `options` are uvicorn's own and win over ours."""
    ours: dict[str, Any] = {
        "ws": "none",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "proxy_headers": False,
        "limit_concurrency": _CONNECTIONS,
        "timeout_keep_alive": _IDLE_SECONDS,
        "timeout_graceful_shutdown": _GRACE_SECONDS,
    }
    return _Server(uvicorn.Config(app, **(ours | options)))


def serve_web(app: FastAPI, settings: Settings) -> None:
    """Serve webhooks, API and pages until SIGTERM or SIGINT.

    Raises:
        StackError: the address is taken or not this machine's.
    """
    make_server(app).run(sockets=[listen(settings)])
