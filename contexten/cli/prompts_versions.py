"""Versions of prompts: shown, labelled, restored, and who changed what and why."""

import getpass
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape
from sqlalchemy.ext.asyncio import AsyncSession

from contexten.cli.output import AsJson, Limit, coloured, err, print_json, print_table, with_runtime, with_session
from contexten_core.errors import NotFoundError
from contexten_core.inputs import LARGEST_COUNT, checked
from contexten_core.prompts import store, versions
from contexten_core.prompts.change import update_prompt
from contexten_core.prompts.changes import page_changes
from contexten_core.prompts.files import write_prompt_file
from contexten_core.prompts.inputs import PromptUpdate
from contexten_core.prompts.labels import labels_of, remove_label, set_label
from contexten_core.prompts.models import PromptModel, PromptStatus
from contexten_core.prompts.spec import LATEST, LIVE, spec_of
from contexten_core.runtime import Runtime

T = TypeVar("T")

Slug = Annotated[str, typer.Argument(help="The prompt.")]
Version = Annotated[int, typer.Argument(min=1, max=LARGEST_COUNT, help="The number of the version.")]
Message = Annotated[str | None, typer.Option("--message", "-m", help="Why, for the prompt's history.")]


def register(app: typer.Typer) -> None:
    """Add these commands to `contexten prompts`."""
    for command in (show, list_versions, history, label, restore, status):
        app.command(_NAMES.get(command, command.__name__))(command)


def account() -> str:
    """Return who uses this machine, as an author: the account's name, or its number where it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def show(
    reference: Annotated[str, typer.Argument(metavar="SLUG[@LABEL|@VERSION]", help="The prompt; alone, what is live.")],
    as_json: AsJson = False,
) -> None:
    """Show what a version of a prompt says, as in a file of prompts."""
    slug, _, wanted = reference.partition("@")

    async def read(session: AsyncSession) -> dict[str, Any]:
        prompt, version = await versions.get_reference(session, slug, wanted or None)
        return version.to_dict() | {
            "slug": prompt.slug,
            "status": prompt.status.value,
            "newest": prompt.version,
            "labels": _labels_on(version.version, prompt.version, await labels_of(session, prompt.id)),
        }

    found = with_session(read, as_json=as_json)
    if as_json:
        print_json(found)
        return
    labels = "".join(f", {label}" for label in found["labels"])
    err.print(f"{escape(slug)}, {coloured(found['status'])}, version {found['version']} of {found['newest']}{labels}")
    err.print(f"[dim]by {escape(found['author'])}: {escape(found['message'])}[/]")
    typer.echo(write_prompt_file([spec_of(found["slug"], found["content"])]), nl=False)


def _labels_on(version: int, newest: int, labels: dict[str, int]) -> list[str]:
    """Return the labels of a version; without `production` the newest is what is live."""
    return [label for label, number in ({LATEST: newest, LIVE: newest} | labels).items() if number == version]


def list_versions(slug: Slug, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the newest versions of a prompt."""

    async def read(session: AsyncSession) -> list[dict[str, Any]]:
        prompt = await _prompt(session, slug)
        labels = await labels_of(session, prompt.id)
        page = await versions.page_versions(session, prompt_id=prompt.id, limit=limit)
        return [row.to_dict() | {"labels": _labels_on(row.version, prompt.version, labels)} for row in page.rows]

    rows = with_session(read, as_json=as_json)
    if as_json:
        print_json(rows)
        return
    print_table(
        f"Versions of {escape(slug)}",
        ("version", "labels", "at", "author", "message"),
        [
            (
                str(row["version"]),
                escape(", ".join(row["labels"])),
                _minute(row["created_at"]),
                escape(row["author"]),
                escape(row["message"]),
            )
            for row in rows
        ],
    )


def history(slug: Slug, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the newest changes of a prompt, also of one that was removed: who, why and what."""

    async def read(session: AsyncSession) -> list[dict[str, Any]]:
        rows = [row.to_dict() for row in (await page_changes(session, slug=slug, limit=limit)).rows]
        if not rows:
            await _prompt(session, slug)
        return rows

    rows = with_session(read, as_json=as_json)
    if as_json:
        print_json(rows)
        return
    print_table(
        f"Changes of {escape(slug)}",
        ("at", "change", "version", "author", "message"),
        [
            (
                _minute(row["created_at"]),
                row["change"],
                "" if row["version"] is None else str(row["version"]),
                escape(row["author"]),
                escape(row["message"]),
            )
            for row in rows
        ],
    )


def label(
    slug: Slug,
    name: Annotated[str, typer.Argument(metavar="LABEL", help="Such as production: the version that is live.")],
    version: Annotated[
        int | None, typer.Argument(min=1, max=LARGEST_COUNT, help="The version to put it on; not with --remove.")
    ] = None,
    message: Message = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the label off.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a label on a version of a prompt, or take it off."""
    if (version is None) is not remove:
        raise typer.BadParameter("give either a version or --remove")

    async def work(session: AsyncSession, runtime: Runtime) -> None:
        prompt = await _prompt(session, slug)
        move = partial(set_label, version=version) if version is not None else remove_label
        is_there = await move(
            session,
            prompt.id,
            name,
            author=account(),
            message=message,
            may_protected=True,
            settings=runtime.settings,
        )
        if not is_there:
            raise NotFoundError(f"{slug} has no label {name!r}", hint=f"`contexten prompts versions {slug}` shows them")

    _change(work, as_json=as_json)
    if as_json:
        print_json({"slug": slug, "label": name, "version": version})
    else:
        where = f"is on version {version} of" if version else "is off"
        err.print(f"{escape(name)} {where} {escape(slug)} now.")


def restore(slug: Slug, version: Version, message: Message = None, as_json: AsJson = False) -> None:
    """Make what an earlier version said the newest version again; labels stay where they are."""

    async def work(session: AsyncSession, runtime: Runtime) -> versions.Saved:  # noqa: ARG001
        prompt = await _prompt(session, slug)
        return await versions.restore_version(session, prompt, version, author=account(), message=message)

    saved = _change(work, as_json=as_json)
    if as_json:
        print_json({"slug": slug, "version": saved.version, "is_new": saved.is_new})
    elif saved.is_new:
        err.print(f"{escape(slug)} says in version {saved.version} what it said in version {version}.")
    else:
        err.print(f"{escape(slug)} says what it said in version {version} already.")


def status(
    slug: Slug,
    wanted: Annotated[PromptStatus, typer.Argument(metavar="STATUS", help="Only active prompts are selected.")],
    message: Message = None,
    as_json: AsJson = False,
) -> None:
    """Change a prompt's status, such as to active or inactive."""

    async def work(session: AsyncSession, runtime: Runtime) -> None:  # noqa: ARG001
        prompt = await _prompt(session, slug)
        changes = checked(PromptUpdate, {"status": wanted})
        await update_prompt(session, prompt.id, changes, author=account(), message=message)

    _change(work, as_json=as_json)
    if as_json:
        print_json({"slug": slug, "status": wanted.value})
    else:
        err.print(f"{escape(slug)} is {wanted.value} now.")


_NAMES: dict[Callable[..., None], str] = {list_versions: "versions"}


def _change(work: Callable[[AsyncSession, Runtime], Awaitable[T]], *, as_json: bool) -> T:
    async def main(runtime: Runtime) -> T:
        async with runtime.database.transaction() as session:
            return await work(session, runtime)

    return with_runtime(main, as_json=as_json)


async def _prompt(session: AsyncSession, slug: str) -> PromptModel:
    prompt = await store.by_slug(session, slug)
    if prompt is None:
        raise versions.no_prompt(slug)
    return prompt


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")
