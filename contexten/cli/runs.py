"""Runs: how events were handled, and how one is stopped."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.cli.output import AsJson, Limit, coloured, err, out, print_json, print_table, with_runtime, with_session
from contexten.cli.prompts_versions import account
from contexten_core.events import run_store
from contexten_core.events.cancel import cancel_run
from contexten_core.events.history import RunHistory, resolve_id, result_of, run_history, run_line
from contexten_core.events.models import RunModel, RunStatus
from contexten_core.events.steps import failures_of
from contexten_core.events.summary import summarise_step
from contexten_core.runtime import Runtime

app = typer.Typer(no_args_is_help=True, help=__doc__)
RunId = Annotated[str, typer.Argument(help="A run's id, or the beginning of one.")]


@app.command("list")
def list_runs(
    limit: Limit = 20,
    status: Annotated[RunStatus | None, typer.Option(help="Only runs of this status.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the newest runs."""

    async def read(session: AsyncSession) -> list[tuple[dict[str, Any], str]]:
        rows = await run_store.newest(session, limit=limit, status=status)
        return [(run_line(row), result_of(row)) for row in rows]

    lines = with_session(read, as_json=as_json)
    if as_json:
        print_json([line for line, _ in lines])
        return
    print_table(
        "Runs",
        ("id", "started", "result", "commit", "run", "reason"),
        [
            (
                line["id"][:8],
                line["started_at"][:19].replace("T", " "),
                coloured(result),
                (line["commit"] or "")[:8],
                escape(line["name"] + (f" (attempt {line['attempt']})" if line["attempt"] > 1 else "")),
                escape(line["reason"] or ""),
            )
            for line, result in lines
        ],
    )


@app.command("show")
def show_run(
    run_id: RunId,
    log: Annotated[bool, typer.Option("--log", help="Print the command's whole log.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one run: its steps, its task, what was reported, and why its prompt was selected."""

    async def read(session: AsyncSession) -> RunHistory:
        return await run_history(session, await resolve_id(session, RunModel, run_id))

    history = with_session(read, as_json=as_json)
    if as_json:
        print_json(history.as_dict())
        return
    run = history.run
    out.print(f"[bold]{escape(run.name)}[/]  {coloured(result_of(run))}")
    if run.reason:
        out.print(f"  {escape(run.reason)}")
    _print_others(history)
    print_steps(history)
    for candidate in (run.explanation or {}).get("candidates", []):
        verdict = "applies" if candidate["applies"] else "does not apply"
        out.print(f"  prompt {escape(candidate['slug'])} (priority {candidate['priority']}) {verdict}")
        for condition in candidate["conditions"]:
            mark = "[green]✓[/]" if condition["holds"] else "[red]✗[/]"
            text = f"{condition['field']} {condition['operator']} {condition['expected']!r}, saw {condition['seen']!r}"
            out.print(f"    {mark} {escape(text)}")
    for effect in history.effects:
        content = effect.content
        out.print(
            f"  {coloured(effect.status.value)} {escape(effect.kind)} "
            f"{escape(str(content.get('state')))}: {escape(str(content.get('description')))}"
            + (f" [red]{escape(effect.last_error)}[/]" if effect.last_error else "")
            + (f" [dim]{escape(effect.reason)}[/]" if effect.reason else "")
        )
    if log:
        typer.echo(history.log)


@app.command("cancel")
def cancel(run_id: RunId, as_json: AsJson = False) -> None:
    """Cancel a run in progress: it ends within seconds, and so does every process that it started."""

    async def work(runtime: Runtime) -> dict[str, Any]:
        async with runtime.database.transaction() as session:
            found = await resolve_id(session, RunModel, run_id)
            return run_line(await cancel_run(session, found, by=account()))

    line = with_runtime(work, as_json=as_json)
    if as_json:
        print_json(line)
    else:
        err.print(f"Run {line['id']} is about to end; `contexten runs show {line['id'][:8]}` shows when it has.")


def _print_others(history: RunHistory) -> None:
    """Print who ended a run or is about to, and which other events it has to do with."""
    run = history.run
    if run.cancel_requested_at is not None:
        ending = {RunStatus.RUNNING: "about to end", RunStatus.COMPLETED: "completed before it could be ended"}
        asked = f"asked for by {run.cancel_by}, {run.cancel_requested_at:%Y-%m-%d %H:%M:%S} UTC"
        out.print(f"  {ending.get(run.status, 'ended')}, {escape(asked)}")
    if run.superseded_by is not None:
        newest = history.successor
        its_run = f", whose newest run is {newest.id} ({result_of(newest)})" if newest else ", which has no run yet"
        out.print(f"  superseded by event {run.superseded_by}{its_run}")
    print_causes(run.causes)


def print_causes(causes: list[Any] | None) -> None:
    """Print the earlier events that a run stands for besides its own."""
    if causes:
        out.print(f"  stands for {len(causes)} earlier event{'' if len(causes) == 1 else 's'} too:")
    for cause in causes or ():
        received = cause["received_at"][:19].replace("T", " ")
        out.print(f"    event {cause['event_id']}  {received}  {escape(cause['name'])}")


def print_steps(history: RunHistory) -> None:
    """Print a run's steps: what each found and how long it took."""
    rows = [
        (
            coloured(step.status.value),
            escape(step.handler_name),
            f"{step.duration_ms:.0f} ms" if step.duration_ms is not None else "",
            escape(step.error_message or summarise_step(step.handler_name, step.output_data or {})),
        )
        for step in history.steps
    ]
    print_table("", ("", "step", "took", "found"), rows)
    for step in history.steps:
        for failure in failures_of(step):
            # The last failure of a step that failed is in the table.
            if failure["error"] != step.error_message:
                which = f"{step.handler_name} failed at attempt {failure['attempt']} of claim {failure['claim']}"
                out.print(f"  {escape(which)}: {escape(failure['error'])}")
