"""Which version of a prompt is meant: by a number, by a label, or the live one."""

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.errors import NotFoundError
from contexten_core.prompts import store, version_store
from contexten_core.prompts.models import PromptModel, PromptVersionModel
from contexten_core.prompts.spec import LATEST, LIVE
from contexten_core.security.text import shorten

_LONGEST_NUMBER = 18
_LONGEST_SHOWN = 100


async def resolve_reference(
    session: AsyncSession, slug: str, label_or_version: str | None
) -> tuple[PromptModel, PromptVersionModel] | None:
    """Return the prompt and the version that `slug@label`, `slug@3` or `slug` alone mean; None when nothing is that.

    Without a label it is the live version: the one labelled `production`, else the newest.
    """
    try:
        return await get_reference(session, slug, label_or_version)
    except NotFoundError:
        return None


async def get_reference(
    session: AsyncSession, slug: str, label_or_version: str | None
) -> tuple[PromptModel, PromptVersionModel]:
    """Do the same.

    Raises:
        NotFoundError: there is no such prompt, version or label.
    """
    prompt = await store.by_slug(session, slug)
    if prompt is None:
        raise no_prompt(slug)
    reference = label_or_version or LIVE
    if reference.isascii() and reference.isdecimal():
        found = await version_store.version(session, prompt.id, int(reference[:_LONGEST_NUMBER]))
        if found is None or len(reference) > _LONGEST_NUMBER:
            raise no_version(prompt, shorten(reference, _LONGEST_NUMBER))
        return prompt, found
    labels = {LATEST: prompt.version, LIVE: prompt.version}
    labels |= {row.label: row.version for row in await version_store.labels(session, prompt.id)}
    found = await version_store.version(session, prompt.id, labels.get(reference, 0))
    if found is None:
        raise NotFoundError(
            f"{prompt.slug} has no label {shorten(reference, _LONGEST_SHOWN)!r}",
            hint=f"its labels: {', '.join(labels)}",
        )
    return prompt, found


def no_prompt(slug: str) -> NotFoundError:
    return NotFoundError(f"there is no prompt {slug!r}", hint="`contexten prompts list` shows those that there are")


def no_version(prompt: PromptModel, number: int | str) -> NotFoundError:
    return NotFoundError(f"{prompt.slug} has no version {number}", hint=f"its versions: 1 to {prompt.version}")
