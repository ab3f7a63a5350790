"""Why a command failed, read from its log."""

import re
import signal
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice

from contexten_core.learning.excerpt import excerpt_around
from contexten_core.learning.failed_tests import FailedTests
from contexten_core.learning.kinds import FailureKind, Tier
from contexten_core.learning.lines import LineMatcher, clean_lines
from contexten_core.learning.runners import FAILURE_LINES, LANDMARKS, FailureLine, Landmark
from contexten_core.learning.signs import SIGNS, Sign
from contexten_core.security.text import shorten

__all__ = ["Failure", "FailureKind", "explain_failure"]

MAX_HEADLINE = 140
"""Characters of a GitHub commit status description."""
_KEPT = 8
# Messages with fewer lines than this between them are about the same thing.
_STRETCH = 20
_MAX_TELLING = 30
_MAX_CAUSE_LINES = 3

_ENDINGS = {
    "timed_out": FailureKind.TIMEOUT,
    "timeout": FailureKind.TIMEOUT,
    "cancelled": FailureKind.CANCELLED,
    "canceled": FailureKind.CANCELLED,
    "interrupted": FailureKind.CANCELLED,
    "killed": FailureKind.CRASH,
    "signalled": FailureKind.CRASH,
    "out_of_memory": FailureKind.CRASH,
    "exhausted": FailureKind.CRASH,
    "not_started": FailureKind.ENVIRONMENT,
}
_EXIT_CODES = {124: FailureKind.TIMEOUT, 126: FailureKind.ENVIRONMENT, 127: FailureKind.ENVIRONMENT}
_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
_SHELL_SIGNAL = 128

_LEADS = {
    FailureKind.TEST: "Tests failed",
    FailureKind.COMPILATION: "Compilation failed",
    FailureKind.DEPENDENCY: "Dependency problem",
    FailureKind.LINT: "Lint failed",
    FailureKind.POLICY: "Build rule broken",
    FailureKind.TIMEOUT: "Timed out",
    FailureKind.CANCELLED: "Cancelled",
    FailureKind.CRASH: "Crashed",
    FailureKind.ENVIRONMENT: "Environment problem",
    FailureKind.UNKNOWN: "Failed",
}
# Of these the first message matters and the rest follows from it; of the others the last stretch ended the run.
_FIRST_MATTERS = {FailureKind.TEST, FailureKind.COMPILATION, FailureKind.LINT, FailureKind.POLICY}

_DECORATION = re.compile(
    r"(?:##\[error\]|\[(?:ERROR|error|FATAL)\]|::error[^:]*+::|E {3})?[ \t]*+"
    r"(?:Failed to execute goal (?:\S++ \(\S++ )?on project [^\s:]++: (?=\S))?"
)
_COMPLETES_CAUSE = re.compile(r"(?:\[ERROR\])?[ \t]++(?:symbol|location|required|found|reason)[ \t]*+:")


@dataclass(frozen=True, slots=True)
class Failure:
    """What a person would point at in the log of a failed command.

    Attributes:
        headline: one line of at most 140 characters; names the first failing test where there is one.
        excerpt: at most 4,000 characters around the telling lines, "…" standing for what was left out.
        failed_tests: names in the order of the log, at most 200.
        kind: what sort of failure it was.
        line: number of the telling line in the log, from 1; None for an empty log.
        cause: the telling line whole, with the lines that complete it; empty for an empty log.
    """

    headline: str
    excerpt: str
    failed_tests: tuple[str, ...]
    kind: FailureKind
    line: int | None
    cause: str = ""


def explain_failure(output: str, *, exit_code: int | None, ended: str) -> Failure:
    """Find the lines that tell why a command failed. Pure, linear in the size of the log, never raises.

    Args:
        output: the log as it was captured, escapes and all.
        exit_code: what the command returned, negative or above 128 for a signal; None when it did not return.
        ended: how the run ended, such as `exited`, `timed_out` or `cancelled`.
    """
    lines = clean_lines(output)
    findings = _read(lines)
    tests = findings.tests.names()
    kind = _decide(findings, has_tests=bool(tests), exit_code=exit_code, ended=ended)
    telling = list(_most_telling_first(findings, kind, tests.values(), lines))
    cause = "\n".join(_cause(lines, telling[0])) if telling else ""
    return Failure(
        headline=_headline(
            kind=kind, tests=list(tests), capped=findings.tests.capped, cause=cause, exit_code=exit_code
        ),
        excerpt=excerpt_around(lines, telling),
        failed_tests=tuple(tests),
        kind=kind,
        line=telling[0] + 1 if telling else None,
        cause=cause,
    )


@dataclass(slots=True)
class _Hits:
    """Lines that showed one sort of sign: the first few, and the beginning of the last stretch of them."""

    first: list[int] = field(default_factory=list)
    last_stretch: list[int] = field(default_factory=list)
    last: int = -_STRETCH

    def add(self, index: int) -> None:
        if len(self.first) < _KEPT:
            self.first.append(index)
        if index - self.last >= _STRETCH:
            self.last_stretch.clear()
        if len(self.last_stretch) < _KEPT:
            self.last_stretch.append(index)
        self.last = index


@dataclass(slots=True)
class _Findings:
    tests: FailedTests = field(default_factory=FailedTests)
    signs: dict[tuple[Tier, FailureKind], _Hits] = field(default_factory=dict)
    last_kind: dict[Tier, FailureKind] = field(default_factory=dict)
    """The kind of the last sign of each tier."""


@cache
def _matcher() -> LineMatcher[Sign | FailureLine | Landmark]:
    rows: tuple[Sign | FailureLine | Landmark, ...] = (*SIGNS, *LANDMARKS, *FAILURE_LINES)
    return LineMatcher([(row.pattern, row) for row in rows])


def _read(lines: Sequence[str]) -> _Findings:
    findings = _Findings()
    matcher = _matcher()
    for index, line in enumerate(lines):
        rows = matcher.match(line) if line else []
        findings.tests.read(index=index, line=line, rows=[row for row in rows if not isinstance(row, Sign)])
        if rows and isinstance(sign := rows[0], Sign):
            findings.signs.setdefault((sign.tier, sign.kind), _Hits()).add(index)
            findings.last_kind[sign.tier] = sign.kind
    return findings


def _decide(findings: _Findings, *, has_tests: bool, exit_code: int | None, ended: str) -> FailureKind:
    opinions = (
        _ENDINGS.get(ended.lower()),
        _signalled(exit_code),
        findings.last_kind.get(Tier.VERDICT),
        FailureKind.TEST if has_tests else None,
        _EXIT_CODES.get(exit_code) if exit_code is not None else None,
        findings.last_kind.get(Tier.SPECIFIC),
    )
    return next((kind for kind in opinions if kind is not None), FailureKind.UNKNOWN)


def _signalled(exit_code: int | None) -> FailureKind | None:
    if exit_code is None:
        return None
    number = -exit_code if exit_code < 0 else exit_code - _SHELL_SIGNAL
    if not 0 < number < signal.SIGSYS + 1:
        return None
    return FailureKind.CANCELLED if number in _STOP_SIGNALS else FailureKind.CRASH


def _most_telling_first(
    findings: _Findings, kind: FailureKind, tests: Collection[int], lines: Sequence[str]
) -> Iterator[int]:
    def hits(tier: Tier, of: FailureKind = FailureKind.UNKNOWN) -> list[int]:
        found = findings.signs.get((tier, of), _Hits())
        return found.first + found.last_stretch if of in _FIRST_MATTERS else found.last_stretch + found.first

    last_line = (index for index in range(len(lines) - 1, -1, -1) if lines[index])
    everything = chain(
        islice(tests, 1),
        hits(Tier.SPECIFIC, kind),
        islice(tests, _MAX_TELLING // 2),
        hits(Tier.VERDICT, kind),
        hits(Tier.GENERIC),
        hits(Tier.WEAK),
        hits(Tier.ECHO),
        islice(last_line, 1),
    )
    return islice(dict.fromkeys(everything), _MAX_TELLING)


def _cause(lines: Sequence[str], index: int) -> Iterator[str]:
    promised = True
    for line in lines[index : index + _MAX_CAUSE_LINES]:
        if not promised and not _COMPLETES_CAUSE.match(line):
            return
        yield _DECORATION.sub("", line, count=1).strip()
        promised = line.endswith(":")


def _headline(*, kind: FailureKind, tests: Sequence[str], capped: bool, cause: str, exit_code: int | None) -> str:
    lead = _LEADS[kind]
    if kind is FailureKind.UNKNOWN and exit_code is not None:
        lead = f"{lead} with exit code {exit_code}"
    if not tests:
        return _one_line(f"{lead}: {cause}" if cause else lead)
    more = "+" if capped else ""
    count = f"{len(tests)}{more} test{'s' if len(tests) > 1 else ''} failed: "
    prefix = count if kind is FailureKind.TEST else f"{lead}; {count}"
    rest = f" and {len(tests) - 1}{more} more" if len(tests) > 1 else ""
    whole = f"{prefix}{tests[0]}{rest}"
    return _one_line(whole if len(whole) <= MAX_HEADLINE else f"{prefix}{tests[0]}")


def _one_line(text: str) -> str:
    return shorten(" ".join(text.split()), MAX_HEADLINE)
