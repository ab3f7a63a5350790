"""Serve: the whole stack, or one role of it."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import typer
from rich.markup import escape

from contexten.cli.output import err, failures_explained, out
from contexten.demo.emulator import start_demo_emulator
from contexten.demo.play import play
from contexten.demo.projects import is_demo_there, is_store_empty
from contexten_core.runtime import open_runtime
from contexten_core.security.log_redaction import redact_logs
from contexten_core.security.redaction import redactor_of
from contexten_core.security.tokens import ensure_admin_token
from contexten_core.settings import Settings, get_settings
from deployments.readiness import report_ready
from deployments.stack import WEBHOOK_SECRET, Stack, running_stack


class Role(StrEnum):
    ALL = "all"
    WEB = "web"
    WORKER = "worker"


def serve(
    role: Annotated[Role, typer.Option(help="Everything, or one process of it alone.")] = Role.ALL,
    demo: Annotated[bool, typer.Option("--demo", help="Play the demo if nothing was stored yet.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Play the demo, end, and say by exit code how it went.")] = False,
) -> None:
    """Start everything on this machine and keep it running until Ctrl-C."""
    settings = get_settings()
    level = "DEBUG" if settings.debug else settings.log_level
    logging.basicConfig(
        level=level if role is not Role.ALL else logging.WARNING,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    redact_logs(redactor_of(settings))
    if role is Role.WEB:
        _name_requests()
    # Its line for each request says nothing that our own lines do not.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with failures_explained():
        if role is Role.WEB:
            from contexten.contexten_app import ContextenApp
            from contexten.server.serving import serve_web

            serve_web(ContextenApp(name=settings.app_name, settings=settings).app, settings)
        elif role is Role.WORKER:
            _run_worker(settings)
        else:
            raise typer.Exit(_run_until_signal(partial(_serve_all, settings=settings, demo=demo, once=once)))


def _name_requests() -> None:
    """Have every line of the log name the request that it is about."""
    from contexten.server.problems import RequestIdFilter

    for handler in logging.getLogger().handlers:
        handler.addFilter(RequestIdFilter())
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s [%(request_id)s]: %(message)s"))


def _run_worker(settings: Settings) -> None:
    from deployments.worker import work

    async def main() -> None:
        stop, hurry = asyncio.Event(), asyncio.Event()
        is_ready = False

        def ready() -> None:
            nonlocal is_ready
            is_ready = True
            report_ready()

        def end(number: int) -> None:
            if number == signal.SIGINT or stop.is_set():
                hurry.set()
            stop.set()
            if not is_ready:
                working.cancel()

        working = asyncio.create_task(work(settings, stop=stop, hurry=hurry, ready=ready))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end, number)
        try:
            await working
        except asyncio.CancelledError:
            if is_ready:
                raise

    asyncio.run(main())


@dataclass(slots=True)
class _Wishes:
    """What signals ask of a stack that runs: to end soon, and to have new web processes."""

    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    renew: asyncio.Event = field(default_factory=asyncio.Event)


def _run_until_signal(work: Callable[[_Wishes], Coroutine[Any, Any, int]]) -> int:
    """Run `work` and return its exit code; on a signal cancel it, once, let it clean up, and return 0.

    SIGTERM lets runs finish, SIGINT and any second signal do not wait for them. SIGHUP renews the web processes, unless
    it says that the terminal of this process is gone.
    """
    has_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _sees_terminal()

    async def main() -> int:
        wishes = _Wishes()
        task = asyncio.create_task(work(wishes))
        signalled = False

        def stop(number: int) -> None:
            nonlocal signalled
            if signalled or number != signal.SIGTERM:
                wishes.hurry.set()
            if not signalled:
                signalled = True
                err.print("\nStopping…")
                task.cancel()

        def hang_up() -> None:
            if has_terminal and not _sees_terminal():
                stop(signal.SIGHUP)
            else:
                wishes.renew.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)
        try:
            return await task
        except asyncio.CancelledError:
            if not signalled:
                raise
            return 0

    return asyncio.run(main())


def _sees_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


async def _serve_all(wishes: _Wishes, *, settings: Settings, demo: bool, once: bool) -> int:
    async with running_stack(settings, say=_say, hurry=wishes.hurry) as stack:
        async with open_runtime(stack.settings) as runtime:
            wanted = once or (demo and await is_store_empty(runtime.database))
            if wanted or await is_demo_there(runtime.database):
                await start_demo_emulator(stack, runtime.database)
            async with runtime.database.transaction() as session:
                token = await ensure_admin_token(session)
            _show_addresses(stack, token)
            if wanted:
                succeeded = await play(runtime, stack.urls, out)
                if once:
                    return 0 if succeeded else 1
        err.print("Serving. Ctrl-C ends it.")
        renewing = asyncio.create_task(_renew_web(stack, wishes.renew), name="renewal")
        try:
            await stack.supervisor.wait()
        finally:
            renewing.cancel()


async def _renew_web(stack: Stack, wanted: asyncio.Event) -> None:
    while True:
        await wanted.wait()
        wanted.clear()
        _say("Replacing the web processes")
        await stack.replace_web()


def _say(line: str) -> None:
    err.print(f"[dim]{escape(line)}[/]")


def _show_addresses(stack: Stack, token: str | None) -> None:
    web = stack.urls["web"]
    secrets = stack.settings.home / "secrets" / WEBHOOK_SECRET
    configured = bool(get_settings().github_webhook_secrets)
    out.print(f"\n[bold]Dashboard[/]   {web}")
    out.print(f"[bold]Prefect UI[/]  {stack.urls['prefect']}")
    out.print(f"[bold]Webhooks[/]    {web}/github/events  (GitHub, application/json)")
    out.print(f"[bold]Secret[/]      {'GITHUB_WEBHOOK_SECRET' if configured else secrets}")
    if token is not None:
        out.print(f"[bold]Token[/]       {token}  (for the API; kept as a digest, so not shown again)")
    if "github_emulator" in stack.urls:
        out.print(f"[bold]GitHub[/]      {stack.urls['github_emulator']}  (the demo's emulator)")
    out.print()
