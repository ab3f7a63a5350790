"""How every command speaks: results on stdout (a table, or JSON), progress and errors on stderr."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import httpx
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.errors import ContextenError
from contexten_core.runtime import Runtime, open_runtime
from contexten_core.settings import get_settings
from deployments.attach import attached

T = TypeVar("T")

# In a file or a pipe nobody's screen is too narrow.
_FILE_WIDTH = 200
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _FILE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500, help="How many to show.")]

COLOURS = {
    "success": "green",
    "completed": "green",
    "sent": "green",
    "failure": "red",
    "failed": "red",
    "error": "red",
    "dead": "red",
    "running": "yellow",
    "processing": "yellow",
    "retrying": "yellow",
    "ignored": "dim",
    "skipped": "dim",
}


def coloured(word: str) -> str:
    colour = COLOURS.get(word)
    return f"[{colour}]{escape(word)}[/]" if colour else escape(word)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of Rich markup; outside text in them has been escaped by the caller."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table, soft_wrap=False)


@contextmanager
def failures_explained(*, as_json: bool = False) -> Iterator[None]:
    """Turn an error that a user can meet into its message and hint on stderr, and exit code 1."""
    try:
        yield
    except ContextenError as error:
        _complain(error.as_dict(), as_json=as_json)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        problem = {"code": "configuration", "message": f"{place}: {first['msg']}", "hint": "see Settings in the README"}
        _complain(problem, as_json=as_json)
    except DBAPIError as error:
        message = f"the database does not answer: {str(error).splitlines()[0]}"
        _complain({"code": "database", "message": message, "hint": "`contexten doctor` looks closer"}, as_json=as_json)
    except (httpx.HTTPError, TimeoutError) as error:
        message = f"{type(error).__name__}: {error}".rstrip(": ")
        _complain({"code": "timeout", "message": message, "hint": "`contexten doctor` looks closer"}, as_json=as_json)


def _complain(problem: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": problem}), err=True)
    else:
        err.print(f"[red]Error:[/] {escape(str(problem['message']))}")
        if problem.get("hint"):
            err.print(f"[dim]Hint:[/]  {escape(str(problem['hint']))}")
    raise typer.Exit(1)


def with_runtime(work: Callable[[Runtime], Awaitable[T]], *, as_json: bool = False) -> T:
    """Run `work` on the stack of this home (or the configured database) and return what it returns."""

    async def main() -> T:
        async with open_runtime(attached(get_settings())) as runtime:
            return await work(runtime)

    with failures_explained(as_json=as_json):
        return asyncio.run(main())
    raise AssertionError("unreachable: failures_explained exits")


def with_session(read: Callable[[AsyncSession], Awaitable[T]], *, as_json: bool = False) -> T:
    async def work(runtime: Runtime) -> T:
        async with runtime.database.reading() as session:
            return await read(session)

    return with_runtime(work, as_json=as_json)
