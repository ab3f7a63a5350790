"""How test runners name a failing test in their output: one row for each way."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

Groups = Mapping[str, str | None]


def _plain(groups: Groups, _scope: str) -> str:
    return groups["name"] or ""


def _scope_itself(_groups: Groups, scope: str) -> str:
    return scope


def _in_file(groups: Groups, scope: str) -> str:
    return f"{scope} \u203a {groups['name']}" if scope else groups["name"] or ""


def _unittest(groups: Groups, _scope: str) -> str:
    name, owner = groups["name"] or "", groups["owner"] or ""
    if owner.startswith("unittest.loader."):
        return name
    return owner if owner.endswith(f".{name}") else f"{owner}.{name}"


_METHOD_FIRST = re.compile(r"(?P<name>[^(]+)\((?P<owner>[\w$]+(?:\.[\w$]+)+)\)(?P<index>\[.*\])?")


def _surefire(groups: Groups, _scope: str) -> str:
    name = groups["name"] or ""
    old = _METHOD_FIRST.fullmatch(name)
    return f"{old['owner']}.{old['name']}{old['index'] or ''}" if old else name


class Mark(Enum):
    OPENS = auto()
    """Failing tests of this runner follow, in the scope that the line names."""
    ENDS = auto()
    """No more of them follow."""
    COMPLETES = auto()
    """The line comes after its tests and names the scope that they lack."""


@dataclass(frozen=True, slots=True)
class Landmark:
    """A line that says where in the output a runner's failing tests stand; `pattern` may have a group `scope`."""

    runner: str
    pattern: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class FailureLine:
    """A line that names a failing test.

    Attributes:
        pattern: RE2 with a group `name`.
        name: puts the name together from the groups and the scope of the last landmark.
        within: counts only between a landmark that opens and one that ends.
        until: the name goes on over the next lines until one ends like this.
        nests_with: stands between an outer test's name and an inner one's; where both failed, the inner one counts.
        fallback: counts only when the runner named nothing in a better way.
        unless: names that are headings, not tests.
    """

    runner: str
    pattern: str
    name: Callable[[Groups, str], str] = _plain
    within: bool = False
    until: str = ""
    nests_with: str = ""
    fallback: bool = False
    unless: str = r"^$"


LANDMARKS = (
    Landmark("go", r"^FAIL\t(?P<scope>\S+)\t", Mark.COMPLETES),
    Landmark("jest", r"^\s*FAIL\s+(?:\S+\s+)?(?P<scope>\S+\.[cm]?[jt]sx?)(?: \([\d.]+ m?s\))?$", Mark.OPENS),
    Landmark("jest", r"^\s*PASS\s", Mark.ENDS),
    Landmark("junit", r"^Failures \(\d+\):$", Mark.OPENS),
    Landmark("mocha", r"^\s+\d+ failing$", Mark.OPENS),
    Landmark("node", r"^✖ failing tests:", Mark.OPENS),
    Landmark("surefire", r"^(?:\[ERROR\] )?(?:Failed tests|Tests in error):", Mark.OPENS),
    Landmark("surefire", r"^(?:\[ERROR\] )?Tests run:", Mark.ENDS),
    Landmark("phpunit", r"^There (?:was|were) \d+ (?:failure|error)s?:$", Mark.OPENS),
    Landmark("phpunit", r"^There (?:was|were) \d+ (?:risky|skipped|incomplete|warning|deprecat)", Mark.ENDS),
)

_PYTEST = r"(?P<name>[^\s:]+\.\w+::[^\[\]]*?(?:\[.*?\])?)"
_JS_FILE = r"\S+\.[cm]?[jt]sx?"

FAILURE_LINES = (
    FailureLine("pytest", rf"^(?:FAILED|ERROR|SUBFAIL|SUBFAILED) (?:\[[^\]]*\] )?{_PYTEST}(?: - .*)?$"),
    FailureLine("pytest", r"^ERROR (?P<name>[^\s:]+\.py)(?: - .*)?$"),
    FailureLine("pytest", rf"^{_PYTEST} (?:FAILED|ERROR)(?:\s+\[ *\d+%\])?$"),
    FailureLine("pytest", rf"^\[gw\d+\] \[ *\d+%\] (?:FAILED|ERROR) {_PYTEST}$"),
    FailureLine("unittest", r"^(?:FAIL|ERROR): (?P<name>\S+) \((?P<owner>[\w.<>]+)\)", name=_unittest),
    FailureLine("unittest", r"^(?P<name>\w+) \((?P<owner>[\w.]+)\) \.\.\. (?:FAIL|ERROR)$", name=_unittest),
    FailureLine("jest", r"^\s+● (?P<name>Test suite failed to run)$", name=_scope_itself, within=True),
    FailureLine(
        "jest",
        r"^\s+● (?P<name>\S.*)$",
        name=_in_file,
        within=True,
        unless=r"^(?:Console|Cannot log after|process\.exit|Deprecation)",
    ),
    FailureLine("vitest", rf"^\s*FAIL\s+(?:\|[^|]*\| )?(?P<name>{_JS_FILE} > .+)$"),
    FailureLine("vitest", rf"^\s*FAIL\s+(?:\|[^|]*\| )?(?P<name>{_JS_FILE}) \[ .* \]$"),
    FailureLine("mocha", r"^\s+\d+\) (?P<name>\S.*)$", within=True, until=":"),
    FailureLine("node", r"^✖ (?P<name>.+?)(?: \([\d.]+ms\))?$", within=True, unless=r"^failing tests:"),
    FailureLine("playwright", r"^\s+\d+\) (?P<name>(?:\[[^\]]*\] \x{203A} )?\S+:\d+:\d+ \x{203A} .+?)[ ─]*$"),
    FailureLine("bun", r"^\(fail\) (?P<name>.+?)(?: \[[\d.]+ms\])?$"),
    FailureLine("deno", r"^(?P<name>\S.* => \./\S+:\d+:\d+)$"),
    FailureLine("go", r"^\s*--- FAIL: (?P<name>\S+)", nests_with="/"),
    FailureLine("cargo", r"^test (?P<name>\S.*?) \.\.\. FAILED$"),
    FailureLine("nextest", r"^\s+(?:FAIL|TIMEOUT|SIG[A-Z]+) \[ *[\d.]+s\] (?:\( *\d+/\d+\) )?(?P<name>\S+ \S+)$"),
    FailureLine(
        "surefire",
        r"^(?:\[ERROR\]\s+)?(?P<name>\S.*?)\s+(?:-- )?Time elapsed: .*<<< (?:FAILURE|ERROR)!",
        name=_surefire,
        unless=r"^Tests run:",
    ),
    FailureLine("surefire", r"^\[ERROR\]\s{2,}(?P<name>[A-Z][\w$]*\.\w+):\d+\b", fallback=True),
    FailureLine(
        "surefire",
        r"^(?:Failed tests:|Tests in error:)?\s{2,}(?P<name>\w+\([\w.$]+\))",
        name=_surefire,
        within=True,
        fallback=True,
    ),
    FailureLine(
        "surefire",
        r"^(?:Failed tests:|Tests in error:)?\s{2,}(?P<name>[A-Z][\w$]*\.\w+):\d+\b",
        within=True,
        fallback=True,
    ),
    FailureLine("junit", r"^\s+JUnit (?:Jupiter|Vintage):(?P<name>\S.*)$", within=True),
    FailureLine("gradle", r"^(?P<name>[A-Za-z][^>]* > .+) FAILED$"),
    FailureLine("rspec", r"^rspec (?P<name>\S+ # .+)$"),
    FailureLine("minitest", r"^\s*(?:\d+\) (?:Failure|Error):\s*)?(?P<name>[A-Z][\w:]*#test_\S+?)(?: \[\S+\])?:?$"),
    FailureLine("phpunit", r"^\d+\) (?P<name>[\w\\]+::\w+.*)$", within=True),
    FailureLine("exunit", r"^\s+\d+\) (?P<name>(?:test|property) .+ \([A-Z][\w.]*\))$"),
    FailureLine("googletest", r"^\[  FAILED  \] (?P<name>[\w/]+\.[\w/]+)(?:, where .*)?(?: \(\d+ ms\))?$"),
    FailureLine("ctest", r"^\s+\d+ - (?P<name>\S+) \((?:Failed|Timeout|SEGFAULT|Subprocess aborted|Not Run)\)"),
    FailureLine("dotnet", r"^\s+Failed (?P<name>[A-Z][\w.+]*(?:\(.*\))?) \[[^\]]+\]$"),
    FailureLine("xunit", r"^(?:\[xUnit\.net [\d:.]+\])?\s+(?P<name>[A-Z][\w.+]*(?:\(.*\))?) \[FAIL\]$"),
    FailureLine("xctest", r"Test Case '-\[(?P<name>\S+ \S+)\]' failed"),
    FailureLine("scalatest", r"^(?:\[info\])?\s*- (?P<name>.+) \*\*\* FAILED \*\*\*"),
    FailureLine("tap", r"^\s*not ok \d+ (?:- )?(?P<name>.+)$", unless=r"(?i)# (?:todo|skip)"),
    FailureLine("prove", r"^(?P<name>\S+\.t)\s+\(Wstat"),
)
