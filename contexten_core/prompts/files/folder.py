"""A folder of prompts: one file for each, written so that nothing is lost that somebody has changed there."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.paging import LARGEST_PAGE
from contexten_core.errors import ConfigurationError, NotFoundError
from contexten_core.prompts import store, versions
from contexten_core.prompts.files.read import FilePrompt, read_prompts
from contexten_core.prompts.files.schema import FilePart, schema_of
from contexten_core.prompts.files.write import write_prompts
from contexten_core.prompts.files.yaml import LARGEST_FILE, check_size, text_of
from contexten_core.prompts.models import PromptModel
from contexten_core.prompts.spec import PromptSpec, spec_of

SCHEMA_NAME = "prompts.schema.json"
_ENDINGS = frozenset({".yaml", ".yml"})
_MODELINE = f"# yaml-language-server: $schema={SCHEMA_NAME}\n"
_MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Written:
    """One prompt that was pulled, and the file that it is in.

    Attributes:
        problem: why the file was left as it was, although the prompt is another now.
    """

    path: Path
    slug: str
    version: int
    problem: str | None = None


def text_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files among these, and those ending in .yaml or .yml of the folders among them, once each."""
    found: dict[Path, None] = {}
    for path in paths:
        found |= dict.fromkeys(_inside(path) if path.is_dir() else [path])
    return list(found)[:_MOST_FILES]


def _inside(folder: Path) -> list[Path]:
    """Return the files of a folder, those apart that a name beginning with a dot hides: settings of other programs."""
    files = [path for path in folder.rglob("*") if path.suffix in _ENDINGS and path.is_file()]
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        PromptFileError: it is too large, or not UTF-8.
        ConfigurationError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
            check_size(max(len(data), path.stat().st_size), name=str(path))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", hint="Name a file that exists.") from None
    return text_of(data, name=str(path))


async def pull_into(
    session: AsyncSession, folder: Path, *, slugs: Sequence[str] | None = None, force: bool = False
) -> list[Written]:
    """Write prompts into a folder, each into `SLUG.yaml`, and their JSON schema beside them.

    A file that says the same already stays as it is, with its comments, and so does one with changes that were not
    pushed, unless `force`.

    Raises:
        NotFoundError: there is no prompt of one of these slugs.
        ConfigurationError: the folder cannot be written to.
        PromptFileError: a file in the folder cannot be read.
    """
    prompts = [await _prompt(session, slug) for slug in slugs] if slugs else await _all(session)
    there = _prompts_in(folder)
    written = []
    for prompt in prompts:
        spec = await versions.spec_of_prompt(session, prompt)
        path, count, found = there.get(prompt.slug, (folder / f"{prompt.slug}.yaml", 1, None))
        problem = None
        if found is not None and (found.spec, found.version) != (spec, prompt.version):
            problem = await _in_the_way(session, prompt, found, count=count, force=force)
        if problem is None and (found is None or (found.spec, found.version) != (spec, prompt.version)):
            text = _MODELINE + write_prompts([spec], versions={spec.slug: prompt.version})
            _write(path, text)
        written.append(Written(path, prompt.slug, prompt.version, problem))
    _write(folder / SCHEMA_NAME, _schema_text())
    return written


def _prompts_in(folder: Path) -> dict[str, tuple[Path, int, FilePrompt]]:
    """Return the prompts that are in a folder by their slugs, with their files and how many are in those."""
    several = {
        path: read_prompts(read_text(path), name=str(path)) for path in (_inside(folder) if folder.is_dir() else [])
    }
    return {prompt.spec.slug: (path, len(found), prompt) for path, found in several.items() for prompt in found}


async def _in_the_way(
    session: AsyncSession, prompt: PromptModel, found: FilePrompt, *, count: int, force: bool
) -> str | None:
    """Return why the file that a prompt is in must not be written over."""
    if count > 1:
        return f"{prompt.slug} stands here beside others, so it was not brought to version {prompt.version}"
    return (
        None
        if force or await _is_as_pulled(session, prompt, found)
        else (f"has changes of {prompt.slug} that were not pushed, so it was left; --force writes over them")
    )


async def _is_as_pulled(session: AsyncSession, prompt: PromptModel, found: FilePrompt) -> bool:
    if found.version is None:
        return False
    version = await versions.get_version(session, prompt.id, found.version)
    before: PromptSpec | None = None if version is None else spec_of(prompt.slug, version.content)
    return before == found.spec


async def _prompt(session: AsyncSession, slug: str) -> PromptModel:
    prompt = await store.by_slug(session, slug)
    if prompt is None:
        raise NotFoundError(f"there is no prompt {slug!r}", hint="`contexten prompts list` shows those that there are")
    return prompt


async def _all(session: AsyncSession) -> list[PromptModel]:
    found: list[PromptModel] = []
    cursor: str | None = None
    while True:
        page = await store.page_prompts(session, limit=LARGEST_PAGE, cursor=cursor)
        found += page.rows
        cursor = page.next_cursor
        if cursor is None:
            return sorted(found, key=lambda prompt: prompt.slug)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}", hint="Name a folder that is yours to write to."
        ) from None


def _schema_text() -> str:
    return json.dumps(schema_of(FilePart), indent=2) + "\n"
