"""Prompts: what is done for which event."""

from typing import Any

import typer
from rich.markup import escape
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.cli import (
    prompts_check,
    prompts_experiments,
    prompts_explain,
    prompts_files,
    prompts_preview,
    prompts_versions,
)
from contexten.cli.output import AsJson, Limit, print_json, print_table, with_session
from contexten_core.prompts import store

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.callback()
def prompts() -> None:
    """Prompts: what is done for which event."""


@app.command("list")
def list_prompts(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the prompts, with the conditions under which each applies and how it has done."""

    async def read(session: AsyncSession) -> list[dict[str, Any]]:
        return [
            {
                **row.to_dict(),
                "conditions": [condition.to_dict() for condition in await store.conditions_of(session, row.id)],
            }
            for row in await store.newest(session, limit=limit)
        ]

    rows = with_session(read, as_json=as_json)
    if as_json:
        print_json(rows)
        return
    print_table(
        "Prompts",
        ("prompt", "status", "command", "used", "success", "applies when"),
        [
            (
                escape(f"{row['slug']} v{row['version']}"),
                row["status"],
                escape(str(row["executor_config"].get("command"))),
                str(row["usage_count"]),
                "" if row["success_rate"] is None else f"{row['success_rate']:.0%}",
                escape(
                    "; ".join(f"{c['field_name']} {c['operator']} {c['expected_value']}" for c in row["conditions"])
                ),
            )
            for row in rows
        ],
    )


for part in (
    prompts_versions,
    prompts_files,
    prompts_check,
    prompts_preview,
    prompts_explain,
    prompts_experiments,
):
    part.register(app)
