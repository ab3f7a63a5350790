"""Store the prompts of files: all of them or, where one cannot be, none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.prompts import store, version_store, versions
from contexten_core.prompts.files.problems import PromptFileError, problem_at
from contexten_core.prompts.files.read import FilePrompt, read_prompts
from contexten_core.prompts.files.version import with_versions
from contexten_core.prompts.head import canonical
from contexten_core.prompts.spec import PromptSpec, content_of, digest_of

__all__ = ["Change", "Pushed", "push", "read_files", "stored_specs", "with_versions"]


class Change(StrEnum):
    """What a push did with a prompt."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Pushed:
    """One prompt after a push, and its newest version."""

    slug: str
    version: int
    change: Change


def read_files(files: Mapping[str, str]) -> dict[str, list[FilePrompt]]:
    """Return the prompts of several files by the files' names, checked in full.

    Raises:
        PromptFileError: something in one of them is wrong, or two of them have a prompt of the same slug.
    """
    found: dict[str, list[FilePrompt]] = {}
    first: dict[str, str] = {}
    for name, text in files.items():
        found[name] = read_prompts(text, name=name, texts=True)
        for prompt in found[name]:
            other = first.setdefault(prompt.spec.slug, name)
            if other != name:
                message = f"{other} has a prompt of the same slug, {prompt.spec.slug}"
                raise PromptFileError(name, [problem_at(prompt.place, message, prompt.path)])
    return found


async def push(
    session: AsyncSession, prompts: Sequence[FilePrompt], *, author: str, message: str, overwrite: bool = False
) -> list[Pushed]:
    """Make each prompt, or its next version, of what a file says; one that says the same as the newest stays.

    Args:
        overwrite: also where somebody else has made another version than the file was made from, or where the file
            does not say from which.

    Raises:
        ConflictError: somebody else has, or a file without a version names a prompt that exists and is another.
        InvalidInputError: a prompt cannot be as the file says.
    """
    await version_store.lock_catalogue(session)
    pushed = []
    for prompt in sorted(prompts, key=lambda one: one.spec.slug):
        stored = await version_store.prompt_by_slug(session, prompt.spec.slug)
        if stored is not None and stored.digest == digest_of(content_of(canonical(prompt.spec))):
            pushed.append(Pushed(stored.slug, stored.version, Change.UNCHANGED))
            continue
        saved = await versions.save_spec(
            session,
            prompt.spec,
            author=author,
            message=message,
            expected_version=None if overwrite else prompt.version or 0,
        )
        change = Change.CREATED if stored is None else Change.CHANGED
        pushed.append(Pushed(prompt.spec.slug, saved.version, change))
    return pushed


async def stored_specs(session: AsyncSession, slugs: Sequence[str]) -> dict[str, tuple[PromptSpec, int]]:
    """Return what these prompts are now, with their newest versions; those that do not exist are left out."""
    found = {}
    for slug in slugs:
        prompt = await store.by_slug(session, slug)
        if prompt is not None:
            found[slug] = (await versions.spec_of_prompt(session, prompt), prompt.version)
    return found
