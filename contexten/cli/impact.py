"""`contexten impact`: what a change means."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from contexten.cli.analysing import Progress, Repository, local_codebase, repository_name, with_analysis
from contexten.cli.output import AsJson, failures_explained, print_json
from contexten_core.codebase.impact import Impact
from contexten_core.codebase.local import impact_here
from contexten_core.errors import InvalidInputError

if TYPE_CHECKING:
    from contexten_core.db import Database
    from contexten_core.execution.git import GitMirrors
    from contexten_core.settings import Settings


def impact(
    repository: Repository,
    commits: Annotated[
        str,
        typer.Argument(metavar="BASE..HEAD", help="Two commits; with three dots from where the two parted."),
    ],
    as_json: AsJson = False,
) -> None:
    """Say what a change reaches: what it changes, who depends on that, which tests reach it, and how risky it looks."""
    with failures_explained(as_json=as_json):
        base, dots, head = _parse(commits)
        with local_codebase(repository) as codebase:
            found = None
            if codebase is not None:
                found = impact_here(codebase, base=base, head=head, since_merge_base=dots == "...")
    if found is None:
        found = _with_database(repository, base, head, since_merge_base=dots == "...", as_json=as_json)
    if as_json:
        print_json(asdict(found))
    else:
        from contexten.cli.impact_shown import show

        show(found)


def _with_database(repository: str, base: str, head: str, *, since_merge_base: bool, as_json: bool) -> Impact:
    from contexten_core.codebase.explore import assess_change

    async def work(database: "Database", settings: "Settings", mirrors: "GitMirrors", progress: Progress) -> Impact:
        return await assess_change(
            database,
            settings,
            mirrors,
            name=repository_name(repository),
            base=base,
            head=head,
            since_merge_base=since_merge_base,
            progress=progress,
        )

    return with_analysis(work, as_json=as_json)


def _parse(commits: str) -> tuple[str, str, str]:
    dots = "..." if "..." in commits else ".."
    base, _, head = commits.partition(dots)
    if dots not in commits or not (base or head):
        problem = f"{commits[:80]!r} is not of the form BASE..HEAD"
        raise InvalidInputError(problem, fields={"commits": problem}, hint="Such as main..my-branch, or HEAD~1..HEAD.")
    return base, dots, head
