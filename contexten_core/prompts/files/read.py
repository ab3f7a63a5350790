"""Read a file of prompts: every problem in it at once, each with its line, its column and what may be meant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contexten_core.prompts.fields import FIELDS
from contexten_core.prompts.files.check import validated
from contexten_core.prompts.files.do import read_do
from contexten_core.prompts.files.problems import Path, Place, refuse
from contexten_core.prompts.files.schema import FilePart, OutputPart, PromptPart
from contexten_core.prompts.files.when import Reader
from contexten_core.prompts.files.yaml import Document, parse
from contexten_core.prompts.models import Executor, PromptType
from contexten_core.prompts.spec import (
    ConditionSpec,
    OutputSpec,
    PromptSpec,
    TemplateSpec,
    VariableSpec,
)
from contexten_core.prompts.templates.check import check_prompt
from contexten_core.tasks.models import TaskType


@dataclass(frozen=True, slots=True)
class FilePrompt:
    """One prompt of a file.

    Attributes:
        version: the one that it was made from, as `pull` wrote it; None where nobody said.
        path: where it is in the file, such as `("prompts", 0)`.
    """

    spec: PromptSpec
    version: int | None
    place: Place
    path: Path


def read_prompts(text: str, *, name: str, texts: bool = False) -> list[FilePrompt]:
    """Return the prompts of a file.

    Args:
        name: what messages call the file.
        texts: whether their templates and variables are checked as well; what is stored may be wrong there.

    Raises:
        PromptFileError: something in it is wrong; names each place.
    """
    document = parse(text, name=name)
    part = validated(document, FilePart, document.value)
    entries = document.value.get("prompts") if isinstance(document.value, dict) else None
    found = read_entries(document, entries, part.prompts if part else None, ("prompts",))
    for prompt in found if texts else ():
        check_texts(document, prompt)
    refuse(name, document.problems)
    return found


def check_texts(document: Document, prompt: FilePrompt) -> None:
    """Add what is wrong with a prompt's templates and variables to the document's problems."""
    for problem in check_prompt(prompt.spec):
        kind, _, name = problem.part.partition(".")
        if kind == "variables":
            document.complain((*prompt.path, kind, name), problem.message, at_key=True)
            continue
        inside: Path = (kind,)
        text = prompt.spec.system_prompt or "" if kind == "system_prompt" else prompt.spec.template
        if kind == "templates":
            number, template = next((n, one) for n, one in enumerate(prompt.spec.templates) if one.name == name)
            inside, text = (kind, number, "template"), template.content
        line, column = problem.line or 1, problem.column or 1
        document.complain_inside((*prompt.path, *inside), problem.message, text=text, line=line, column=column)


def read_entries(document: Document, entries: Any, parts: Sequence[PromptPart] | None, path: Path) -> list[FilePrompt]:
    """Return the prompts of a list in a file, adding what is wrong with them to the document's problems.

    Args:
        parts: the same entries as they were validated; None when that failed, and then only problems are looked for.
    """
    found: list[FilePrompt] = []
    slugs: dict[Any, int] = {}
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        here = (*path, number)
        if not isinstance(entry, dict):
            continue
        slug = entry.get("slug")
        if isinstance(slug, str) and slugs.setdefault(slug, number) != number:
            line = document.place((*path, slugs[slug])).line
            document.complain((*here, "slug"), f"another prompt of this file, in line {line}, has the same slug")
        conditions = read_conditions(document, entry.get("when"), (*here, "when"))
        do = read_do(document, entry.get("do"), (*here, "do"))
        if parts is not None and len(parts) > number:
            part = parts[number]
            _check_names(document, part, here)
            spec = _spec(part, entry, conditions, do)
            found.append(FilePrompt(spec, part.version, document.place(here), here))
    return found


def read_conditions(document: Document, value: Any, path: Path) -> tuple[ConditionSpec, ...]:
    return Reader(complain=document.complain, fields=FIELDS, blank=document.blank).read(value, path)


def _check_names(document: Document, part: PromptPart, path: Path) -> None:
    names: set[str] = set()
    for number, template in enumerate(part.templates):
        if template.name in names:
            here = (*path, "templates", number, "name")
            document.complain(here, "another template of this prompt has the same name")
        names.add(template.name)


def _spec(
    part: PromptPart,
    entry: dict[str, Any],
    conditions: tuple[ConditionSpec, ...],
    do: tuple[Executor, dict[str, Any]],
) -> PromptSpec:
    executor, config = do
    return PromptSpec(
        slug=part.slug,
        name=part.name,
        template=part.template,
        description=part.description,
        prompt_type=part.type,
        category=part.category,
        subcategory=part.subcategory,
        tags=tuple(part.tags),
        system_prompt=part.system_prompt,
        variables={name: VariableSpec(**variable.model_dump()) for name, variable in part.variables.items()},
        templates=tuple(
            TemplateSpec(content=template.template, **template.model_dump(exclude={"template"}))
            for template in part.templates
        ),
        conditions=conditions,
        priority=part.priority,
        task_type=part.task or task_of(part.type),
        task_priority=part.task_priority,
        executor=executor,
        executor_config=config,
        # As it is written: 900 and 900.0 would be two versions.
        limits=dict(entry.get("limits", {})),
        outputs={kind: output_of(output) for kind, output in part.outputs.items()},
    )


def task_of(prompt_type: PromptType) -> TaskType:
    """Return the kind of task that a kind of prompt usually makes."""
    try:
        return TaskType(prompt_type.value)
    except ValueError:
        return TaskType.ANALYSIS


def output_of(part: OutputPart) -> OutputSpec:
    labels, paths = (None if items is None else tuple(items) for items in (part.labels, part.paths))
    return OutputSpec(most=part.most, labels=labels, paths=paths)
