"""`.contexten.yaml`: what a repository says about prompts for itself. It can add, within an envelope, and narrow.

    prompts:                           # its own, for its own events
      - slug: docs
        name: Build the documentation
        when: {event.type: push}
        do: {command: make docs}
        template: Build the documentation.
    narrow:                            # those that are defined centrally
      review: {enabled: false}
      run-checks:
        limits: {wall_seconds: 300}
        when: {event.branch: {not_equals: wip}}

A file that cannot be read stands for no prompt at all: what it would have narrowed must not run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, Field

from contexten_core.inputs import Slug
from contexten_core.prompts.files.check import validated
from contexten_core.prompts.files.problems import refuse
from contexten_core.prompts.files.read import FilePrompt, check_texts, output_of, read_conditions, read_entries
from contexten_core.prompts.files.schema import MOST_PROMPTS, STRICT, LimitsPart, OutputPart, PromptPart, schema_of
from contexten_core.prompts.files.yaml import Document, parse
from contexten_core.prompts.index.index import LivePrompt
from contexten_core.prompts.models import ConditionOperator
from contexten_core.prompts.project_file.narrow import Narrowing, narrowed
from contexten_core.prompts.project_file.power import Power, beyond, path_problem
from contexten_core.prompts.spec import ConditionSpec, OutputType, PromptSpec

FILE_NAME = ".contexten.yaml"
FROM_FILE = 0
"""The version of a prompt that stands in a file of its repository, and has no row."""

_OWN = "its own repository"


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """What a repository's file says.

    Attributes:
        name: what messages call it, such as `.contexten.yaml of acme/cashbox at 1a2b3c4d5e6f`.
        prompts: those that it adds, under slugs such as `acme/cashbox/docs`, which no other prompt can have.
        narrow: what it takes away, by the slug of the prompt.
        problem: why it cannot be read, and then no prompt is selected for the repository.
    """

    repository: str
    name: str = FILE_NAME
    prompts: tuple[PromptSpec, ...] = ()
    narrow: Mapping[str, Narrowing] = field(default_factory=dict)
    problem: str | None = None

    @classmethod
    def unreadable(cls, repository: str, *, name: str, problem: str) -> Self:
        return cls(repository=repository, name=name, problem=problem)

    def narrowed(self, spec: PromptSpec) -> PromptSpec:
        """Return a prompt as the repository takes it; to be used for every version that may be answered with."""
        narrowing = self.narrow.get(spec.slug)
        return spec if narrowing is None else narrowed(spec, narrowing)


class NarrowPart(BaseModel):
    """What is taken away from a prompt that is defined centrally."""

    model_config = STRICT

    enabled: Annotated[Literal[False] | None, Field(description="false: not for this repository.")] = None
    limits: Annotated[LimitsPart, Field(description="The smaller of both counts.")] = Field(default_factory=LimitsPart)
    outputs: Annotated[
        dict[Annotated[OutputType, Field(strict=False)], OutputPart] | None,
        Field(description="What stays of the outputs that the prompt has."),
    ] = None
    when: Annotated[Any, Field(description="Conditions that have to hold as well.")] = None


class ProjectFilePart(BaseModel):
    """What a repository says about the prompts of Contexten for itself, in `.contexten.yaml`."""

    model_config = STRICT

    prompts: Annotated[list[PromptPart], Field(max_length=MOST_PROMPTS)] = Field(default_factory=list)
    narrow: Annotated[dict[Slug, NarrowPart], Field(max_length=MOST_PROMPTS)] = Field(default_factory=dict)


def read_project_file(text: str, *, name: str, repository: str, power: Power | None = None) -> ProjectFile:
    """Return what a repository's file says.

    Args:
        name: what messages call the file.
        repository: `owner/name`, whose events its prompts are for.
        power: what its prompts may do; the usual when left out.

    Raises:
        PromptFileError: something in it is wrong, or would be more than the file may; names each place.
    """
    document = parse(text, name=name)
    if document.value is None and not document.problems:
        return ProjectFile(repository, name)
    part = validated(document, ProjectFilePart, document.value)
    given = document.value if isinstance(document.value, dict) else {}
    added = read_entries(document, given.get("prompts"), part.prompts if part else None, ("prompts",))
    for prompt in added:
        _check_added(document, prompt, power or Power())
    narrow = _read_narrow(document, given.get("narrow"), part)
    refuse(name, document.problems)
    prompts = tuple(_own(prompt.spec, repository, power or Power()) for prompt in added)
    return ProjectFile(repository, name, prompts, narrow)


def _check_added(document: Document, prompt: FilePrompt, power: Power) -> None:
    if prompt.version is not None:
        document.complain(
            (*prompt.path, "version"), "the prompts of a project's own file have no versions", at_key=True
        )
    if not prompt.spec.conditions:
        document.complain(prompt.path, "`when` is missing: a prompt of a project's own file needs conditions")
    check_texts(document, prompt)
    for path, problem in beyond(prompt.spec, power):
        document.complain((*prompt.path, *path), problem)
    for kind, output in prompt.spec.outputs.items():
        _check_paths(document, (*prompt.path, "outputs", kind.value, "paths"), output.paths)


def _check_paths(document: Document, place: tuple[str | int, ...], paths: Sequence[str] | None) -> None:
    for number, path in enumerate(paths or ()):
        if problem := path_problem(path):
            document.complain((*place, number), problem)


def _read_narrow(document: Document, given: Any, part: ProjectFilePart | None) -> dict[str, Narrowing]:
    found: dict[str, Narrowing] = {}
    for slug, value in given.items() if isinstance(given, dict) else ():
        if not isinstance(value, dict):
            continue
        conditions = read_conditions(document, value.get("when"), ("narrow", slug, "when"))
        if part is None:
            continue
        narrow = part.narrow[slug]
        outputs = None if narrow.outputs is None else {kind: output_of(out) for kind, out in narrow.outputs.items()}
        for kind, output in (outputs or {}).items():
            _check_paths(document, ("narrow", slug, "outputs", kind.value, "paths"), output.paths)
        limits = dict(value.get("limits", {}))
        found[slug] = Narrowing(narrow.enabled is not False, limits, outputs, conditions)
    return found


def _own(spec: PromptSpec, repository: str, power: Power) -> PromptSpec:
    """Return a prompt of a file under its own slug, for its own repository, with the envelope's limits."""
    only = ConditionSpec("repository.full_name", ConditionOperator.EQUALS, repository, group=_OWN)
    return replace(
        spec,
        slug=f"{repository.lower()}/{spec.slug}",
        conditions=(*spec.conditions, only),
        limits={**power.limits, **spec.limits},
    )


def apply(prompts: Sequence[LivePrompt], file: ProjectFile) -> list[LivePrompt]:
    """Return the prompts that events of a file's repository are answered with; none where it cannot be read."""
    if file.problem is not None:
        return []
    kept = [
        replace(live, spec=file.narrowed(live.spec)) if live.spec.slug in file.narrow else live
        for live in prompts
        if live.spec.slug not in file.narrow or file.narrow[live.spec.slug].enabled
    ]
    return [*kept, *added_prompts(file)]


def added_prompts(file: ProjectFile) -> list[LivePrompt]:
    """Return the prompts that a file adds, of version 0; their ids are those of no row."""
    return [LivePrompt(uuid5(NAMESPACE_URL, f"contexten:{spec.slug}"), FROM_FILE, spec) for spec in file.prompts]


def is_from_file(live: LivePrompt) -> bool:
    """Tell whether a prompt stands in a repository's file and has no row: neither a run nor usage can refer to it."""
    return live.version == FROM_FILE


def idle_narrowings(prompts: Sequence[LivePrompt], file: ProjectFile) -> list[str]:
    """Return the slugs that a file narrows and that no prompt has: perhaps mistyped."""
    known = {live.spec.slug for live in prompts}
    return sorted(slug for slug in file.narrow if slug not in known)


def project_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of `.contexten.yaml`."""
    return schema_of(ProjectFilePart)
