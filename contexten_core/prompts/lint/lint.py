"""Static checks of prompts: what can never be, what cannot work, and what is hardly meant, before an event tells."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from contexten_core.prompts.index.index import LivePrompt
from contexten_core.prompts.lint.conditions import check_conditions
from contexten_core.prompts.lint.events import Kind, check_events
from contexten_core.prompts.lint.findings import Finding, Severity, Subject, domain_of, listed
from contexten_core.prompts.lint.implication import Reasoner
from contexten_core.prompts.lint.pairs import check_pairs
from contexten_core.prompts.lint.running import check_running
from contexten_core.prompts.lint.templates import check_templates
from contexten_core.prompts.models import PromptStatus
from contexten_core.prompts.spec import PromptSpec, content_of, digest_of
from contexten_core.settings import Settings

__all__ = ["Finding", "Severity", "lint"]

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def lint(
    prompts: Sequence[LivePrompt | PromptSpec],
    *,
    settings: Settings | None = None,
    seen: Mapping[Kind, int] | None = None,
    is_whole: bool = True,
) -> list[Finding]:
    """Check prompts, by themselves and against each other. The same prompts give the same findings in the same order.

    It takes processor time, of 10,000 prompts some seconds: in a server call it in a thread.

    Args:
        prompts: those that are stored, of which only the active ones are selected, or those of files, which all are.
        settings: of this installation.
        seen: how many events of each provider, type and action there have been; without it all known ones count.
        is_whole: whether these are all prompts that there are; else nothing is said of events that nothing covers.

    Returns:
        Errors first, then warnings and what is good to know; each by slug, code and place.
    """
    reasoner = Reasoner(domain_of)
    subjects = [_subject(prompt, reasoner) for prompt in prompts]
    findings = [
        *(finding for subject in subjects for finding in check_conditions(subject, reasoner)),
        *(finding for subject in subjects for finding in check_running(subject, settings)),
        *check_templates(subjects, is_whole=is_whole),
        *_same_slugs(subjects),
        *_duplicates(subjects),
        *check_pairs(subjects, reasoner),
        *(check_events(subjects, reasoner, seen) if is_whole else ()),
    ]
    return sorted(findings, key=_order)


def _subject(prompt: LivePrompt | PromptSpec, reasoner: Reasoner) -> Subject:
    spec = prompt.spec if isinstance(prompt, LivePrompt) else prompt
    selects = not isinstance(prompt, LivePrompt) or prompt.status is PromptStatus.ACTIVE
    return Subject(spec, reasoner.rule(spec.conditions), selects)


def _order(finding: Finding) -> tuple[int, str, str, str, int, str]:
    return (
        _ORDER[finding.severity],
        finding.slug or "",
        finding.code,
        "\0".join(f"{part:09}" if isinstance(part, int) else part for part in finding.part),
        finding.line or 0,
        # Of events that nothing covers the most frequent come first.
        finding.message if finding.slug else "",
    )


def _same_slugs(subjects: Sequence[Subject]) -> Iterator[Finding]:
    counts: dict[str, int] = defaultdict(int)
    for subject in subjects:
        counts[subject.spec.slug] += 1
    for slug, count in counts.items():
        if count > 1:
            message = f"{count} prompts have this slug, and only one of them can be stored; give each its own"
            yield Finding("duplicate-slug", Severity.ERROR, slug, message, "slug", ("slug",))


def _duplicates(subjects: Sequence[Subject]) -> Iterator[Finding]:
    same: dict[str, set[str]] = defaultdict(set)
    for subject in subjects:
        same[digest_of(content_of(subject.spec))].add(subject.spec.slug)
    for slugs in same.values():
        first, *others = sorted(slugs)
        for slug in others:
            others_said = listed([one for one in sorted(slugs) if one != slug])
            message = f"it says the same as {others_said} in every respect; drop one"
            yield Finding("duplicate", Severity.WARNING, slug, message, related=(first,))
