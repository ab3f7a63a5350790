"""Approvals: what waits for a person to say yes, and what they said."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.cli.output import AsJson, Limit, coloured, err, print_json, print_table, with_runtime, with_session
from contexten.cli.prompts_versions import account
from contexten_core.db import utc_now
from contexten_core.events.history import resolve_id
from contexten_core.runtime import Runtime
from contexten_core.tasks.approval_store import page_approvals
from contexten_core.tasks.approve import approval_line, decide
from contexten_core.tasks.forecast import told
from contexten_core.tasks.models import ApprovalModel, ApprovalStatus

app = typer.Typer(no_args_is_help=True, help=__doc__)
ApprovalId = Annotated[str, typer.Argument(help="An approval's id, or the beginning of one.")]


@app.command("list")
def list_approvals(
    limit: Limit = 20,
    status: Annotated[ApprovalStatus | None, typer.Option(help="Only approvals of this status.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the newest approvals: what is to be done, on which commit, and why somebody has to say yes."""

    async def read(session: AsyncSession) -> list[dict[str, Any]]:
        now = utc_now()
        page = await page_approvals(session, limit=limit, status=status, now=now)
        return [approval_line(row, now) for row in page.rows]

    lines = with_session(read, as_json=as_json)
    if as_json:
        print_json(lines)
        return
    print_table(
        "Approvals",
        ("id", "asked for", "subject", "commit", "prompt", "likely to take", "status", "reason"),
        [
            (
                line["id"][:8],
                line["created_at"][:19].replace("T", " "),
                escape(line["subject"]),
                line["commit_sha"][:7],
                escape(f"{line['plan']['prompt']} (version {line['plan']['version']})"),
                escape(told(line["plan"].get("expected"))),
                coloured(line["status"]) + (f" by {escape(line['decided_by'])}" if line["decided_by"] else ""),
                escape(line["reason"]),
            )
            for line in lines
        ],
    )


@app.command("approve")
def approve(approval_id: ApprovalId, as_json: AsJson = False) -> None:
    """Say yes: its event is handled again, and the commit is worked on as planned."""
    _decide(approval_id, approved=True, as_json=as_json)


@app.command("refuse")
def refuse(approval_id: ApprovalId, as_json: AsJson = False) -> None:
    """Say no: nothing is run."""
    _decide(approval_id, approved=False, as_json=as_json)


def _decide(approval_id: str, *, approved: bool, as_json: bool) -> None:
    async def work(runtime: Runtime) -> dict[str, Any]:
        now = utc_now()
        async with runtime.database.transaction() as session:
            found = await resolve_id(session, ApprovalModel, approval_id)
            row = await decide(session, runtime, found, approved=approved, by=account(), through="cli", now=now)
            return approval_line(row, now)

    line = with_runtime(work, as_json=as_json)
    if as_json:
        print_json(line)
        return
    then = "its event will be handled again" if approved else "nothing is run"
    err.print(f"{escape(line['commit_sha'][:7])} of {escape(line['subject'])} is {line['status']}; {then}.")
