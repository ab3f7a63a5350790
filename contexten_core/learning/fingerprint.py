"""Tells whether two failures are the same one."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from contexten_core.learning.failure import Failure
from contexten_core.learning.lines import strip_escapes

FINGERPRINT_VERSION = 1
"""Part of every digest; raise it when the same failure would get another one, so that old and new never mix."""

_DIGEST_LENGTH = 32
"""Hex digits: 128 bits, at which even a billion patterns do not collide, and short enough for an index and a URL."""

_Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _kept_or_number(match: re.Match[str]) -> str:
    return match["kept"] or "<n>"


# Folders that vary from machine to machine, so that what lies in them without a file's ending says nothing.
_ROOTS = {
    "__w",
    "builds",
    "github",
    "home",
    "mnt",
    "private",
    "root",
    "srv",
    "tmp",
    "Users",
    "var",
    "work",
    "workspace",
}
_FILE = re.compile(r"[^.].*\.[A-Za-z]\w{0,9}")
_TEMPORARY = re.compile(r"tmp[._]?\w{6,12}")


def _file_name(match: re.Match[str]) -> str:
    path = match[0].replace("\\", "/").rstrip("/")
    folders, _, name = path.rpartition("/")
    if _FILE.fullmatch(name) and not _TEMPORARY.fullmatch(name):
        return f"<path>/{name}" if folders else match[0]
    absolute = path.lstrip("./").split("/", maxsplit=1)[0]
    return "<path>" if absolute in _ROOTS or absolute.endswith(":") else match[0]


_PART = r"[^\s\\/:,;()\[\]{}<>|*?\"'`]"
_CLOCK = r"\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_UNIT = r"(?:ns|us|µs|ms|s|secs?|seconds?|m|mins?|minutes?|h|hours?|days?)"

_PATHS: tuple[_Rule, ...] = (
    (re.compile(rf"(?<!\w)[A-Za-z]:[\\/](?>(?:{_PART}++[\\/])*){_PART}*+"), _file_name),
    (re.compile(rf"(?<![\w.>/~-])(?:\.\.)?(?>(?:/{_PART}++)+)/?"), _file_name),
)

_VARYING: tuple[_Rule, ...] = (
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(rf"\b\d{{4}}[-/]\d\d[-/]\d\d(?:[T _]{_CLOCK})?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d)\b)?"), "<time>"),
    (re.compile(rf"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?\d{{1,2}} {_MONTH} \d{{4}}\b"), "<time>"),
    (re.compile(rf"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?{_MONTH} \d{{1,2}}(?:,? \d{{4}})?\b"), "<time>"),
    (re.compile(r"(?<![\w:.])\d{1,3}:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|UTC|GMT))?\b"), "<time>"),
    (re.compile(r"<time>(?>(?:[ ,]{0,2}<time>)+)"), "<time>"),
    *_PATHS,
    (re.compile(r"\bsha(?:1|256|384|512)[-:][\w+/=]++"), "<id>"),
    (re.compile(r"\b0x[0-9a-fA-F]++\b"), "<id>"),
    (re.compile(r"\bv?(?=[a-f]*+\d)(?=\d*+[a-f])[0-9a-f]{7,64}\b"), "<id>"),
    (re.compile(r"@(?=[a-f]*+\d)[0-9a-f]{5,8}\b"), "@<id>"),
    (re.compile(rf"(?<![\w.])\d++(?:\.\d++)? ?{_UNIT}(?![a-zA-Z_])"), "<duration>"),
    (re.compile(r"<duration>(?>(?:,? ?<duration>)+)"), "<duration>"),
    (re.compile(r"(?<![\w.])\d++(?:\.\d++)? ?[kKMGT]?i?B\b"), "<size>"),
    (
        re.compile(
            r"(?P<kept>\b(?:(?i:exit|code|status|errno|signal)|HTTP(?:/\d(?:\.\d)?)?)[ :=]{1,2}\d{1,3}\b(?![.,]\d))"
            r"|(?<!\w)v?\d++(?>(?:[.,]\d++)*)(?![A-Za-z_])"
        ),
        _kept_or_number,
    ),
)

_VARYING_IN_NAMES: tuple[_Rule, ...] = (
    *_PATHS,
    (re.compile(r"(\.\w++):\d++(?::\d++)?(?![\w:])"), r"\1"),
    (re.compile(r" [(\[]\d++(?:\.\d++)? ?m?s[)\]]$"), ""),
    (re.compile(r"\bat 0x[0-9a-fA-F]++\b"), "at <id>"),
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The identity of a failure across runs, commits and machines.

    Attributes:
        digest: equal exactly for equal failures, 32 hex digits.
        title: what to call the pattern, at most 140 characters.
        normalised: the telling line without what varies; what clustering compares.
    """

    digest: str
    title: str
    normalised: str


def fingerprint(failure: Failure) -> Fingerprint:
    """Return the identity of a failure.

    A failure with named tests is its kind and the set of these tests: the messages of one failing test vary from run
    to run, its name does not. Any other failure is its kind and its normalised telling line.
    """
    names = sorted({_stable_name(name) for name in failure.failed_tests})
    telling = normalise(failure.cause or failure.headline)
    parts = [str(FINGERPRINT_VERSION), failure.kind.value, *(names or [telling])]
    return Fingerprint(
        digest=hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_DIGEST_LENGTH],
        title=failure.headline,
        normalised=telling,
    )


def normalise(text: str) -> str:
    """Replace what varies between occurrences of one failure by placeholders such as `<time>` or `<n>`.

    Gone are colours, dates and times, durations, UUIDs, commit ids and other hex ids, addresses, sizes, counters,
    ports, line and column numbers, temporary folders, and the folders of absolute paths, of which the file name stays.
    Relative paths, error codes such as `TS2322`, exit codes and HTTP statuses stay: they tell failures apart.

    Versions go as well. A bot that tries a dependency's next release meets the same failure again, a build plugin's
    version says nothing about it, and the same test failing on two versions of Python is one failure; the version
    stays readable in the excerpt.

    Pure, linear in the text, and normalising twice is the same as once.
    """
    lines = (" ".join(line.split()) for line in strip_escapes(text).split("\n"))
    return _replaced("\n".join(line for line in lines if line), _VARYING)


def _stable_name(test: str) -> str:
    """Numbers stay here: `test_adds[1]` and `test_adds[2]` are two tests."""
    return _replaced(test, _VARYING_IN_NAMES)


def _replaced(text: str, rules: tuple[_Rule, ...]) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text
