"""Doctor: what a stack needs on this machine, and what is missing."""

import asyncio
from dataclasses import asdict

import typer
from rich.markup import escape

from contexten.cli.output import AsJson, failures_explained, out, print_json
from contexten_core.settings import get_settings
from deployments.diagnosis import Finding, Level, diagnose

_MARKS = {Level.OK: "[green]✓[/]", Level.WARNING: "[yellow]![/]", Level.PROBLEM: "[red]✗[/]"}


def doctor(as_json: AsJson = False) -> None:
    """Check versions, ports, database, Prefect, git, sandbox and providers; exit with 1 if something is wrong."""

    async def collect() -> list[Finding]:
        return [finding async for finding in diagnose(get_settings())]

    with failures_explained(as_json=as_json):
        findings = asyncio.run(collect())
        if as_json:
            print_json([asdict(finding) for finding in findings])
        for finding in [] if as_json else findings:
            out.print(f"{_MARKS[finding.level]} {finding.subject:<11} {escape(finding.message)}")
            if finding.hint:
                out.print(f"  {'':<11} [dim]{escape(finding.hint)}[/]")
        raise typer.Exit(1 if any(finding.level is Level.PROBLEM for finding in findings) else 0)
