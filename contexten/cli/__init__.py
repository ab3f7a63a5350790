"""The command line, one file per noun."""

import os

import typer

from contexten.cli import (
    analyse,
    db,
    demo,
    doctor,
    emulate,
    events,
    impact,
    projects,
    prompts,
    run,
    runs,
    serve,
    tokens,
)
from contexten.cli.output import failures_explained
from contexten_core.settings import get_settings
from deployments.home import Home
from deployments.prefect_server import client_environment

app = typer.Typer(
    name="contexten", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)


@app.callback()
def prepare() -> None:
    """Events from a team's tools become actions: serve, watch, look at what happened."""
    with failures_explained():
        home = Home(get_settings().home.absolute())
    for name, value in client_environment(home).items():
        os.environ.setdefault(name, value)


app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("run")(run.run)
app.command("analyse")(analyse.analyse)
app.command("impact")(impact.impact)
app.add_typer(events.app, name="events")
app.add_typer(emulate.app, name="emulate")
app.add_typer(runs.app, name="runs")
app.add_typer(projects.app, name="projects")
app.add_typer(prompts.app, name="prompts")
app.add_typer(tokens.app, name="tokens")
app.add_typer(db.app, name="db")
