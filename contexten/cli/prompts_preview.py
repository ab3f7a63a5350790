"""`contexten prompts preview`: what a prompt would say about an event."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from contexten.cli.output import AsJson, err, print_json, with_runtime
from contexten_core.errors import InvalidInputError, NotFoundError
from contexten_core.events.history import resolve_id
from contexten_core.events.models import EventModel
from contexten_core.prompts.preview import Preview
from contexten_core.prompts.preview import preview as preview_of
from contexten_core.prompts.spec import PromptSpec
from contexten_core.prompts.templates.render import Renderer
from contexten_core.runtime import Runtime

_LARGEST_FILE = 10_000_000


def register(app: typer.Typer) -> None:
    """Add this command to `contexten prompts`."""
    app.command("preview")(preview)


@dataclass(frozen=True, slots=True)
class _Given:
    path: str
    value: Any


def _given(text: str) -> _Given:
    path, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text[:60]!r} is not PATH=VALUE, such as event.title=Hello")
    try:
        return _Given(path, json.loads(value))
    except (ValueError, RecursionError):
        return _Given(path, value)


def preview(
    slug: Annotated[
        str | None, typer.Argument(metavar="SLUG[@LABEL]", help="The prompt, with a label or version if not the live.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="Take the prompt from this file; SLUG says which, if it has several.", dir_okay=False
        ),
    ] = None,
    event: Annotated[str | None, typer.Option(help="The id of a stored event, or the beginning of one.")] = None,
    field: Annotated[
        list[_Given] | None,
        typer.Option(parser=_given, metavar="PATH=VALUE", help="A value instead of the event's: event.title=Hello."),
    ] = None,
    language: Annotated[str | None, typer.Option(help="Show the template for this language.")] = None,
    context_type: Annotated[str | None, typer.Option(help="Show the template for this kind of context.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a prompt would say about an event, without doing anything."""

    async def work(runtime: Runtime) -> Preview:
        prompt = _from_file(file, slug) if file is not None else _reference(slug)
        async with runtime.database.reading() as session, Renderer() as renderer:
            return await preview_of(
                session,
                renderer,
                prompt=prompt,
                event_id=await resolve_id(session, EventModel, event) if event is not None else None,
                fields={one.path: one.value for one in field or ()},
                language=language,
                context_type=context_type,
            )

    found = with_runtime(work, as_json=as_json)
    if as_json:
        print_json(asdict(found))
        return
    rendered = found.rendered
    name = found.slug if found.version is None else f"{found.slug} v{found.version}"
    err.print(f"[bold]{escape(name)}[/]" + (f", template {escape(rendered.template)}" if rendered.template else ""))
    if rendered.versions:
        err.print(f"[dim]includes {escape(', '.join(rendered.versions))}[/]")
    if found.absent:
        err.print(f"[yellow]not known:[/] {escape(', '.join(found.absent))}")
    for note in found.notes:
        err.print(f"[dim]{escape(note)}[/]")
    if rendered.system_text is not None:
        typer.echo(f"{rendered.system_text}\n\n---\n")
    typer.echo(rendered.text)


def _reference(slug: str | None) -> str:
    if slug is None:
        problem = "name a prompt, or give one with --file"
        raise InvalidInputError(problem, fields={"slug": problem})
    return slug


def _from_file(path: Path, slug: str | None) -> PromptSpec:
    """Return the one prompt that is meant of those in a file."""
    # Late: a preview of a stored prompt reads no YAML.
    from contexten_core.prompts.files import read_prompt_file

    try:
        data = path.read_bytes()
        if len(data) > _LARGEST_FILE:
            raise ValueError(f"larger than {_LARGEST_FILE:,} bytes")
        text = data.decode()
    except (OSError, ValueError) as error:
        raise NotFoundError(f"{path} cannot be read: {error}") from error
    specs = read_prompt_file(text, name=str(path))
    found = [spec for spec in specs if slug is None or spec.slug == slug]
    if len(found) != 1:
        has = ", ".join(spec.slug for spec in specs[:10]) or "no prompt"
        raise NotFoundError(f"{path} has {has}", hint="name one of them before --file")
    return found[0]
