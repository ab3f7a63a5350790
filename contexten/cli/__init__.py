"""The command line, one file per noun."""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup
from typer.main import get_group

if TYPE_CHECKING:
    # Typer has a click of its own, and hides it.
    from typer._click.core import Command

_COMMANDS = ("serve", "demo", "doctor", "run", "analyse", "impact")
_NOUNS = ("events", "emulate", "runs", "approvals", "projects", "prompts", "tokens", "db")
_WITHOUT_PREFECT = frozenset({"analyse", "impact"})


class _Commands(TyperGroup):
    """Imports a command when it is called, or its help is shown: all of them take longer to import than most to run."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # noqa: ARG002
        return [*_COMMANDS, *_NOUNS]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> "Command | None":  # type: ignore[override]  # likewise
        if cmd_name not in self.commands and cmd_name in self.list_commands(ctx):
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands.get(cmd_name)


def _load(name: str) -> "Command":
    module = import_module(f"contexten.cli.{name}")
    holder = typer.Typer(pretty_exceptions_enable=False)
    if name in _NOUNS:
        holder.add_typer(module.app, name=name)
    else:
        holder.command(name)(getattr(module, name))
    return get_group(holder).commands[name]


app = typer.Typer(
    cls=_Commands,
    name="contexten",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=__doc__,
)


@app.callback()
def prepare(context: typer.Context) -> None:
    """Events from a team's tools become actions: serve, watch, look at what happened."""
    if context.invoked_subcommand in _WITHOUT_PREFECT:
        return
    for name, value in _prefect_environment().items():
        os.environ.setdefault(name, value)


def _prefect_environment() -> Mapping[str, str]:
    from contexten.cli.output import failures_explained
    from contexten_core.settings import get_settings
    from deployments.home import Home
    from deployments.prefect_server import client_environment

    with failures_explained():
        return client_environment(Home(get_settings().home.absolute()))
    raise AssertionError("unreachable: failures_explained exits")
