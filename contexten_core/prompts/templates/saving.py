"""What keeps the texts of a prompt from ever being rendered, told when it is saved."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.prompts.references import resolve_reference
from contexten_core.prompts.spec import PromptSpec, spec_of
from contexten_core.prompts.templates.check import check_prompt, includes_in, parse_reference
from contexten_core.prompts.templates.source import TemplateError

_MOST_FOLLOWED = 200


async def check_texts(session: AsyncSession, spec: PromptSpec) -> None:
    """Refuse a prompt whose texts or variables cannot be what they are, or that includes itself over others.

    What it includes need not be there yet.

    Raises:
        TemplateError: names the text, the line and the column.
    """
    for problem in await asyncio.to_thread(check_prompt, spec):
        raise TemplateError(
            problem.message, template=f"{spec.slug} ({problem.part})", line=problem.line, column=problem.column
        )
    seen: set[str] = set()
    waiting: list[tuple[str, tuple[str, ...]]] = [(include, (spec.slug,)) for include in _includes(spec)]
    while waiting and len(seen) < _MOST_FOLLOWED:
        reference, path = waiting.pop()
        slug, label = parse_reference(reference) or (reference, None)
        if slug == spec.slug:
            raise TemplateError(f"includes go in a circle: {' > '.join((*path, slug))}", template=spec.slug)
        if reference in seen:
            continue
        seen.add(reference)
        found = await resolve_reference(session, slug, label)
        if found is not None:
            included = spec_of(slug, found[1].content)
            waiting += [(include, (*path, slug)) for include in _includes(included)]


def _includes(spec: PromptSpec) -> list[str]:
    texts = [spec.template, spec.system_prompt or "", *(template.content for template in spec.templates)]
    return [include for text in texts for include in includes_in(text)]
