"""How every command speaks: results on stdout (a table, or JSON), progress and errors on stderr.

Rich and the stack are imported when they are used, since a short command would spend most of its time on that.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from contexten_core.errors import ContextenError

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.ext.asyncio import AsyncSession

    from contexten_core.runtime import Runtime

    out: Console
    err: Console

T = TypeVar("T")

# In a file or a pipe nobody's screen is too narrow.
_FILE_WIDTH = 200

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
    "superseded": "dim",
    "cancelled": "dim",
}


def __getattr__(name: str) -> Any:
    if name not in {"out", "err"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return console(stderr=name == "err")


@cache
def console(*, stderr: bool = False) -> "Console":
    """Return what writes to stdout or stderr; `out` and `err` of this module are the two."""
    from rich.console import Console

    if stderr:
        return Console(stderr=True, highlight=False, soft_wrap=True)
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _FILE_WIDTH)


def coloured(word: str) -> str:
    from rich.markup import escape

    colour = COLOURS.get(word)
    return f"[{colour}]{escape(word)}[/]" if colour else escape(word)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of Rich markup; outside text in them has been escaped by the caller."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table, soft_wrap=False)


@contextmanager
def failures_explained(*, as_json: bool = False) -> Iterator[None]:
    """Turn an error that a user can meet into its message and hint on stderr, and exit code 1."""
    try:
        yield
    except Exception as error:
        problem = _problem(error)
        if problem is None:
            raise
        _complain(problem, as_json=as_json)


def _problem(error: Exception) -> dict[str, Any] | None:
    """Say what a user is told of an error; None of one that nobody thought of."""
    if isinstance(error, ContextenError):
        return error.as_dict()
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return {"code": "configuration", "message": f"{place}: {first['msg']}", "hint": "see Settings in the README"}
    hint = "`contexten doctor` looks closer"
    if _is_of(error, "sqlalchemy.exc", "DBAPIError"):
        message = f"the database does not answer: {str(error).splitlines()[0]}"
        return {"code": "database", "message": message, "hint": hint}
    if isinstance(error, TimeoutError) or _is_of(error, "httpx", "HTTPError"):
        message = f"{type(error).__name__}: {error}".rstrip(": ")
        return {"code": "timeout", "message": message, "hint": hint}
    return None


def _is_of(error: Exception, module: str, name: str) -> bool:
    """Tell whether an error is one of a library; of a library that was not imported there are none."""
    return module in sys.modules and isinstance(error, getattr(sys.modules[module], name))


def _complain(problem: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": problem}), err=True)
    else:
        from rich.markup import escape

        err = console(stderr=True)
        err.print(f"[red]Error:[/] {escape(str(problem['message']))}")
        if problem.get("hint"):
            err.print(f"[dim]Hint:[/]  {escape(str(problem['hint']))}")
    raise typer.Exit(1)


def with_runtime(work: "Callable[[Runtime], Awaitable[T]]", *, as_json: bool = False) -> T:
    """Run `work` on the stack of this home (or the configured database) and return what it returns."""
    from contexten_core.runtime import open_runtime
    from contexten_core.settings import get_settings
    from deployments.attach import attached

    async def main() -> T:
        async with open_runtime(attached(get_settings())) as runtime:
            return await work(runtime)

    with failures_explained(as_json=as_json):
        return asyncio.run(main())
    raise AssertionError("unreachable: failures_explained exits")


def with_session(read: "Callable[[AsyncSession], Awaitable[T]]", *, as_json: bool = False) -> T:
    async def work(runtime: "Runtime") -> T:
        async with runtime.database.reading() as session:
            return await read(session)

    return with_runtime(work, as_json=as_json)
