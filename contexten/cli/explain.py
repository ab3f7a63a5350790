"""`contexten events explain`: each gate on an event's way, with its verdict and the reason."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.cli.output import AsJson, coloured, out, print_json, with_session
from contexten_core.events.explain import EventExplanation, Gate, Verdict, explain_event
from contexten_core.events.history import resolve_id
from contexten_core.events.models import EventModel

_MARKS = {
    Verdict.PASSED: "[green]✓[/]",
    Verdict.STOPPED: "[red]✗[/]",
    Verdict.WAITING: "[yellow]…[/]",
    Verdict.NOT_REACHED: "[dim]·[/]",
}
_SHOWN_PROMPTS = 10


def explain(
    event_id: Annotated[str, typer.Argument(help="An event's id, or the beginning of one.")], as_json: AsJson = False
) -> None:
    """Explain what became of an event: each gate on its way, with its verdict and the reason."""

    async def read(session: AsyncSession) -> EventExplanation:
        return await explain_event(session, await resolve_id(session, EventModel, event_id))

    explanation = with_session(read, as_json=as_json)
    if as_json:
        print_json(explanation.as_dict())
        return
    out.print(f"[bold]{escape(explanation.title)}[/]  {coloured(explanation.outcome)}")
    out.print(f"  {escape(explanation.summary)}")
    out.print(f"  [dim]{explanation.event_id}[/]")
    out.print()
    for gate in explanation.gates:
        _print_gate(gate)


def _print_gate(gate: Gate) -> None:
    said = escape(gate.reason) if gate.reason else f"[dim]{gate.verdict.value}[/]"
    out.print(f"  {_MARKS[gate.verdict]} {gate.name:<11}{said}")
    candidates: list[dict[str, Any]] = gate.evidence.get("candidates", [])
    for candidate in candidates[:_SHOWN_PROMPTS]:
        verdict = "applies" if candidate["applies"] else "does not apply"
        out.print(f"      {escape(candidate['slug'])} (priority {candidate['priority']}) {verdict}")
        for condition in candidate["conditions"]:
            mark = "[green]✓[/]" if condition["holds"] else "[red]✗[/]"
            wanted = f"{condition['field']} {condition['operator']} {condition['expected']!r}"
            out.print(f"        {mark} {escape(wanted)}" + ("" if condition["holds"] else _seen(condition["seen"])))
    if len(candidates) > _SHOWN_PROMPTS:
        out.print(f"      and {len(candidates) - _SHOWN_PROMPTS} more; --json shows them")
    for effect in gate.evidence.get("effects", []):
        out.print(
            f"      {coloured(effect['status'])} {escape(effect['kind'])} {escape(str(effect['state'] or ''))}: "
            f"{escape(str(effect['description'] or ''))}"
        )


def _seen(value: Any) -> str:
    return f", saw {escape(repr(value))}"
