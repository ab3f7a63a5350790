"""The web process."""

import gc
import logging
import resource
import socket
from collections.abc import Mapping
from typing import Any

import uvicorn
from fastapi import FastAPI

from contexten.server.http_protocol import guarded
from contexten_core.errors import StackError
from contexten_core.settings import Settings
from deployments.readiness import report_ready

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_GRACE_SECONDS = 3
_IDLE_SECONDS = 30
_OTHER_FILES = 256
_FEWEST_CONNECTIONS = 10


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.settle()
            report_ready()

    def settle(self) -> None:
        """Do what is left to do once everything is there."""


class _OwnProcess(_Server):
    def settle(self) -> None:
        # What is there now stays: looked through again and again, it would hold answers up for a tenth of a second.
        gc.collect()
        gc.freeze()


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
    return _Server(_configure(app, options))


def _configure(app: FastAPI, options: Mapping[str, Any]) -> uvicorn.Config:
    settings: Settings = app.state.settings
    ours: dict[str, Any] = {
        "http": guarded(
            most=_allow_connections(settings.webhook_connections), header_seconds=settings.webhook_header_seconds
        ),
        "ws": "none",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": _IDLE_SECONDS,
        "timeout_graceful_shutdown": _GRACE_SECONDS,
    }
    return uvicorn.Config(app, **{**ours, **options})


def serve_web(app: FastAPI, settings: Settings) -> None:
    """Serve webhooks, API and pages until SIGTERM or SIGINT.

    Raises:
        StackError: the address is taken or not this machine's.
    """
    _OwnProcess(_configure(app, {})).run(sockets=[listen(settings)])


def _allow_connections(wanted: int) -> int:
    """Let this process have as many open files as that many connections need; return how many it can have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + wanted // 8 + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    granted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    possible = max((granted - _OTHER_FILES) * 8 // 9, _FEWEST_CONNECTIONS)
    if possible < wanted:
        logger.warning("%d connections at once, not %d: this account may open %d files", possible, wanted, hard)
    return min(possible, wanted)
