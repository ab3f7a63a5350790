"""What a prompt says about one event: its text for that language and kind of context, with the values in it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.prompts.conditions import look_up
from contexten_core.prompts.references import resolve_reference
from contexten_core.prompts.spec import PromptSpec, TemplateSpec, VariableSpec, spec_of
from contexten_core.prompts.templates.check import check_template, mistyped, parse_reference, read
from contexten_core.prompts.templates.language import NAMESPACES, Use
from contexten_core.prompts.templates.render import Renderer, TemplateError, TemplateSource

MOST_INCLUDES = 20
DEEPEST_INCLUDES = 5


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt's texts for one event.

    Attributes:
        template: the name of the template that was taken; None for the prompt's own text.
        versions: every prompt that was included, as `slug@3`.
    """

    text: str
    system_text: str | None = None
    template: str | None = None
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Instruction:
    """A prompt's texts with all that they include, before there are values.

    Attributes:
        variables: those of the prompt, and of what it includes where it has none of that name itself.
        uses: each value that a text uses, with the text's name.
        paths: every field that the texts need: `event.title`, `change.files`.
    """

    text: TemplateSource
    system_text: TemplateSource | None
    template: str | None
    versions: tuple[str, ...]
    variables: Mapping[str, VariableSpec]
    uses: tuple[tuple[str, Use], ...]
    paths: frozenset[str]


def pick_template(spec: PromptSpec, *, language: str | None, context_type: str | None) -> TemplateSpec | None:
    """Return the template for a language and a kind of context, or None when the prompt's own text serves.

    A template fits that names the language, the kind of context or both, and no other. Of several the one with the
    highest priority is taken, then the one that names both, then the first by name. When none fits it is the default,
    if there is one.
    """
    wanted = {"language": (language or "").casefold(), "context_type": (context_type or "").casefold()}

    def fits(template: TemplateSpec) -> bool:
        named = [(getattr(template, part), value) for part, value in wanted.items() if getattr(template, part)]
        return bool(named) and all(name.casefold() == value for name, value in named)

    found = [template for template in spec.templates if fits(template)]
    found = found or [template for template in spec.templates if template.is_default]
    return min(found, key=_rank, default=None)


def _rank(template: TemplateSpec) -> tuple[int, bool, str]:
    return -template.priority, not (template.language and template.context_type), template.name


async def prepare(
    session: AsyncSession, spec: PromptSpec, *, language: str | None, context_type: str | None
) -> Instruction:
    """Find a prompt's texts and what they include; no values are needed yet, and `paths` says which will be.

    Raises:
        TemplateError: a text is not as it has to be, or includes what is not there, itself, or too much.
    """
    picked = pick_template(spec, language=language, context_type=context_type)
    search = _Search(session, spec, language=language, context_type=context_type)
    name = f"{spec.slug} ({picked.name})" if picked else spec.slug
    text = await search.follow(name, picked.content if picked else spec.template)
    system = await search.follow(f"{spec.slug} (system)", spec.system_prompt) if spec.system_prompt else None
    sources = {search.variables[use.root].source for _, use in search.uses if use.root in search.variables}
    fields = {use.path for _, use in search.uses if use.root in NAMESPACES}
    return Instruction(
        text=text,
        system_text=system,
        template=picked.name if picked else None,
        versions=tuple(search.versions),
        variables=search.variables,
        uses=tuple(search.uses),
        paths=frozenset(fields | {source for source in sources if source}),
    )


async def fill_in(renderer: Renderer, instruction: Instruction, fields: Mapping[str, Any]) -> Rendered:
    """Render a prompt's texts for an event. A field that is not known for it is absent, and prints nothing.

    Raises:
        TemplateError: a variable has no value or one of another type, or a text cannot be rendered.
    """
    values = values_of(instruction, fields)
    text = await renderer.render(instruction.text, values)
    system = await renderer.render(instruction.system_text, values) if instruction.system_text else None
    return Rendered(text, system, instruction.template, instruction.versions)


async def render_prompt(
    session: AsyncSession,
    renderer: Renderer,
    spec: PromptSpec,
    fields: Mapping[str, Any],
    *,
    language: str | None,
    context_type: str | None,
) -> Rendered:
    """Return what a prompt says about an event.

    Args:
        fields: what is known of it, as `known_fields` returns it.
        language: for templates of one language: the main one of the code.
        context_type: for templates of one kind of context: the event's type.

    Raises:
        TemplateError: a text, an include or a value is not as it has to be.
    """
    instruction = await prepare(session, spec, language=language, context_type=context_type)
    return await fill_in(renderer, instruction, fields)


def values_of(instruction: Instruction, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a prompt's texts use, and no others.

    Raises:
        TemplateError: a variable has no value, and needs one, or it is of another type.
    """
    values: dict[str, Any] = {}
    for template, use in instruction.uses:
        if use.root in NAMESPACES:
            values.setdefault(use.root, {})[use.path.partition(".")[2]] = look_up(fields, use.path)
        elif use.root not in values:
            values[use.root] = _value(template, use, instruction.variables[use.root], fields)
    return values


def _value(template: str, use: Use, variable: VariableSpec, fields: Mapping[str, Any]) -> Any:
    found = look_up(fields, variable.source) if variable.source else None
    value = variable.default if found is None else found
    problem = None
    if value is not None and (wrong := mistyped(variable.type, value)):
        origin = variable.source if found is not None else "its default"
        problem = f"the value of the variable {use.root}, from {origin}, is {wrong}"
    elif value is None and variable.required:
        where = f"{variable.source} has none for this event" if variable.source else "it has no source"
        problem = f"the variable {use.root} needs a value, and {where}"
    if problem:
        raise TemplateError(problem, template=template, line=use.line, column=use.column)
    return value


class _Search:
    """Follows the includes of a prompt's texts."""

    def __init__(
        self, session: AsyncSession, spec: PromptSpec, *, language: str | None, context_type: str | None
    ) -> None:
        self._session = session
        self._spec = spec
        self._wanted = {"language": language, "context_type": context_type}
        self._texts: dict[str, str] = {}
        self.versions: dict[str, None] = {}
        self.variables = dict(spec.variables)
        self.uses: list[tuple[str, Use]] = []

    async def follow(self, name: str, text: str) -> TemplateSource:
        """Return a text of the prompt with everything that it includes, directly or not."""
        await self._look(self._spec, name, text, (self._spec.slug,))
        return TemplateSource(name, text, self._texts)

    async def _look(self, spec: PromptSpec, name: str, text: str, path: tuple[str, ...]) -> None:
        # Reading the largest takes longer than others should have to wait.
        for problem in await asyncio.to_thread(check_template, "", text, declared=spec.variables):
            raise TemplateError.of(problem, template=name)
        reading = await asyncio.to_thread(read, text)
        self.uses += [(name, use) for use in reading.uses]
        for include in reading.includes:
            try:
                await self._include(include.reference, path)
            except _NotTakenError as error:
                raise TemplateError(str(error), template=name, line=include.line, column=include.column) from None

    async def _include(self, reference: str, path: tuple[str, ...]) -> None:
        parsed = parse_reference(reference)
        assert parsed is not None
        slug, label = parsed
        if slug in path:
            raise _NotTakenError(f"includes go in a circle: {' > '.join((*path, slug))}")
        if len(path) > DEEPEST_INCLUDES:
            raise _NotTakenError(f"includes go more than {DEEPEST_INCLUDES} deep: {' > '.join((*path, slug))}")
        if reference in self._texts:
            return
        if len(self._texts) >= MOST_INCLUDES:
            raise _NotTakenError(f"more than {MOST_INCLUDES} prompts are included in all")
        found = await resolve_reference(self._session, slug, label)
        if found is None:
            raise _NotTakenError(f"there is no prompt {reference}")
        version = found[1]
        spec = spec_of(slug, version.content)
        picked = pick_template(spec, **self._wanted)
        text = picked.content if picked else spec.template
        for name, variable in spec.variables.items():
            if name not in self._spec.variables and self.variables.setdefault(name, variable) != variable:
                raise _NotTakenError(
                    f"{reference} and another prompt that is included declare the variable {name} differently; "
                    f"declare it in {self._spec.slug}"
                )
        self._texts[reference] = text
        self.versions[f"{slug}@{version.version}"] = None
        await self._look(spec, reference, text, (*path, slug))


class _NotTakenError(Exception):
    """An include that cannot be followed."""
