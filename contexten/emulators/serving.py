"""Serve an emulator over real HTTP: inside the running loop for tests, or as a program of its own."""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from contexten.emulators.interception import ABORT_CONNECTION
from contexten_core.errors import ConfigurationError, ContextenError, StackError
from deployments.readiness import READY_FD_VARIABLE, report_ready

LAST_REPLIES_SECONDS = 0.5


class _CuttableProtocol(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, ABORT_CONNECTION: transport.abort}


class _EmbeddedServer(uvicorn.Server):
    """A uvicorn server that leaves the process's signals alone and says when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()

    def cut_connections(self) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, H11Protocol):
                connection.transport.abort()


@asynccontextmanager
async def serve_app(app: FastAPI, *, host: str, port: int) -> AsyncIterator[str]:
    """Serve the application in the running loop and give its base URL, without a trailing slash.

    Leaving the context stops the server within 2 s: replies under way get 0.5 s, then their connections are cut.

    Raises:
        StackError: the address cannot be listened on.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        http=_CuttableProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=2000,
        timeout_graceful_shutdown=1,
    )
    server = _EmbeddedServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name=f"emulator on port {port}")
    try:
        await server.ready.wait()
        if not server.started:
            await serving
        bound_host, bound_port = listener.getsockname()[:2]
        yield f"http://{bound_host}:{bound_port}"
    finally:
        server.should_exit = True
        done, _ = await asyncio.wait({serving}, timeout=LAST_REPLIES_SECONDS)
        if not done:
            server.cut_connections()
        await serving


def run_app(app: FastAPI, *, name: str, arguments: Sequence[str] | None = None) -> int:
    """Serve the application until SIGTERM or SIGINT; the command line is `--host HOST --port PORT`.

    When it is ready it writes the line {"url": ...} to stdout, and to the file descriptor whose number is in
    `CONTEXTEN_READY_FD`, which it then closes.

    Returns:
        The exit code: 0 after a signal, 1 if it could not serve; the reason is then on stderr.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=app.title)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(serve_until_signalled(app, host=options.host, port=options.port, announce=_announce))
    except ContextenError as error:
        sys.stderr.write(f"{error.message} {error.hint or ''}\n")
        return 1
    return 0


async def serve_until_signalled(app: FastAPI, *, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve the application until SIGTERM or SIGINT; `announce` is called with its base URL when it is ready.

    Raises:
        StackError: the address cannot be listened on.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve_app(app, host=host, port=port) as url:
        announce(url)
        await stop.wait()


def _announce(url: str) -> None:
    line = json.dumps({"url": url}) + "\n"
    sys.stdout.write(line)
    sys.stdout.flush()
    descriptor = os.environ.get(READY_FD_VARIABLE)
    try:
        report_ready({"url": url})
    except (ValueError, OSError) as error:
        raise ConfigurationError(
            f"{READY_FD_VARIABLE}={descriptor!r} cannot be written to: {error}.",
            hint="It must be the number of a file descriptor that the parent process left open.",
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=1024)
    except (OSError, OverflowError) as error:
        raise StackError(
            f"The emulator cannot listen on {host}:{port}: {error}.",
            hint="Choose an address of this machine and a free port, or port 0 for any.",
            transient=False,
        ) from error
