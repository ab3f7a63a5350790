"""The history of prompts: what was changed, by whom and why."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db.paging import Page
from contexten_core.errors import InvalidInputError
from contexten_core.prompts import version_store
from contexten_core.prompts.models import PromptChange, PromptChangeModel, PromptModel

LONGEST_AUTHOR = 200
LONGEST_MESSAGE = 2_000
UNKNOWN = "unknown"


async def note_change(
    session: AsyncSession,
    prompt: PromptModel,
    change: PromptChange,
    *,
    author: str,
    message: str,
    version: int | None = None,
    details: dict[str, Any] | None = None,
) -> PromptChangeModel:
    """Write one change of a prompt into the history.

    Raises:
        InvalidInputError: author or message are missing or too long.
    """
    author, message = signed(author, message)
    return await version_store.add_change(
        session,
        name=f"{prompt.slug} {change.value}",
        slug=prompt.slug,
        prompt_id=None if change is PromptChange.REMOVED else prompt.id,
        change=change,
        version=version,
        author=author,
        message=message,
        details=details,
    )


def signed(author: str, message: str) -> tuple[str, str]:
    """Return author and message without space around them.

    Raises:
        InvalidInputError: one is missing or too long.
    """
    given = {"author": (author.strip(), LONGEST_AUTHOR), "message": (message.strip(), LONGEST_MESSAGE)}
    for field, (text, longest) in given.items():
        if not 0 < len(text) <= longest:
            problem = f"needs 1 to {longest} characters"
            raise InvalidInputError(f"{field}: {problem}", fields={field: problem})
    return given["author"][0], given["message"][0]


async def page_changes(
    session: AsyncSession, *, slug: str | None = None, limit: int, cursor: str | None = None
) -> Page[PromptChangeModel]:
    """Return one page of the changes of a prompt, or of all prompts, removed ones too; the newest first."""
    return await version_store.page_changes(session, slug=slug, limit=limit, cursor=cursor)
