"""Experiments with versions of prompts, and how each version does."""

import re
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.cli.output import AsJson, coloured, err, out, print_json, print_table, with_runtime, with_session
from contexten.cli.prompts_versions import Message, Slug, account
from contexten_core.db import utc_now
from contexten_core.errors import NotFoundError
from contexten_core.prompts import store
from contexten_core.prompts.choose import Variant
from contexten_core.prompts.experiments import conduct as experiments
from contexten_core.prompts.experiments import store as experiment_store
from contexten_core.prompts.experiments.results import Guardrails
from contexten_core.prompts.models import PromptExperimentModel, PromptModel
from contexten_core.prompts.usage import LONGEST_DAYS, UsageBy, usage_of
from contexten_core.runtime import Runtime

_VARIANT = re.compile(r"([0-9]{1,9}):([0-9]{1,7}(?:\.[0-9]{1,6})?)", re.ASCII)

experiment_app = typer.Typer(no_args_is_help=True, help="Have versions of a prompt share its events.")


def register(app: typer.Typer) -> None:
    """Add these commands to `contexten prompts`."""
    app.add_typer(experiment_app, name="experiment")
    app.command("usage")(usage)


def _variant(text: str) -> Variant:
    match = _VARIANT.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text[:60]!r} is not VERSION:WEIGHT, such as 3:50")
    return Variant(int(match[1]), float(match[2]))


@experiment_app.command("start")
def start(
    slug: Slug,
    variant: Annotated[
        list[Variant],
        typer.Option(
            parser=_variant, metavar="VERSION:WEIGHT", help="A version and its weight; the first is the control."
        ),
    ],
    minimum: Annotated[
        int, typer.Option(min=1, max=experiments.MOST_MINIMUM_SAMPLES, help="Runs of each version to wait for.")
    ] = 30,
    success_rate: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Guardrail: a version that succeeds in less than this share is stopped."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Guardrail: a version that takes longer than this on average is stopped.")
    ] = None,
    message: Message = None,
    as_json: AsJson = False,
) -> None:
    """Start an experiment: events go to these versions, by their weights, until one has proved better."""

    async def work(runtime: Runtime) -> dict[str, Any]:
        async with runtime.database.transaction() as session:
            prompt = await _prompt(session, slug)
            row = await experiments.start_experiment(
                session,
                prompt.id,
                variants=variant,
                minimum_samples=minimum,
                guardrails=Guardrails(success_rate, seconds),
                author=account(),
                message=message,
                may_protected=True,
                settings=runtime.settings,
                now=utc_now(),
            )
            return row.to_dict()

    row = with_runtime(work, as_json=as_json)
    _say(row, f"The experiment {row['name']} is running.", as_json=as_json)


@experiment_app.command("show")
def show(slug: Slug, as_json: AsJson = False) -> None:
    """Show a prompt's newest experiment, and what it shows so far."""

    async def read(session: AsyncSession) -> dict[str, Any]:
        row = await _newest(session, slug)
        return row.to_dict() | {"results": asdict(await experiments.results(session, row.id))}

    row = with_session(read, as_json=as_json)
    if as_json:
        print_json(row)
        return
    print_table(
        escape(row["name"]),
        ("version", "weight", "runs", "success", "seconds", "cost", "against the control", "better"),
        [_result_row(one) for one in row["results"]["variants"]],
    )
    out.print(f"{coloured(row['status'])}, started {row['started_at']} by {escape(row['author'])}")
    for one in row["results"]["variants"]:
        if one["stopped"]:
            out.print(f"version {one['version']} gets no more events: {escape(one['stopped'])}")
    proposal = row["proposal"]
    if proposal:
        version = "nothing" if proposal["version"] is None else f"version {proposal['version']}"
        out.print(f"proposes {version}: {escape(proposal['reason'])}")


def _result_row(one: dict[str, Any]) -> tuple[str, ...]:
    against = one["against_control"]
    return (
        f"{one['version']}{' (control)' if one['is_control'] else ''}",
        f"{one['weight']:g}",
        f"{one['samples']} of {one['exposures']}",
        "" if one["success_rate"] is None else f"{one['success_rate']:.0%} {_span(one['success_interval'])}",
        "" if one["mean_seconds"] is None else _seconds(one["mean_seconds"], one["seconds_interval"]),
        f"{one['cost']:.2f}",
        "" if against is None else f"{against['difference']:+.0%} {_span(against['interval'])}",
        "" if against is None else f"{against['probability_better']:.1%}",
    )


def _span(interval: dict[str, float]) -> str:
    return f"({interval['low']:.0%} to {interval['high']:.0%})"


def _seconds(mean: float, interval: dict[str, float] | None) -> str:
    return f"{mean:.1f}" + ("" if interval is None else f" ({interval['low']:.1f} to {interval['high']:.1f})")


@experiment_app.command("stop")
def stop(slug: Slug, message: Message = None, as_json: AsJson = False) -> None:
    """End a prompt's experiment without a proposal; events get the live version again."""

    async def work(runtime: Runtime) -> dict[str, Any]:
        async with runtime.database.transaction() as session:
            row = await _newest(session, slug)
            stopped = await experiments.stop_experiment(
                session, row.id, author=account(), message=message, now=utc_now()
            )
            return stopped.to_dict()

    row = with_runtime(work, as_json=as_json)
    _say(row, f"The experiment {row['name']} is stopped.", as_json=as_json)


@experiment_app.command("accept")
def accept(slug: Slug, message: Message = None, as_json: AsJson = False) -> None:
    """Label the version that a prompt's newest experiment proposes as `production`."""

    async def work(runtime: Runtime) -> dict[str, Any]:
        async with runtime.database.transaction() as session:
            row = await _newest(session, slug)
            accepted = await experiments.accept_proposal(
                session,
                row.id,
                author=account(),
                message=message,
                may_protected=True,
                settings=runtime.settings,
                now=utc_now(),
            )
            return accepted.to_dict()

    row = with_runtime(work, as_json=as_json)
    _say(row, f"Version {row['proposal']['version']} of {slug} is live now.", as_json=as_json)


def usage(
    slug: Slug,
    days: Annotated[int, typer.Option(min=1, max=LONGEST_DAYS, help="How many, today (UTC) included.")] = 30,
    by: Annotated[UsageBy, typer.Option(help="What to add up by.")] = UsageBy.VERSION,
    as_json: AsJson = False,
) -> None:
    """Show what came of a prompt: uses, success, time and cost."""

    async def read(session: AsyncSession) -> list[dict[str, Any]]:
        prompt = await _prompt(session, slug)
        return [asdict(one) for one in await usage_of(session, prompt.id, by=by, days=days, now=utc_now())]

    rows = with_session(read, as_json=as_json)
    if as_json:
        print_json([row | {"last_used_at": row["last_used_at"].isoformat()} for row in rows])
        return
    print_table(
        f"Usage of {escape(slug)} in {days} days",
        (by.value, "used", "success", "errors", "seconds", "cost", "last used"),
        [
            (
                escape(str(row["key"])),
                str(row["uses"]),
                f"{row['success_rate']:.0%} {_span(row['success_interval'])}",
                str(row["errors"]),
                f"{row['mean_seconds']:.1f}",
                f"{row['cost']:.2f}",
                row["last_used_at"].isoformat(timespec="seconds"),
            )
            for row in rows
        ],
    )


def _say(row: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(row)
    else:
        err.print(escape(sentence))


async def _newest(session: AsyncSession, slug: str) -> PromptExperimentModel:
    prompt = await _prompt(session, slug)
    row = await experiment_store.newest(session, prompt.id)
    if row is None:
        raise NotFoundError(
            f"there is no experiment of {slug}", hint=f"`contexten prompts experiment start {slug} ...` starts one"
        )
    return row


async def _prompt(session: AsyncSession, slug: str) -> PromptModel:
    prompt = await store.by_slug(session, slug)
    if prompt is None:
        raise NotFoundError(f"there is no prompt {slug!r}", hint="`contexten prompts list` shows those that there are")
    return prompt
