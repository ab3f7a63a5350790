"""Prompts checked before an event tells: static checks, and what would have become of the newest events."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contexten.cli.output import AsJson, failures_explained, print_json, with_session
from contexten_core.errors import InvalidInputError
from contexten_core.prompts.files import PromptFileError
from contexten_core.prompts.files.yaml import text_of
from contexten_core.prompts.lint.lint import Finding, Severity, lint
from contexten_core.prompts.lint.places import CheckedFile, read_checked
from contexten_core.prompts.lint.stored import lint_stored
from contexten_core.prompts.whatif import MOST_EVENTS, WhatIf, whatif
from contexten_core.settings import get_settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

_MOST_BYTES = 1_000_000
_MOST_FILES = 2_000
_SUFFIXES = frozenset({".yaml", ".yml"})

Files = Annotated[list[Path], typer.Argument(help="Files of prompts, or folders of them.")]


def register(app: typer.Typer) -> None:
    """Add these commands to `contexten prompts`."""
    app.command("lint")(lint_prompts)
    app.command("whatif")(what_if)


def lint_prompts(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files of prompts, or folders of them; none for those that are stored.")
    ] = None,
    as_json: AsJson = False,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 on warnings as well.")] = False,
) -> None:
    """Check prompts: conditions that can never hold, prompts that others shadow, templates that cannot be rendered.

    Files are checked without a database. Ends with 1 when there is an error.
    """
    told = _of_files(paths) if paths else _of_store(as_json=as_json)
    if as_json:
        print_json(
            [{"file": name, "at_line": line, "at_column": column, **one.as_dict()} for name, line, column, one in told]
        )
    else:
        for name, line, column, finding in told:
            slug = f"{finding.slug}: " if finding.slug else ""
            place = f" ({finding.where})" if finding.where else ""
            where = f"{name}:{line}:{column}: " if name else ""
            typer.echo(f"{where}{finding.severity.value} {finding.code} {slug}{finding.message}{place}")
        _sum_up([finding for *_, finding in told])
    found = {finding.severity for *_, finding in told}
    if Severity.ERROR in found or (strict and Severity.WARNING in found):
        raise typer.Exit(1)


_Told = list[tuple[str | None, int | None, int | None, Finding]]


def _of_store(*, as_json: bool) -> _Told:
    async def check(session: "AsyncSession") -> list[Finding]:
        return await lint_stored(session, settings=get_settings())

    return [(None, None, None, finding) for finding in with_session(check, as_json=as_json)]


def _of_files(paths: Sequence[Path]) -> _Told:
    """Check files; one that cannot be read has its problems as findings, and is left out of the other checks."""
    told: _Told = []
    files: list[CheckedFile] = []
    with failures_explained():
        for path in _files(paths):
            name = str(path)
            try:
                files.append(read_checked(text_of(_bytes_of(path), name=name), name=name))
            except PromptFileError as error:
                for problem in error.problems:
                    message = f"{problem.path}: {problem.message}" if problem.path else problem.message
                    finding = Finding("file", Severity.ERROR, None, message)
                    told.append((name, problem.line, problem.column, finding))
    specs = [prompt.spec for file in files for prompt in file.prompts]
    for finding in lint(specs, is_whole=False):
        owners = [file for file in files if any(prompt.spec.slug == finding.slug for prompt in file.prompts)]
        file = owners[-1] if owners else None
        line, column = file.place(finding) if file else (1, 1)
        told.append((file.name if file else str(paths[0]), line, column, finding))
    return sorted(told, key=lambda one: (one[0] or "", one[1] or 0, one[2] or 0, one[3].code))


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(one for one in path.rglob("*") if one.suffix in _SUFFIXES) if path.is_dir() else [path]
        found |= dict.fromkeys(inside)
        if path.is_dir() and not inside:
            raise InvalidInputError(
                f"there is no file of prompts in {path}", fields={}, hint="they end in .yaml or .yml"
            )
    if len(found) > _MOST_FILES:
        raise InvalidInputError(
            f"there are {len(found)} files, more than {_MOST_FILES}", fields={}, hint="name fewer at once"
        )
    yield from found


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}", fields={}) from None


def _sum_up(findings: Sequence[Finding]) -> None:
    counts = Counter(finding.severity for finding in findings)
    parts = [f"{counts[severity]} {severity.value}{'s' if counts[severity] != 1 else ''}" for severity in Severity]
    typer.echo(", ".join(parts) if findings else "nothing to complain about", err=True)


def what_if(
    files: Files,
    last: Annotated[int, typer.Option("--last", min=1, max=MOST_EVENTS, help="How many events to replay.")] = 1_000,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", help="A prompt that would be gone; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay the newest stored events against changed prompts, and show which would choose differently.

    Prompts of the files are added, or take the place of those of the same slug. Nothing is written.
    """
    with failures_explained(as_json=as_json):
        names = list(_files(files))
        checked = [read_checked(text_of(_bytes_of(path), name=str(path)), name=str(path)) for path in names]
    specs = {prompt.spec.slug: prompt.spec for file in checked for prompt in file.prompts}

    async def replay(session: "AsyncSession") -> WhatIf:
        return await whatif(session, list(specs.values()), last=last, removed=remove or ())

    result = with_session(replay, as_json=as_json)
    if as_json:
        print_json(result.as_dict())
        return
    _print(result)


def _print(result: WhatIf) -> None:
    changes = {"added": result.added, "replaced": result.replaced, "removed": result.removed}
    for what, slugs in changes.items():
        if slugs:
            typer.echo(f"{what}: {', '.join(slugs)}")
    if result.unchanged:
        typer.echo(f"unchanged: {', '.join(result.unchanged)}")
    for line in _counts(result):
        typer.echo(line)
    for move in result.moves:
        typer.echo(f"\n{move.before or 'ignored'} -> {move.after or 'ignored'}: {move.count}")
        for example in move.examples:
            typer.echo(f"  {example.event_id}  {example.title}\n    {example.why}")
    if result.other_moves:
        typer.echo(f"\nand {result.other_moves} events that move otherwise")
    if result.unknown_examples:
        typer.echo("\nunknown:")
    for example in result.unknown_examples:
        typer.echo(f"  {example.event_id}  {example.title}\n    {example.why}")


def _counts(result: WhatIf) -> Iterator[str]:
    named: dict[str, Any] = {
        "events": result.events,
        "the same prompt": result.same,
        "  of these, which says something else": result.same_but_changed,
        "another prompt": result.different,
        "newly handled": result.newly_handled,
        "newly ignored": result.newly_ignored,
        "unknown": result.unknown,
    }
    width = max(len(name) for name in named)
    yield from (f"{name.ljust(width)}  {count}" for name, count in named.items())
