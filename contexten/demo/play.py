"""Play the demo against a running stack, and show each step as it happens."""

import asyncio
from collections.abc import Mapping
from uuid import UUID

import httpx
from rich.console import Console
from rich.markup import escape

from contexten.demo import verify
from contexten.demo.emulator import NAME as EMULATOR
from contexten.demo.projects import add_projects
from contexten.demo.scenario import FAILING_TEST, Act, acts
from contexten.demo.verify import Check
from contexten.emulators.repositories import make_demo_repositories
from contexten.emulators.sender import send
from contexten_core.db import utc_now
from contexten_core.errors import OutboundError
from contexten_core.events import run_store
from contexten_core.events.history import RunHistory, run_history
from contexten_core.events.models import EffectStatus, HandlerStatus, RunStatus
from contexten_core.events.summary import summarise_step
from contexten_core.runtime import Runtime

_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 120.0


async def play(runtime: Runtime, urls: Mapping[str, str], console: Console) -> bool:
    """Make the repositories, send the three events, watch them to their ends, and check what came of them.

    Args:
        urls: addresses of the stack's parts: `web`, `prefect_api` and `github_emulator`.
        console: where it is shown.

    Returns:
        Whether every expectation held.
    """
    repositories = await asyncio.to_thread(make_demo_repositories, runtime.settings.home / "demo")
    await add_projects(runtime.database, repositories, github_url=urls[EMULATOR])
    async with runtime.database.reading() as session:
        before = await verify.occurrences(session, FAILING_TEST)
    scenes = acts(repositories, now=utc_now())
    console.print("[bold]Demo[/]  three signed events, each to its end\n")
    checks: list[Check] = []
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            for act, event_id in [(act, await _deliver(runtime, urls["web"], act, console)) for act in scenes]:
                history = await _watch(runtime, urls["web"], act, event_id, console)
                checks.append(verify.check_outcome(act, history))
                checks.append(await verify.check_prefect(urls["prefect_api"], history))
                checks.append(await verify.check_statuses(urls[EMULATOR], act, history.run.id))
    except TimeoutError:
        checks.append(Check(f"every event ends within {_PATIENCE_SECONDS:.0f} s", holds=False, seen="one did not"))
    async with runtime.database.reading() as session:
        checks.append(verify.check_pattern(before, await verify.occurrences(session, FAILING_TEST)))
    console.print()
    for check in checks:
        mark = "[green]✓[/]" if check.holds else "[red]✗[/]"
        seen = "" if check.holds else f" [red]but: {escape(check.seen)}[/]"
        console.print(f"{mark} {escape(check.expectation)}{seen}")
    console.print()
    return all(check.holds for check in checks)


async def _deliver(runtime: Runtime, web: str, act: Act, console: Console) -> UUID:
    secret = runtime.settings.github_webhook_secrets[0].get_secret_value()
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await send(client, f"{web}/github/events", act.delivery, secret)
    if answer.status_code != httpx.codes.ACCEPTED:
        raise OutboundError(f"{web}/github/events answered {answer.status_code} to a {act.title}: {answer.text[:200]}")
    receipt = answer.json()
    console.print(f"{escape(act.title)}  [dim]{answer.status_code} {receipt['status']}, event {receipt['event_id']}[/]")
    return UUID(receipt["event_id"])


async def _watch(runtime: Runtime, web: str, act: Act, event_id: UUID, console: Console) -> RunHistory:
    """Print each step of the event's run as it ends; return when the run has ended and its report was sent."""
    console.print(f"\n[bold]{escape(act.title)}[/]")
    shown: set[str] = set()
    while True:
        async with runtime.database.reading() as session:
            run = await run_store.latest_of(session, event_id)
            history = await run_history(session, run.id) if run else None
        if history is not None:
            _show_steps(history, shown, console)
            waiting = any(effect.status is EffectStatus.PENDING for effect in history.effects)
            if history.run.status is not RunStatus.RUNNING and not waiting:
                console.print(f"  [dim]run page: {web}/runs/{history.run.id}[/]")
                return history
        await asyncio.sleep(_LOOK_SECONDS)


def _show_steps(history: RunHistory, shown: set[str], console: Console) -> None:
    for step in history.steps:
        if step.handler_name in shown or step.status is HandlerStatus.RUNNING:
            continue
        shown.add(step.handler_name)
        mark = "[green]✓[/]" if step.status is HandlerStatus.COMPLETED else "[red]✗[/]"
        found = step.error_message or summarise_step(step.handler_name, step.output_data or {})
        console.print(f"  {mark} {step.handler_name:<17}[dim]{step.duration_ms or 0:>6.0f} ms[/]  {escape(found)}")
