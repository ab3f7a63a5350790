"""The web process."""

import socket

import uvicorn

from contexten.server.app import create_app
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


def serve_web(settings: Settings) -> None:
    """Serve webhooks, API and pages until SIGTERM or SIGINT.

    Raises:
        StackError: the address is taken or not this machine's.
    """
    try:
        listener = socket.create_server((settings.api_host, settings.api_port), backlog=_BACKLOG)
    except OSError as error:
        raise StackError(
            f"cannot listen on {settings.api_host}:{settings.api_port}: {error.strerror}",
            hint="set API_PORT to a free port, or API_HOST to an address of this machine",
        ) from error
    config = uvicorn.Config(
        create_app(settings),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    _Server(config).run(sockets=[listener])
