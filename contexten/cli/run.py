"""Run a flow of the catalogue."""

import json
import logging
from typing import Annotated, Any

import typer
from rich.markup import escape

from contexten.cli.output import AsJson, coloured, err, failures_explained, out, print_json
from contexten.run import FlowResult, run_flow
from contexten_core.errors import ConfigurationError
from contexten_core.settings import get_settings
from deployments.home import Home


def run(
    name: Annotated[str, typer.Argument(metavar="FLOW", help="A flow's name, such as lifecycle or learning.")],
    parameters: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", metavar="KEY=VALUE", help="A parameter; JSON or text.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Wait for the end, and exit with 1 unless it completed.")
    ] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait for the end.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a flow on the stack of this home; where none runs, a temporary one is started and the run is waited for."""
    # Prefect complains on import when the folder that we gave it is missing.
    Home(get_settings().home.absolute()).create()
    import prefect.main  # noqa: F401 - sets up logging, which would undo the next line later
    from prefect.exceptions import ParameterTypeError, SignatureMismatchError

    # What it logs about wrong parameters is in the error that we show.
    logging.getLogger("prefect.flows").setLevel(logging.CRITICAL)
    with failures_explained(as_json=as_json):
        given = dict(_parse(parameter) for parameter in parameters or [])
        err.print(f"[dim]Running {escape(name)}…[/]")
        try:
            result = run_flow(name, wait=watch, timeout=timeout, **given)
        except (ParameterTypeError, SignatureMismatchError, TypeError) as error:
            raise ConfigurationError(f"the parameters do not fit {name}: {error}") from error
    _show(result, as_json=as_json)
    if watch and result.state != "Completed":
        raise typer.Exit(1)


def _parse(parameter: str) -> tuple[str, Any]:
    key, separator, value = parameter.partition("=")
    if not separator or not key:
        raise ConfigurationError(f"{parameter!r} is not of the form KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _show(result: FlowResult, *, as_json: bool) -> None:
    if as_json:
        values = {"name": result.name, "run_id": str(result.run_id), "state": result.state}
        print_json({**values, "result": result.result, "url": result.url})
        return
    out.print(f"{escape(result.name)}  {coloured(result.state.lower())}  {result.url}")
    if isinstance(result.result, dict):
        texts = {key: str(value) for key, value in result.result.items() if value is not None}
        # What takes several lines comes last, on lines of its own.
        for key, text in sorted(texts.items(), key=lambda item: ("\n" in item[1], item[0])):
            out.print(f"\n{escape(text)}" if "\n" in text else f"  {escape(key):<14}{escape(text)}")
