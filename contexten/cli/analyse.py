"""`contexten analyse`: everything about one commit."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contexten.cli.analysing import Progress, Repository, local_codebase, repository_name, with_analysis
from contexten.cli.output import AsJson, failures_explained
from contexten_core.codebase.analysis import Analysis, roles_of

if TYPE_CHECKING:
    from contexten_core.db import Database
    from contexten_core.execution.git import GitMirrors
    from contexten_core.settings import Settings


def analyse(
    repository: Repository,
    commit: Annotated[
        str | None, typer.Option(metavar="SHA", help="A commit id, a branch or a tag; the newest commit without it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what is in a commit: languages, functions, modules, dependencies, tests, owners, hot spots."""
    with failures_explained(as_json=as_json), local_codebase(repository) as codebase:
        found = None if codebase is None else codebase.analyse(commit)
    analysis = _with_database(repository, commit, as_json=as_json) if found is None else found.analysis
    if not as_json:
        from contexten.cli.analysis_shown import show

        show(analysis)
    elif found is None:
        values = analysis.as_dict()
        _print(values, files=map(json.dumps, values["files"]))
    else:
        _print(analysis.as_dict(), files=_files(analysis, found.shown))


def _with_database(repository: str, commit: str | None, *, as_json: bool) -> Analysis:
    from contexten_core.codebase.explore import explore

    async def work(database: "Database", settings: "Settings", mirrors: "GitMirrors", progress: Progress) -> Analysis:
        name = repository_name(repository)
        return await explore(database, settings, mirrors, name=name, commit=commit, progress=progress)

    return with_analysis(work, as_json=as_json)


def _print(values: Mapping[str, Any], *, files: Iterable[str]) -> None:
    """Write a JSON object with a line for each member and each file: large, and still fit for line-based tools."""
    members = (
        f"{json.dumps(name)}: [\n{','.join(f'{chr(10)}{file}' for file in files)}\n]"
        if name == "files"
        else f"{json.dumps(name)}: {json.dumps(value, default=str)}"
        for name, value in values.items()
    )
    typer.echo("{\n" + ",\n".join(members) + "\n}")


def _files(analysis: Analysis, shown: Mapping[str, bytes]) -> Iterable[str]:
    for path, file in analysis.facts.files.items():
        roles = roles_of(path, says_generated=file.is_generated)
        yield f'{{"path":{json.dumps(path)},"roles":{json.dumps(roles)},{shown[path].decode("ascii")}}}'
