"""Labels of prompts: names for versions that are moved, by whom it is allowed, from one version to another."""

import re
from collections.abc import Collection
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.errors import ContextenError, InvalidInputError, NotFoundError
from contexten_core.prompts import store, version_store
from contexten_core.prompts.changes import note_change
from contexten_core.prompts.models import PromptChange, PromptLabelModel, PromptModel
from contexten_core.prompts.spec import LATEST
from contexten_core.prompts.versions import no_version, touch
from contexten_core.settings import Settings

_FORM = re.compile(r"[a-z][a-z0-9._-]{0,62}")
_MOST_LABELS = 100


class ProtectedLabelError(ContextenError):
    """Somebody would move a label that only an admin may move."""

    code = "protected_label"
    status = 403


async def set_label(
    session: AsyncSession,
    prompt_id: UUID,
    label: str,
    version: int,
    *,
    author: str,
    message: str | None = None,
    may_protected: bool,
    settings: Settings,
) -> PromptLabelModel:
    """Put a label on a version of a prompt, off the one that it was on.

    Raises:
        NotFoundError: there is no such prompt, or it has no such version.
        InvalidInputError: a label may not be called that, the prompt has too many, or author or message are missing
            or too long.
        ProtectedLabelError: it takes a permission that the author does not have.
    """
    _check_name(label)
    _check_permission(label, may_protected=may_protected, settings=settings)
    prompt = await _locked(session, prompt_id)
    if await version_store.version(session, prompt_id, version) is None:
        raise no_version(prompt, version)
    row = await version_store.label(session, prompt_id, label)
    before = None if row is None else row.version
    if row is None:
        if len(await version_store.labels(session, prompt_id)) >= _MOST_LABELS:
            raise _invalid(f"{prompt.slug} has {_MOST_LABELS} labels already")
        row = PromptLabelModel(id=uuid4(), name=label, label=label, version=version, prompt_id=prompt_id)
        session.add(row)
    elif before == version:
        return row
    row.version = version
    made = f"Moved {label} from version {before} to {version}" if before else f"Labelled version {version} {label}"
    await note_change(
        session,
        prompt,
        PromptChange.LABEL,
        author=author,
        message=made if message is None else message,
        version=version,
        details={"label": label, "from": before, "to": version},
    )
    await touch(session, prompt)
    return row


async def remove_label(
    session: AsyncSession,
    prompt_id: UUID,
    label: str,
    *,
    author: str,
    message: str | None = None,
    may_protected: bool,
    settings: Settings,
) -> bool:
    """Take a label off a prompt; returns whether it had it. Without `production` the newest version is live.

    Raises:
        NotFoundError: there is no such prompt.
        InvalidInputError: it is `latest`, which is always there.
        ProtectedLabelError: it takes a permission that the author does not have.
    """
    _check_name(label)
    _check_permission(label, may_protected=may_protected, settings=settings)
    prompt = await _locked(session, prompt_id)
    row = await version_store.label(session, prompt_id, label)
    if row is None:
        return False
    await version_store.delete_label(session, row)
    await note_change(
        session,
        prompt,
        PromptChange.LABEL,
        author=author,
        message=f"Removed {label}, which was on version {row.version}" if message is None else message,
        version=row.version,
        details={"label": label, "from": row.version, "to": None},
    )
    await touch(session, prompt)
    return True


async def labels_of(session: AsyncSession, prompt_id: UUID) -> dict[str, int]:
    """Return the version that each label of a prompt is on; `latest`, which is always the newest, is not named."""
    return {row.label: row.version for row in await version_store.labels(session, prompt_id)}


async def check_labels(session: AsyncSession, prompt: PromptModel, protected: Collection[str]) -> None:
    """Make sure that nobody who may not move a label gets rid of it with the prompt that has it, or with its slug.

    Raises:
        ProtectedLabelError: the prompt has one of the `protected`.
    """
    if protected and (found := (await labels_of(session, prompt.id)).keys() & set(protected)):
        raise _protected(min(found))


async def _locked(session: AsyncSession, prompt_id: UUID) -> PromptModel:
    await version_store.lock_catalogue(session)
    prompt = await store.get_prompt(session, prompt_id, lock=True)
    if prompt is None:
        raise NotFoundError(f"there is no prompt {prompt_id}")
    return prompt


def _check_name(label: str) -> None:
    if label == LATEST:
        raise _invalid(f"{LATEST!r} is always the newest version, and cannot be moved")
    if _FORM.fullmatch(label) is None:
        raise _invalid("needs to begin with a letter and to have at most 63 of a-z, 0-9, '.', '_' and '-'")


def _check_permission(label: str, *, may_protected: bool, settings: Settings) -> None:
    if label in settings.protected_prompt_labels and not may_protected:
        raise _protected(label)


def _protected(label: str) -> ProtectedLabelError:
    return ProtectedLabelError(
        f"the label {label!r} is protected", hint="Somebody with a token of the role `admin` can do this."
    )


def _invalid(problem: str) -> InvalidInputError:
    return InvalidInputError(f"label: {problem}", fields={"label": problem})
