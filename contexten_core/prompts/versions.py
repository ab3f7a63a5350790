"""Versions of prompts: kept with every change, found again by number or label, restored.

Whoever changes prompts locks the catalogue first, then the prompt. So changes come one after the other, revisions are
committed in their order, and nobody waits for somebody who waits for them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.db.paging import Page
from contexten_core.db.rows import set_values, taken_as
from contexten_core.errors import ConflictError, InvalidInputError
from contexten_core.execution.executor import installed
from contexten_core.prompts import version_store
from contexten_core.prompts.changes import note_change, signed
from contexten_core.prompts.head import (
    canonical,
    columns_of,
    condition_columns,
    condition_of,
    spec_of_rows,
    template_columns,
)
from contexten_core.prompts.inputs import check_spec, executor_problem
from contexten_core.prompts.models import (
    PromptChange,
    PromptConditionModel,
    PromptModel,
    PromptStatus,
    PromptTemplateModel,
    PromptVersionModel,
)
from contexten_core.prompts.references import get_reference, no_prompt, no_version, resolve_reference
from contexten_core.prompts.spec import ConditionSpec, PromptSpec, content_of, digest_of, spec_of
from contexten_core.prompts.templates.saving import check_texts

__all__ = [
    "Saved",
    "get_reference",
    "get_version",
    "keep_version",
    "no_prompt",
    "no_version",
    "page_versions",
    "resolve_reference",
    "restore_version",
    "save_spec",
    "set_status",
    "slug_taken",
    "spec_of_prompt",
    "touch",
]

logger = logging.getLogger(__name__)

P = TypeVar("P", PromptTemplateModel, PromptConditionModel)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Saved:
    """A prompt that was saved, its newest version, and whether that is a new one."""

    prompt: PromptModel
    version: int
    is_new: bool


async def save_spec(
    session: AsyncSession,
    spec: PromptSpec,
    *,
    author: str,
    message: str,
    status: PromptStatus | None = None,
    expected_version: int | None = None,
) -> Saved:
    """Make a prompt, or its next version; one that says the same as the newest changes nothing.

    Args:
        status: left out, a prompt keeps its own, and a new one is active if something can carry it out.
        expected_version: the version that the author started from; 0 where there must be none yet.

    Raises:
        ConflictError: the newest version is not the expected one.
        InvalidInputError: the spec holds what a prompt cannot, it would be active without anything that carries it
            out, or author or message are missing or too long.
    """
    author, message = signed(author, message)
    check_spec(spec)
    spec = canonical(spec)
    await version_store.lock_catalogue(session)
    prompt = await version_store.prompt_by_slug(session, spec.slug)
    await check_expected(session, spec.slug, prompt, expected_version)
    problem = executor_problem(spec.executor, spec.executor_config)
    if prompt is None:
        status = status or (PromptStatus.INACTIVE if problem else PromptStatus.ACTIVE)
    before = None if prompt is None else prompt.status
    must_run(status or before, problem)
    if prompt is None:
        prompt = PromptModel(id=uuid4(), status=status, **columns_of(spec))
        async with taken_as(session, slug_taken(spec.slug)):
            session.add(prompt)
    if digest_of(content_of(spec)) != prompt.digest:
        set_values(prompt, columns_of(spec))
        await _write_templates(session, prompt, spec)
        await _write_conditions(session, prompt, spec)
    is_new = await keep_version(session, prompt, author=author, message=message)
    if before is not None and status is not None:
        await set_status(session, prompt, status, author=author, message=message)
    return Saved(prompt, prompt.version, is_new)


async def _write_templates(session: AsyncSession, prompt: PromptModel, spec: PromptSpec) -> None:
    wanted = [(template.name, template_columns(template)) for template in spec.templates]
    rows = await version_store.templates_in_order(session, prompt.id)
    await _arrange(session, PromptTemplateModel, prompt.id, rows, wanted, lambda row: row.template_name)


async def _write_conditions(session: AsyncSession, prompt: PromptModel, spec: PromptSpec) -> None:
    wanted = [(_key(condition), condition_columns(condition)) for condition in spec.conditions]
    rows = await version_store.conditions_in_order(session, prompt.id)
    await _arrange(
        session,
        PromptConditionModel,
        prompt.id,
        rows,
        wanted,
        lambda row: _key(condition_of(row)) if row.is_active else "",
    )


def _key(condition: ConditionSpec) -> str:
    return digest_of(condition_columns(condition))


async def _arrange(
    session: AsyncSession,
    model: type[P],
    prompt_id: UUID,
    rows: Sequence[P],
    wanted: Sequence[tuple[str, Mapping[str, Any]]],
    key_of: Callable[[P], str],
) -> None:
    """Make a prompt's rows those that are wanted, in that order; rows of the same key stay, with their figures.

    The order is that of `created_at`, which moves forward where a row has come to stand behind later ones.
    """
    present = {key_of(row): row for row in rows}
    kept = {key: present.pop(key) for key, _ in wanted if key in present}
    kept_ids = {row.id for row in kept.values()}
    for row in rows:
        if row.id not in kept_ids:
            await session.delete(row)
    await session.flush()
    now, last = utc_now(), None
    for key, values in wanted:
        if key in kept:
            row = kept.pop(key)
            set_values(row, {name: value for name, value in values.items() if name != "name"})
        else:
            row = model(id=uuid4(), prompt_id=prompt_id, created_at=now, **values)
            session.add(row)
        if last is not None and row.created_at <= last:
            row.created_at = max(now, last + _INSTANT)
        last = row.created_at
    await session.flush()


async def keep_version(
    session: AsyncSession,
    prompt: PromptModel,
    *,
    author: str,
    message: str | None,
    renamed_from: str | None = None,
) -> bool:
    """Keep what a prompt's rows say as its next version, unless the newest says the same; returns whether it is new.

    Whoever calls has locked the catalogue. Without a message one is made of what has changed.

    Raises:
        TemplateError: a text or a variable is not as it has to be, or a text includes the prompt itself.
    """
    await session.flush()
    spec = await spec_of_prompt(session, prompt)
    content = content_of(spec)
    digest = digest_of(content)
    if digest == prompt.digest and renamed_from is None:
        return False
    await check_texts(session, spec)
    before = None if prompt.digest is None else await version_store.version(session, prompt.id, prompt.version)
    changed = _changed(before, content)
    prompt.version += before is not None
    prompt.digest = digest
    if message is None:
        message = _made_message(prompt.slug, changed, is_first=before is None, renamed_from=renamed_from)
    author, message = signed(author, message)
    if prompt.executor not in installed():
        # Not refused: this may be the web process, and only the workers have a team's own executors.
        logger.warning(
            "no executor named %s, which the prompt %s names, is installed here", prompt.executor, prompt.slug
        )
    session.add(
        PromptVersionModel(
            id=uuid4(),
            name=f"{prompt.slug} v{prompt.version}",
            prompt_id=prompt.id,
            version=prompt.version,
            parent_version=None if before is None else before.version,
            digest=digest,
            author=author,
            message=message,
            content=content,
        )
    )
    await note_change(
        session,
        prompt,
        PromptChange.CREATED if before is None else PromptChange.VERSION,
        author=author,
        message=message,
        version=prompt.version,
        details=None if before is None else {"changed": changed} | ({"slug": renamed_from} if renamed_from else {}),
    )
    await touch(session, prompt)
    return True


def _changed(before: PromptVersionModel | None, content: Mapping[str, Any]) -> list[str]:
    if before is None:
        return []
    return sorted(
        name
        for name in before.content.keys() | content.keys()
        if digest_of({"": before.content.get(name)}) != digest_of({"": content.get(name)})
    )


def _made_message(slug: str, changed: Sequence[str], *, is_first: bool, renamed_from: str | None) -> str:
    if is_first:
        return "Created"
    renamed = f"Renamed from {renamed_from} to {slug}" if renamed_from else ""
    return "; ".join(filter(None, (renamed, changed_message(changed) if changed else "")))


def changed_message(changed: Sequence[str]) -> str:
    return f"Changed {', '.join(name.replace('_', ' ') for name in changed)}"


async def set_status(
    session: AsyncSession, prompt: PromptModel, status: PromptStatus, *, author: str, message: str | None = None
) -> bool:
    """Change a prompt's status, which is no part of its versions; returns whether it was another.

    Whoever calls has locked the catalogue, and made sure that an active prompt can be carried out.
    """
    before = prompt.status
    if before is status:
        return False
    prompt.status = status
    await note_change(
        session,
        prompt,
        PromptChange.STATUS,
        author=author,
        message=message or f"Made {status.value}, was {before.value}",
        version=prompt.version,
        details={"from": before.value, "to": status.value},
    )
    await touch(session, prompt)
    return True


async def restore_version(
    session: AsyncSession,
    prompt: PromptModel,
    version: int,
    *,
    author: str,
    message: str | None = None,
    expected_version: int | None = None,
) -> Saved:
    """Make what an earlier version said the newest version again; labels stay where they are.

    Raises:
        NotFoundError: there is no such version.
        ConflictError: the newest version is not the expected one.
        InvalidInputError: what it says is nothing that a prompt may say any more.
    """
    found = await version_store.version(session, prompt.id, version)
    if found is None:
        raise no_version(prompt, version)
    return await save_spec(
        session,
        spec_of(prompt.slug, found.content),
        author=author,
        message=message or f"Restored version {version}",
        expected_version=expected_version,
    )


async def spec_of_prompt(session: AsyncSession, prompt: PromptModel) -> PromptSpec:
    """Return a prompt's rows, which are its newest version, as a spec."""
    templates = await version_store.templates_in_order(session, prompt.id)
    conditions = await version_store.conditions_in_order(session, prompt.id)
    return spec_of_rows(prompt, templates, conditions)


async def get_version(session: AsyncSession, prompt_id: UUID, version: int) -> PromptVersionModel | None:
    return await version_store.version(session, prompt_id, version)


async def page_versions(
    session: AsyncSession, *, prompt_id: UUID, limit: int, cursor: str | None = None
) -> Page[PromptVersionModel]:
    """Return one page of a prompt's versions, the newest first."""
    return await version_store.page_versions(session, prompt_id=prompt_id, limit=limit, cursor=cursor)


async def touch(session: AsyncSession, prompt: PromptModel) -> None:
    """Count one more change of prompts, so that workers read this one again.

    It locks the catalogue until the transaction ends; who locks prompts as well locks the catalogue before.
    """
    catalogue = await version_store.lock_catalogue(session)
    catalogue.revision += 1
    prompt.revision = catalogue.revision
    await session.flush()


async def forget(session: AsyncSession) -> None:
    """Count one more change of prompts, which is that one is gone."""
    catalogue = await version_store.lock_catalogue(session)
    catalogue.revision += 1
    catalogue.deletions += 1
    await session.flush()


async def check_expected(
    session: AsyncSession, slug: str, prompt: PromptModel | None, expected_version: int | None
) -> None:
    """Raise ConflictError unless the newest version is the one that somebody started from; 0 is no version at all."""
    newest = 0 if prompt is None else prompt.version
    if expected_version is None or expected_version == newest:
        return
    hint = "Read the newest version, make your change to that, and try again."
    if prompt is None:
        raise ConflictError(f"there is no prompt {slug!r}; your change starts from its version {expected_version}")
    theirs = await _said(session, prompt.id, newest)
    if expected_version == 0:
        raise ConflictError(f"there is a prompt {slug!r} already: {theirs}", hint=hint)
    yours = await _said(session, prompt.id, expected_version)
    raise ConflictError(f"your change of {slug!r} starts from {yours}, but the newest is {theirs}", hint=hint)


async def _said(session: AsyncSession, prompt_id: UUID, number: int) -> str:
    found = await version_store.version(session, prompt_id, number)
    return f"version {number}" + (f" by {found.author} ({found.message})" if found else ", which is none of its own")


def must_run(status: PromptStatus | None, problem: str | None) -> None:
    """Raise InvalidInputError where a prompt is to be active that nothing could carry out."""
    if status is PromptStatus.ACTIVE and problem:
        problem = f"an active prompt needs what carries it out: {problem}"
        raise InvalidInputError(f"executor_config: {problem}", fields={"executor_config": problem})


def slug_taken(slug: str) -> ConflictError:
    return ConflictError(f"slug: {slug!r} is taken by another prompt", hint="Give the prompt another slug.")
