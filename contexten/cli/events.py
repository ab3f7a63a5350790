"""Events: what arrived, and what became of it."""

from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.cli import explain, send
from contexten.cli.output import AsJson, Limit, coloured, err, out, print_json, print_table, with_runtime, with_session
from contexten.cli.prompts_versions import account
from contexten.cli.runs import print_causes, print_steps
from contexten_core.db import utc_now
from contexten_core.events import refusal_store, store
from contexten_core.events.claim import replay_event
from contexten_core.events.history import (
    EventHistory,
    event_history,
    event_line,
    event_lines,
    function_line,
    resolve_id,
    result_of,
)
from contexten_core.events.models import EventModel, EventStatus
from contexten_core.events.park import discard_event
from contexten_core.events.summary import evidence
from contexten_core.runtime import Runtime

app = typer.Typer(no_args_is_help=True, help=__doc__)
_REFUSED_WITHIN = timedelta(hours=24)
EventId = Annotated[str, typer.Argument(help="An event's id, or the beginning of one.")]


@app.command("list")
def list_events(
    limit: Limit = 20,
    status: Annotated[EventStatus | None, typer.Option(help="Only events of this status.")] = None,
    ours_too: Annotated[bool, typer.Option("--all", help="Also events of our own, such as task_completed.")] = False,
    parked: Annotated[bool, typer.Option("--parked", help="Only those set aside until a person has looked.")] = False,
    refused: Annotated[bool, typer.Option("--refused", help="Instead, deliveries not taken, and why.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the newest events.

    Parked ones wait for `events replay` or `events discard`: their body could not be read, or three workers in a row
    went away while they handled them.
    """
    if refused:
        _list_refusals(limit=limit, as_json=as_json)
        return

    async def read(session: AsyncSession) -> tuple[list[dict[str, Any]], int]:
        rows = await store.newest(session, limit=limit, status=status, ours_too=ours_too, parked=parked)
        lines = await event_lines(session, rows)
        return lines, await refusal_store.count_since(session, utc_now() - _REFUSED_WITHIN)

    lines, refusals = with_session(read, as_json=as_json)
    if as_json:
        print_json(lines)
        return
    print_table(
        "Events",
        ("id", "received", "event", "repository", "outcome", "title or reason"),
        [
            (
                line["id"][:8],
                _moment(line["received_at"]),
                escape(f"{line['provider']} {line['event_type']}"),
                escape(line["repository"] or ""),
                coloured(line["outcome"]),
                escape(line["reason"] or line["error_message"] or line["title"]),
            )
            for line in lines
        ],
    )
    if refusals:
        out.print(f"Deliveries refused in the last 24 h: {refusals}; `contexten events list --refused` says why.")


def _list_refusals(*, limit: int, as_json: bool) -> None:
    async def read(session: AsyncSession) -> list[dict[str, Any]]:
        return [row.to_dict() for row in await refusal_store.newest(session, limit=limit)]

    lines = with_session(read, as_json=as_json)
    if as_json:
        print_json(lines)
        return
    print_table(
        "Refused deliveries",
        ("last seen", "provider", "code", "address", "times", "reason of the last"),
        [
            (
                _moment(line["last_seen_at"]),
                escape(line["provider"]),
                escape(line["code"]),
                escape(line["address"]),
                str(line["count"]),
                escape(line["reason"]),
            )
            for line in lines
        ],
    )


def _moment(text: str) -> str:
    return text[:19].replace("T", " ")


@app.command("show")
def show_event(event_id: EventId, as_json: AsJson = False) -> None:
    """Show one event: its runs, each step of the newest, and why its prompt was selected."""

    async def read(session: AsyncSession) -> EventHistory:
        return await event_history(session, await resolve_id(session, EventModel, event_id))

    history = with_session(read, as_json=as_json)
    if as_json:
        print_json(history.as_dict())
        return
    line = history.as_dict()
    out.print(f"[bold]{escape(line['title'])}[/]  {coloured(line['outcome'])}")
    for label, key in (
        ("id", "id"),
        ("event", "event_type"),
        ("repository", "repository"),
        ("subject", "subject"),
        ("actor", "actor"),
        ("received", "received_at"),
        ("reason", "reason"),
        ("error", "error_message"),
    ):
        if line[key]:
            out.print(f"  {label:<11}{escape(str(line[key]))}")
    for call in map(function_line, history.functions):
        retries = f", {call['retries']} retries" if call["retries"] else ""
        out.print(
            f"  {'function':<11}{escape(call['function'])} ({call['status']}{retries}) {escape(call['error'] or '')}"
        )
    for run in history.runs:
        out.print(f"  {'run':<11}{run.id} (attempt {run.attempt}, {run.status.value})")
    _print_others(history)
    if history.newest:
        print_steps(history.newest)


def _print_others(history: EventHistory) -> None:
    """Print which other events this one has to do with, and why it is parked."""
    event = history.event
    if history.ahead is not None:
        out.print(f"  waits for event {history.ahead.id}  {escape(history.ahead.name)}")
    if event.superseded_by is not None:
        newest = history.newest.successor if history.newest else None
        its_run = f", whose newest run is {newest.id} ({result_of(newest)})" if newest else ""
        out.print(f"  superseded by event {event.superseded_by}{its_run}")
    print_causes(event.causes)
    for told in evidence(event):
        out.print(f"  {escape(told)}")
    if event.parked_at is not None:
        out.print(f"  parked {event.parked_at:%Y-%m-%d %H:%M:%S} UTC until somebody replays or discards it:")
        for verb in ("replay", "discard"):
            out.print(f"    contexten events {verb} {str(event.id)[:8]}")


@app.command("replay")
def replay(event_id: EventId, as_json: AsJson = False) -> None:
    """Have an event that has ended, or is parked, handled again, as a new run."""

    async def work(runtime: Runtime) -> str:
        async with runtime.database.reading() as session:
            found = await resolve_id(session, EventModel, event_id)
        await replay_event(runtime.database, found)
        return str(found)

    found = with_runtime(work, as_json=as_json)
    if as_json:
        print_json({"event_id": found, "status": "pending"})
    else:
        err.print(f"Event {found} will be handled again; `contexten events show {found[:8]}` shows how it goes.")


@app.command("discard")
def discard(event_id: EventId, as_json: AsJson = False) -> None:
    """Give a parked event up: it stays to be seen, and waits for nobody any longer."""

    async def work(runtime: Runtime) -> dict[str, Any]:
        async with runtime.database.reading() as session:
            found = await resolve_id(session, EventModel, event_id)
        await discard_event(runtime.database, found, by=account())
        async with runtime.database.reading() as session:
            return event_line(await session.get_one(EventModel, found))

    line = with_runtime(work, as_json=as_json)
    if as_json:
        print_json(line)
    else:
        err.print(f"Event {line['id']} is discarded; `contexten events replay {line['id'][:8]}` would still handle it.")


app.command("explain")(explain.explain)
app.command("send")(send.send)
