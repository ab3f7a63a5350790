"""Why a prompt was selected, as it is stored, and which one an event would get now."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.cli.output import AsJson, out, print_json, with_runtime, with_session
from contexten_core.events.history import resolve_id
from contexten_core.events.models import EventModel, RunModel
from contexten_core.prompts.explanation import Candidate, ConditionVerdict, Explanation, replay
from contexten_core.prompts.match import match_event, stored_explanation
from contexten_core.runtime import Runtime
from contexten_core.security.text import shorten

_LONGEST_VALUE = 120


def register(app: typer.Typer) -> None:
    """Add these commands to `contexten prompts`."""
    app.command("explain")(explain)
    app.command("match")(match)


def explain(
    given: Annotated[str, typer.Argument(metavar="EVENT_OR_RUN", help="An id, or the beginning of one.")],
    as_json: AsJson = False,
) -> None:
    """Tell why a run's prompt was selected, and check that the same values still give the same prompt."""

    async def read(session: AsyncSession) -> tuple[RunModel, Explanation]:
        return await stored_explanation(session, given)

    run, explanation = with_session(read, as_json=as_json)
    again = replay(explanation)
    if as_json:
        print_json({"run_id": run.id, **explanation.as_dict(), "replays": again == explanation})
    else:
        out.print(f"[bold]{escape(run.name)}[/]  [dim]{run.id}[/]")
        _print(explanation)
        out.print()
        if again == explanation:
            out.print("[green]✓[/] judged again by the same values, it comes out the same")
        else:
            out.print(f"[red]✗[/] judged again by the same values, it comes out otherwise: {escape(again.reason)}")
    if again != explanation:
        raise typer.Exit(1)


def match(
    event_id: Annotated[str, typer.Argument(help="An event's id, or the beginning of one.")], as_json: AsJson = False
) -> None:
    """Tell which prompt a stored event would get now, and why, without running anything."""

    async def read(runtime: Runtime) -> Explanation:
        async with runtime.database.reading() as session:
            return await match_event(session, runtime.prompts, await resolve_id(session, EventModel, event_id))

    explanation = with_runtime(read, as_json=as_json)
    if as_json:
        print_json(explanation.as_dict())
        return
    _print(explanation)


def _print(explanation: Explanation) -> None:
    version = "" if explanation.version is None else f" (version {explanation.version})"
    out.print(f"  {escape(explanation.reason)}{version}")
    for note in explanation.notes:
        out.print(f"  [yellow]![/] {escape(note)}")
    for candidate in explanation.candidates:
        _print_candidate(candidate, is_winner=candidate.slug == explanation.winner)
    for others in explanation.others:
        out.print(f"  [dim]{others.count:,} others {escape(others.reason)}[/]")


def _print_candidate(candidate: Candidate, *, is_winner: bool) -> None:
    word = "[green]selected[/]" if is_winner else "applies" if candidate.applies else "[dim]does not apply[/]"
    out.print(f"  {word}  [bold]{escape(candidate.slug)}[/] version {candidate.version}, priority {candidate.priority}")
    for condition in candidate.conditions:
        mark = "[green]✓[/]" if condition.holds else "[red]✗[/]"
        out.print(f"      {mark} {escape(_said(condition))}")


def _said(condition: ConditionVerdict) -> str:
    name = "" if condition.name == condition.field else f"{condition.name}: "
    either = "or " if condition.logical_operator == "OR" else ""
    group = f" (group {condition.group})" if condition.group else ""
    saw = f"saw {_short(condition.seen)}" if condition.looked_up else "was not looked up"
    operator = condition.operator.value.replace("_", " ")
    return f"{name}{either}{condition.field} {operator} {_short(condition.expected)}{group}, {saw}"


def _short(value: Any) -> str:
    return shorten(repr(value), _LONGEST_VALUE)
