"""Projects: the repositories that Contexten works for."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.cli.output import AsJson, Limit, err, print_json, print_table, with_runtime, with_session
from contexten.cli.prompts_versions import account
from contexten_core.projects import store
from contexten_core.projects.add import add_repository
from contexten_core.prompts.define import checks_of, define_prompt
from contexten_core.runtime import Runtime

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command("add")
def add(
    repository: Annotated[str, typer.Argument(help="owner/name, as GitHub's webhooks say it.")],
    command: Annotated[str, typer.Option(help="What to run on each push and pull request.")],
    clone_url: Annotated[
        str | None, typer.Option(help="Where the code is, if not at GitHub: a URL, or a folder of this machine.")
    ] = None,
    default_branch: Annotated[str, typer.Option(help="The branch that pull requests go to.")] = "main",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that the command may take.")] = 900,
    network: Annotated[
        list[str] | None,
        typer.Option(help="A host that the command may reach, such as pypi.org or *.pythonhosted.org; none otherwise."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a repository and the prompt that runs its own checks."""
    address = str(Path(clone_url).resolve()) if clone_url and Path(clone_url).is_dir() else clone_url

    async def work(runtime: Runtime) -> dict[str, Any]:
        async with runtime.database.transaction() as session:
            project, found = await add_repository(
                session, full_name=repository, clone_url=address, default_branch=default_branch
            )
            prompt = await define_prompt(
                session,
                checks_of(
                    project_slug=project.slug,
                    project_name=project.name,
                    command=command,
                    limits={"wall_seconds": timeout, **({"network": network} if network else {})},
                ),
                author=account(),
                message=f"Added {found.full_name}",
            )
            return {"project": project.slug, "repository": found.full_name, "prompt": prompt.slug}

    added = with_runtime(work, as_json=as_json)
    if as_json:
        print_json(added)
    else:
        err.print(f"{escape(added['repository'])} is known now; its prompt is {escape(added['prompt'])}.")


@app.command("list")
def list_projects(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the projects, with how their tasks have gone."""

    async def read(session: AsyncSession) -> list[dict[str, Any]]:
        return [row.to_dict() for row in await store.newest(session, limit=limit)]

    rows = with_session(read, as_json=as_json)
    if as_json:
        print_json(rows)
        return
    print_table(
        "Projects",
        ("project", "repository", "status", "tasks", "completed", "failed"),
        [
            (
                escape(row["slug"]),
                escape(row["full_name"] or ""),
                row["status"],
                str(row["total_tasks"]),
                str(row["completed_tasks"]),
                str(row["failed_tasks"]),
            )
            for row in rows
        ],
    )
