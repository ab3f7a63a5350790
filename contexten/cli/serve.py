"""Serve: the whole stack, or one role of it."""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from enum import StrEnum
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
            raise typer.Exit(_run_until_signal(_serve_all(settings, demo=demo, once=once)))


def _name_requests() -> None:
    """Have every line of the log name the request that it is about."""
    from contexten.server.problems import RequestIdFilter

    for handler in logging.getLogger().handlers:
        handler.addFilter(RequestIdFilter())
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s [%(request_id)s]: %(message)s"))


def _run_worker(settings: Settings) -> None:
    from deployments.worker import work

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await work(settings, stop=stop, ready=report_ready)

    asyncio.run(main())


def _run_until_signal(work: Coroutine[Any, Any, int]) -> int:
    """Run `work` and return its exit code; on SIGINT or SIGTERM cancel it, once, let it clean up, and return 0."""

    async def main() -> int:
        task = asyncio.create_task(work)
        signalled = False

        def stop() -> None:
            nonlocal signalled
            if not signalled:
                signalled = True
                err.print("\nStopping…")
                task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        try:
            return await task
        except asyncio.CancelledError:
            if not signalled:
                raise
            return 0

    return asyncio.run(main())


async def _serve_all(settings: Settings, *, demo: bool, once: bool) -> int:  # noqa: RET503 - `wait` never returns
    async with running_stack(settings, say=_say) as stack:
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
        await stack.supervisor.wait()


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
