"""What is wrong with a prompt's templates and variables before anything is rendered, and what they use."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from contexten_core.prompts.fields import FIELDS
from contexten_core.prompts.spec import PromptSpec, VariableSpec, VariableType
from contexten_core.prompts.templates.filters import kind_of
from contexten_core.prompts.templates.language import (
    NAMESPACES,
    RESERVED,
    Include,
    Language,
    Problem,
    Reading,
    Use,
    has_tags,
    read_template,
    suggestion,
)

_LARGEST_KEPT = 10_000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_WORDS_OF_THE_LANGUAGE = frozenset({"and", "else", "if", "in", "is", "not", "or", "true", "false", "none"})
_REFERENCE = re.compile(r"(?P<slug>[a-z0-9][a-z0-9._-]{0,199})(@(?P<label>[A-Za-z0-9][A-Za-z0-9._-]{0,199}))?")
_KINDS: Mapping[VariableType, tuple[type, ...]] = {
    VariableType.STRING: (str,),
    VariableType.INTEGER: (int,),
    VariableType.NUMBER: (int, float),
    VariableType.BOOLEAN: (bool,),
    VariableType.LIST: (list, tuple),
    VariableType.OBJECT: (Mapping,),
}
_WANTED = {
    VariableType.STRING: "a text",
    VariableType.INTEGER: "an integer",
    VariableType.NUMBER: "a number",
    VariableType.BOOLEAN: "a boolean",
    VariableType.LIST: "a list",
    VariableType.OBJECT: "an object",
}
_TAG = re.compile(r"\{[{%#]")
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class PartProblem:
    """What is wrong with one part of a prompt: `template`, `system_prompt`, `templates.NAME`, `variables.NAME`.

    `line` and `column` are places in that part's text, from 1; variables have none.
    """

    part: str
    message: str
    line: int | None = None
    column: int | None = None


def read(text: str) -> Reading:
    """Return what a template uses and what is wrong with it, whatever it is."""
    if not has_tags(text):
        return Reading()
    return _kept(text) if len(text) <= _LARGEST_KEPT else read_template(Language(), text)[1]


@lru_cache(maxsize=256)
def _kept(text: str) -> Reading:
    return read_template(Language(), text)[1]


def names_in(text: str) -> frozenset[str]:
    """Return the dotted path of each value that a template uses: `event.title`, `my_variable`."""
    return frozenset(use.path for use in read(text).uses)


def includes_in(text: str) -> tuple[str, ...]:
    """Return the reference of each prompt that a template includes, once, in their order."""
    return tuple(dict.fromkeys(include.reference for include in read(text).includes))


def literal(text: str) -> str:
    """Return a template that prints a text as it is, whatever marks it has in it."""
    return _TAG.sub(lambda tag: "{{ '" + tag[0] + "' }}", text)


def parse_reference(reference: str) -> tuple[str, str | None] | None:
    """Return the slug and the label or version that a reference names, or None when it is none."""
    found = _REFERENCE.fullmatch(reference)
    return (found["slug"], found["label"]) if found else None


def check_template(name: str, text: str, *, declared: Collection[str] | None = None) -> list[Problem]:
    """Return what is wrong with a template, in the order of its lines.

    Args:
        name: the slug of the prompt that it is of, which it must not include.
        declared: the names of the prompt's variables; without them every name is taken to be one.
    """
    reading = read(text)
    found: list[tuple[str | None, Use | Include]] = [(_use_problem(use, declared), use) for use in reading.uses]
    found += [(_include_problem(include, name), include) for include in reading.includes]
    problems = [*reading.problems, *(Problem(said, place.line, place.column) for said, place in found if said)]
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column or 0))


def _use_problem(use: Use, declared: Collection[str] | None) -> str | None:
    if use.root in NAMESPACES:
        return None if use.path in FIELDS else f"there is no field {use.path}{suggestion(use.path, list(FIELDS))}"
    if declared is None or use.root in declared:
        return None
    near = suggestion(use.root, [*declared, *NAMESPACES])
    return f"there is no variable {use.root}{near or '; declare it among the variables'}"


def _include_problem(include: Include, name: str) -> str | None:
    parsed = parse_reference(include.reference)
    if parsed is None:
        said = include.reference[:_LONGEST_SHOWN]
        return f"{said!r} is no reference to a prompt, such as house-style@production"
    return f"{name} includes itself" if parsed[0] == name else None


def check_prompt(spec: PromptSpec) -> list[PartProblem]:
    """Return what is wrong with the texts and variables of a prompt, not of those that it includes."""
    found = [PartProblem(f"variables.{name}", message) for name, message in _variable_problems(spec.variables)]
    texts = {"template": spec.template, "system_prompt": spec.system_prompt or ""}
    texts |= {f"templates.{template.name}": template.content for template in spec.templates}
    for part, text in texts.items():
        problems = check_template(spec.slug, text, declared=spec.variables)
        found += [PartProblem(part, problem.message, problem.line, problem.column) for problem in problems]
    return found


def _variable_problems(variables: Mapping[str, VariableSpec]) -> Iterator[tuple[str, str]]:
    for name, variable in variables.items():
        if not _NAME.fullmatch(name) or name.lower() in _WORDS_OF_THE_LANGUAGE:
            yield name, "a variable is named with letters, digits and _, and begins with a letter"
        elif name in NAMESPACES | RESERVED:
            yield name, f"{name} has a meaning in every template; call the variable something else"
        if variable.source is not None and variable.source not in FIELDS:
            yield name, f"there is no field {variable.source}{suggestion(variable.source, list(FIELDS))}"
        if variable.default is not None and (problem := mistyped(variable.type, variable.default)):
            yield name, f"its default is {problem}"
        if variable.source is None and variable.default is None and variable.required:
            yield name, "it is required, and has neither a source nor a default"


def mistyped(wanted: VariableType, value: Any) -> str | None:
    """Return what a value is and ought to be, or None when it is of that type. No type is taken for another."""
    is_boolean = isinstance(value, bool)
    if isinstance(value, _KINDS[wanted]) and is_boolean == (wanted is VariableType.BOOLEAN):
        return None
    text = repr(value)
    said = "" if value is None else f" {text[: _LONGEST_SHOWN - 1]}…" if len(text) > _LONGEST_SHOWN else f" {text}"
    return f"{kind_of(value)}{said}, and has to be {_WANTED[wanted]}"
