"""Templates of prompts: what cannot be read, what is not declared or never used, and includes that lead nowhere."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from contexten_core.prompts.fields import FIELDS
from contexten_core.prompts.lint.findings import Finding, Part, Severity, Subject, listed, shown
from contexten_core.prompts.spec import PromptSpec
from contexten_core.prompts.templates.check import read
from contexten_core.prompts.templates.language import NAMESPACES, Reading

_LONGEST_NAME = 100
_MOST_OF_A_KIND = 20


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a prompt, read."""

    name: str
    part: Part
    reading: Reading


def texts_of(spec: PromptSpec) -> list[Text]:
    """Return a prompt's texts: its template, its system prompt, and the templates for languages and contexts."""
    texts = [Text("template", ("template",), read(spec.template))]
    if spec.system_prompt:
        texts.append(Text("system_prompt", ("system_prompt",), read(spec.system_prompt)))
    for number, template in enumerate(spec.templates):
        texts.append(Text(f"template {template.name}", ("templates", number, "template"), read(template.content)))
    return texts


def check_templates(subjects: Sequence[Subject], *, is_whole: bool) -> Iterator[Finding]:
    """Yield what is wrong with the templates of prompts, which may include each other.

    Args:
        is_whole: whether these are all prompts that there are, so that an include of another one leads nowhere.
    """
    texts = {subject.spec.slug: texts_of(subject.spec) for subject in subjects}
    includes = {slug: _included(found) for slug, found in texts.items()}
    for subject in subjects:
        spec, own = subject.spec, texts[subject.spec.slug]
        for text in own:
            yield from _faults(spec, text)
            yield from _undeclared(spec, text)
            yield from _lost(spec, text, texts, is_whole=is_whole)
        yield from _variables(spec, own, texts, includes)
        circle = _circle(spec.slug, includes) if includes[spec.slug] else []
        if circle:
            message = f"it includes itself: {listed(circle, most=8)}; leave one of these includes out"
            part = own[0].part
            yield Finding("include-cycle", Severity.ERROR, spec.slug, message, "template", part, related=tuple(circle))


def slug_of(reference: str) -> str:
    return reference.partition("@")[0]


def _included(texts: Sequence[Text]) -> list[str]:
    return sorted({slug_of(include.reference) for text in texts for include in text.reading.includes})


def _faults(spec: PromptSpec, text: Text) -> Iterator[Finding]:
    for problem in text.reading.problems[:_MOST_OF_A_KIND]:
        where = f"{text.name}, line {problem.line}"
        yield Finding(
            "template", Severity.ERROR, spec.slug, problem.message, where, text.part, problem.line, problem.column
        )


def _undeclared(spec: PromptSpec, text: Text) -> Iterator[Finding]:
    told: set[str] = set()
    for use in text.reading.uses:
        # What is set in the template itself, and what loops name, is no use.
        is_field = use.root in NAMESPACES
        known = _is_field(use.path) if is_field else use.root in spec.variables
        path = use.path if is_field else use.root
        if known or path in told or len(told) >= _MOST_OF_A_KIND:
            continue
        told.add(path)
        names = list(FIELDS) if is_field else [*spec.variables, *FIELDS]
        near = get_close_matches(path, names, n=1, cutoff=0.6) if len(path) <= _LONGEST_NAME else []
        meant = f"; did you mean {near[0]}?" if near else "" if is_field else "; declare it under `variables`"
        what = f"there is no field {shown(path)}" if is_field else f"the variable {shown(path)} is not declared"
        where = f"{text.name}, line {use.line}"
        code = "unknown-field" if is_field else "undeclared-variable"
        yield Finding(code, Severity.ERROR, spec.slug, f"{what}{meant}", where, text.part, use.line, use.column)


def _is_field(path: str) -> bool:
    """Tell whether a path is that of a field, or leads into one: `event.links.0`."""
    return path in FIELDS or path in NAMESPACES or ".".join(path.split(".")[:2]) in FIELDS


def _lost(spec: PromptSpec, text: Text, texts: Mapping[str, Sequence[Text]], *, is_whole: bool) -> Iterator[Finding]:
    for include in text.reading.includes[:_MOST_OF_A_KIND]:
        slug = slug_of(include.reference)
        if slug in texts:
            continue
        near = get_close_matches(slug, texts, n=1, cutoff=0.8) if len(slug) <= _LONGEST_NAME else []
        meant = f"; did you mean {near[0]}?" if near else ""
        where = f"{text.name}, line {include.line}"
        severity = Severity.ERROR if is_whole else Severity.WARNING
        here = "" if is_whole else " among these; it has to be stored already"
        message = f"it includes {shown(include.reference)}, and there is no prompt {shown(slug)}{here}{meant}"
        yield Finding("unknown-include", severity, spec.slug, message, where, text.part, include.line, include.column)


def _variables(
    spec: PromptSpec,
    own: Sequence[Text],
    texts: Mapping[str, Sequence[Text]],
    includes: Mapping[str, Sequence[str]],
) -> Iterator[Finding]:
    if not spec.variables:
        return
    all_texts = [*own]
    reached = _reached(spec.slug, includes) if includes[spec.slug] else []
    for slug in reached:
        all_texts += texts.get(slug, ())
    # What an unknown text uses cannot be told.
    is_open = any(text.reading.problems for text in all_texts) or any(slug not in texts for slug in reached)
    used = {use.root for text in all_texts for use in text.reading.uses}
    for name, variable in spec.variables.items():
        where, part = f"variable {name}", ("variables", name)
        if name not in used and not is_open:
            message = f"the variable {shown(name)} is declared and no template uses it; use it, or drop it"
            yield Finding("unused-variable", Severity.WARNING, spec.slug, message, where, part)
        if name in NAMESPACES:
            message = f"the variable {shown(name)} has the name of a group of fields, which hides it; rename it"
            yield Finding("hidden-variable", Severity.ERROR, spec.slug, message, where, part)
        if variable.source is not None and not _is_field(variable.source):
            near = get_close_matches(variable.source[:_LONGEST_NAME], FIELDS, n=1, cutoff=0.6)
            meant = f"; did you mean {near[0]}?" if near else ""
            message = f"the source of {shown(name)}, {shown(variable.source)}, is no field that there is{meant}"
            yield Finding("unknown-source", Severity.ERROR, spec.slug, message, where, (*part, "source"))
        elif variable.source is None and variable.default is None and (variable.required or name in used):
            message = f"the variable {shown(name)} has neither a source nor a default, so it never has a value"
            severity = Severity.ERROR if variable.required else Severity.WARNING
            yield Finding("empty-variable", severity, spec.slug, message, where, part)


def _reached(slug: str, includes: Mapping[str, Sequence[str]]) -> list[str]:
    found: dict[str, None] = {}
    waiting = list(includes[slug])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found[other] = None
            waiting += includes.get(other, ())
    return sorted(found)


def _circle(slug: str, includes: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the shortest way by which a prompt includes itself, if there is one."""
    ways = {slug: [slug]}
    waiting = [slug]
    for current in waiting:
        for other in includes.get(current, ()):
            if other == slug:
                return [*ways[current], slug]
            if other not in ways:
                ways[other] = [*ways[current], other]
                waiting.append(other)
    return []
