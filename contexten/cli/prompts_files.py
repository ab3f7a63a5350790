"""Prompts as files: pulled, compared, pushed; and the starter set."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.cli.output import (
    AsJson,
    err,
    out,
    print_json,
    print_table,
    with_runtime,
    with_session,
)
from contexten.cli.prompts_versions import account
from contexten_core.db.paging import LARGEST_PAGE
from contexten_core.errors import ConfigurationError
from contexten_core.projects import store
from contexten_core.prompts.files import diff_specs, schema
from contexten_core.prompts.files.folder import Written, pull_into, read_text, text_files
from contexten_core.prompts.files.push import Change, Pushed, push, read_files, stored_specs, with_versions
from contexten_core.prompts.project_file.read import project_schema
from contexten_core.prompts.starter.commands import commands_of
from contexten_core.runtime import Runtime

Paths = Annotated[list[Path], typer.Argument(help="Files of prompts, or folders of them.")]
_MESSAGE = "Pushed from files"


class _DryRunError(Exception):
    """Ends a transaction that was only to show what would be."""

    def __init__(self, pushed: list[Pushed]) -> None:
        super().__init__()
        self.pushed = pushed


def register(app: typer.Typer) -> None:
    """Add these commands to `contexten prompts`."""
    for name, command in (
        ("pull", pull),
        ("push", push_files),
        ("diff", diff),
        ("schema", print_schema),
        ("init", init),
    ):
        app.command(name)(command)


def pull(
    folder: Annotated[Path, typer.Argument(help="Where the files go.")] = Path("prompts"),
    slug: Annotated[list[str] | None, typer.Option("--slug", help="Only this prompt; may be repeated.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also over changes that were not pushed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write each prompt's newest version into a file of its own."""

    async def work(session: AsyncSession) -> list[Written]:
        return await pull_into(session, folder, slugs=slug or None, force=force)

    written = with_session(work, as_json=as_json)
    kept = [one for one in written if one.problem]
    if as_json:
        print_json(
            [
                {"file": str(one.path), "slug": one.slug, "version": one.version, "problem": one.problem}
                for one in written
            ]
        )
    for one in kept:
        err.print(f"[yellow]{escape(str(one.path))}: {escape(str(one.problem))}[/]")
    err.print(f"{len(written) - len(kept)} prompts are in {escape(str(folder))}.")
    if kept:
        raise typer.Exit(1)


def push_files(
    paths: Paths,
    message: Annotated[str, typer.Option("--message", "-m", help="Why, for the history.")] = _MESSAGE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, and store nothing.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also over versions that the files were not made from.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Store the prompts of files as their next versions: all of them or, where one cannot be, none."""

    async def work(runtime: Runtime) -> list[Pushed]:
        files = await asyncio.to_thread(_read_all, paths)
        found = await asyncio.to_thread(read_files, {str(path): text for path, text in files.items()})
        prompts = [prompt for several in found.values() for prompt in several]
        try:
            async with runtime.database.transaction() as session:
                pushed = await push(session, prompts, author=account(), message=message, overwrite=overwrite)
                if dry_run:
                    raise _DryRunError(pushed)
        except _DryRunError as stopped:
            return stopped.pushed
        await asyncio.to_thread(_note_versions, files, {one.slug: one.version for one in pushed})
        return pushed

    pushed = with_runtime(work, as_json=as_json)
    if as_json:
        print_json([{"slug": one.slug, "version": one.version, "change": one.change.value} for one in pushed])
        return
    for one in pushed:
        style = "dim" if one.change is Change.UNCHANGED else "green"
        out.print(f"[{style}]{one.change.value:<10}[/]{escape(one.slug)} v{one.version}")
    if dry_run:
        err.print("Nothing was stored.")


def diff(paths: Paths, as_json: AsJson = False) -> None:
    """Show what files say differently than the newest versions; exit code 1 where they do."""

    async def work(session: AsyncSession) -> dict[str, str]:
        files = await asyncio.to_thread(_read_all, paths)
        found = await asyncio.to_thread(read_files, {str(path): text for path, text in files.items()})
        wanted = {prompt.spec.slug: (name, prompt.spec) for name, several in found.items() for prompt in several}
        stored = await stored_specs(session, list(wanted))
        differences = {}
        for slug, (name, spec) in sorted(wanted.items()):
            old, version = stored.get(slug, (None, 0))
            difference = diff_specs(old, spec, names=(f"{slug} v{version}" if version else "nothing", name))
            if difference:
                differences[slug] = difference
        return differences

    differences = with_session(work, as_json=as_json)
    if as_json:
        print_json(differences)
    else:
        typer.echo("".join(differences.values()), nl=False)
    if differences:
        raise typer.Exit(1)


def print_schema(
    project: Annotated[bool, typer.Option("--project", help="Of a repository's .contexten.yaml instead.")] = False,
) -> None:
    """Write the JSON schema of files of prompts, for editors."""
    print_json(project_schema() if project else schema())


def init(as_json: AsJson = False) -> None:
    """Install the starter set: prompts that are useful as they are, and that show how others are written."""
    from contexten_core.prompts.starter.install import install_starter

    async def work(runtime: Runtime) -> list[dict[str, Any]]:
        async with runtime.database.reading() as session:
            projects = await store.newest(session, limit=LARGEST_PAGE)
        commands, unseen = await commands_of(runtime, projects)
        for problem in unseen:
            err.print(f"[yellow]{escape(problem)}[/]")
        async with runtime.database.transaction() as session:
            installed = await install_starter(
                session, runtime.settings, author=account(), projects=projects, commands=commands
            )
        return [{"slug": one.slug, "status": one.status, "installed": one.is_new, "why": one.why} for one in installed]

    installed = with_runtime(work, as_json=as_json)
    if as_json:
        print_json(installed)
        return
    print_table(
        "Starter set",
        ("prompt", "status", ""),
        [(escape(one["slug"]), one["status"] or "", escape(one["why"])) for one in installed],
    )


def _read_all(paths: Sequence[Path]) -> dict[Path, str]:
    files = {path: read_text(path) for path in text_files(paths)}
    if not files:
        raise ConfigurationError("there is no file of prompts there", hint="Name files ending in .yaml, or a folder.")
    return files


def _note_versions(files: dict[Path, str], versions: dict[str, int]) -> None:
    for path, text in files.items():
        changed = with_versions(text, versions)
        if changed != text:
            try:
                path.write_text(changed, encoding="utf-8", newline="")
            except OSError as error:
                sys.stderr.write(f"{path}: the new version could not be noted: {error.strerror}\n")
