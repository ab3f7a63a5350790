"""The web process."""

import asyncio
import gc
import logging
import resource
import signal
import socket
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from contexten.server.http_protocol import guarded
from contexten.server.leaving import set_leaving
from contexten.server.waiting import WAITS_FOR_DATABASE
from contexten_core.settings import Settings
from deployments.listening import handed_socket, listen
from deployments.readiness import report_ready

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 3
_LEAVE_SECONDS = 1.0
_BUSY_SECONDS = 2.0
_LOOK_SECONDS = 0.05
_CLOSE = (b"connection", b"close")
_IDLE_SECONDS = 30
_OTHER_FILES = 256
_FEWEST_CONNECTIONS = 10


class _Server(uvicorn.Server):
    """Leaves in two steps: for a while it only sends its clients away, each with its next answer; then it closes.

    SIGTERM makes it not ready at once, and it goes on taking connections meanwhile, so that whoever watches can see
    it. SIGHUP comes from a supervisor that has a successor ready: new connections are left to that one. SIGINT has
    no patience.
    """

    def __init__(self, app: FastAPI, options: Mapping[str, Any]) -> None:
        super().__init__(_configure(app, options))
        self._application = app
        self._is_replaced = False
        self._is_hurried = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        set_leaving(self._application, leaving=False)
        await super().startup(sockets)
        if self.started:
            self._watch_for_successor()
            self.settle()
            report_ready()

    def settle(self) -> None:
        """Do what is left to do once everything is there."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and not self._is_replaced:
            set_leaving(self._application, leaving=True)
        self._is_hurried = self._is_hurried or sig == signal.SIGINT
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._send_clients_away()
        await super().shutdown(sockets)

    def _watch_for_successor(self) -> None:
        if threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._be_replaced)

    def _be_replaced(self) -> None:
        self._is_replaced = True
        for server in self.servers:
            server.close()
        self.should_exit = True

    async def _send_clients_away(self) -> None:
        self.config.encoded_headers.append(_CLOSE)
        # What is being answered now has this list as well.
        self.server_state.default_headers.append(_CLOSE)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self.server_state.connections and not self._is_hurried and not self.force_exit:
            waited = loop.time() - began
            busy = bool(self.server_state.tasks)
            if waited >= _BUSY_SECONDS or (waited >= _LEAVE_SECONDS and not busy):
                break
            await asyncio.sleep(_LOOK_SECONDS)


class _OwnProcess(_Server):
    def settle(self) -> None:
        # What is there now stays: looked through again and again, it would hold answers up for a tenth of a second.
        gc.collect()
        gc.freeze()


def make_server(app: FastAPI, **options: Any) -> uvicorn.Server:
    """Return a server for the application; `options` are uvicorn's own and win over ours."""
    return _Server(app, options)


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
    """Serve webhooks, API and pages until SIGTERM or SIGINT. Where the database is away, deliveries are taken.

    Raises:
        StackError: the address is taken or not this machine's.
    """
    setattr(app.state, WAITS_FOR_DATABASE, True)
    listener = handed_socket() or listen(settings.api_host, settings.api_port, shared=settings.api_workers > 1)
    _OwnProcess(app, {}).run(sockets=[listener])


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
