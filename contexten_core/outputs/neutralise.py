"""Text of a model, made harmless before it is posted: nobody is notified, nothing is hidden, ordered, closed or loaded.

It reads as before. What it does to a line is in `contexten_core.outputs.inline`; blocks of code are kept as they are,
between fences of our own at the beginning of a line, where neither a list nor a quotation can end them early. Doing it
twice changes nothing more.
"""

import re
from dataclasses import dataclass, field

from contexten_core.outputs.inline import Dialect, harmless_line, slack_escaped
from contexten_core.outputs.place import GITHUB_HOST
from contexten_core.outputs.words import REACH, closes, visible, without_orders

_GITHUB = frozenset({GITHUB_HOST})
_FENCE = re.compile(r"([ \t]*)(?:(`{3,})([^`]*)|(~{3,})(.*))")
_LANGUAGE = re.compile(r"\s*([A-Za-z0-9_+#.-]{1,30})")
_DRAWN = frozenset({"geojson", "math", "mermaid", "stl", "suggestion", "topojson"})
"""What GitHub draws instead of showing it, or offers to commit."""

_TICKS = re.compile(r"`{3,}")
_FENCE_MARK = "```"
_MORE = "…"
_CUT = f"\n{_MORE}"
_SHRINK = 0.9
_READ_FACTOR = 4

_TITLE_REFERENCE = re.compile(
    r"((?:[A-Za-z0-9_.\-]{1,40}/[A-Za-z0-9_.\-]{1,100})?)#(?=[0-9])|\b([A-Za-z][A-Za-z0-9]{0,9})-(?=[0-9])|://"
)
_TITLE_MARKS = str.maketrans({"#": "\uff03", "-": "\u2011", ":": "\uff1a"})
_TITLE_NAME = re.compile(r"@(?=\w)")
_SKIPS_CHECKS = re.compile(r"\[((?:skip|no)[ -](?:ci|actions)|(?:ci|actions)[ -]skip)\]", re.IGNORECASE)


def for_markdown(text: str, *, limit: int, hosts: frozenset[str] = _GITHUB) -> str:
    """Return a text that is safe to post at GitHub, in at most `limit` characters.

    Args:
        hosts: those that it may link to; other addresses are shown as code.
    """
    return _neutralise(text, Dialect(is_slack=False, hosts=hosts), limit)


def for_linear(text: str, *, limit: int, hosts: frozenset[str] = _GITHUB) -> str:
    """Return a text that is safe to post at Linear, in at most `limit` characters.

    Linear's own addresses are not linked either: there they mention people and tie tickets together.
    """
    return _neutralise(text, Dialect(is_slack=False, hosts=hosts), limit)


def for_slack(text: str, *, limit: int, hosts: frozenset[str] = _GITHUB) -> str:
    """Return a text that is safe to post to Slack as mrkdwn, in at most `limit` characters."""
    return _neutralise(text, Dialect(is_slack=True, hosts=hosts), limit)


def for_title(text: str, *, limit: int) -> str:
    """Return one line that is safe as a title and in a commit, where code is no code and names always notify."""
    line = " ".join(visible(text[: limit * _READ_FACTOR]).split())
    # Nothing below changes the length, and what is cut off could have kept something from being an order.
    line = line if len(line) <= limit else (line[: max(limit - 1, 0)].rstrip() + _MORE)[:limit]
    line = _TITLE_NAME.sub("\uff20", _SKIPS_CHECKS.sub(r"(\1)", without_orders(line)))
    parts, done = [], 0
    for found in _TITLE_REFERENCE.finditer(line):
        start = found.start()
        if not found[1] and not closes(line[max(start - REACH, 0) : _begin(found)]):
            continue
        mark = found[0] if found[0] == "://" else found[0][-1]
        parts.append(line[done : found.end() - len(mark)] + mark.translate(_TITLE_MARKS))
        done = found.end()
    return "".join(parts) + line[done:]


def _begin(found: re.Match[str]) -> int:
    """Return where a reference begins: an address does so before its colon."""
    if found[0] != "://":
        return found.start()
    scheme = re.search(r"[A-Za-z]{0,10}\Z", found.string[max(found.start() - 10, 0) : found.start()])
    return found.start() - (len(scheme[0]) if scheme else 0)


@dataclass(slots=True)
class _Code:
    """A block of code that has begun."""

    mark: str
    indent: int
    language: str
    lines: list[str] = field(default_factory=list)

    def ends(self, line: str) -> bool:
        shown = line.strip(" \t")
        return len(shown) >= len(self.mark) and shown == self.mark[0] * len(shown)

    def take(self, line: str) -> None:
        leading = len(line) - len(line.lstrip(" \t"))
        self.lines.append(line[min(leading, self.indent) :])


class _Writer:
    """Writes a text line by line, until it is full."""

    def __init__(self, dialect: Dialect, limit: int) -> None:
        self._dialect = dialect
        self._limit = limit
        self._room = limit - len(_CUT)
        self._lines: list[str] = []
        self._before = ""

    def write(self, lines: list[str], *, is_cut: bool) -> str:
        """Return the whole text, made harmless."""
        is_cut = not self._write(lines) or is_cut
        text = "\n".join(self._lines).strip("\n").rstrip()
        return (f"{text}{_CUT}" if text else _MORE)[: self._limit] if is_cut else text

    def _write(self, lines: list[str]) -> bool:
        """Write the lines; return False as soon as one does not fit."""
        code: _Code | None = None
        in_comment = False
        last_end = max((index for index, line in enumerate(lines) if "-->" in line), default=-1)
        for index, line in enumerate(lines):
            if code is not None:
                if not code.ends(line):
                    code.take(line)
                    continue
                if not self._add_code(code):
                    return False
                code = None
                continue
            if in_comment:
                _, end, line = line.partition("-->")  # noqa: PLW2901 - the rest is a line like any other
                if not end:
                    continue
                in_comment = False
            code = _code_begun(line, self._dialect)
            if code is None:
                fits, in_comment = self._add_line(line, goes_on=index < last_end)
                if not fits:
                    return False
        if code is not None and code.lines and not code.lines[-1]:
            code.lines.pop()
        return code is None or self._add_code(code)

    def _add(self, lines: list[str]) -> bool:
        size = sum(len(line) + 1 for line in lines)
        if size > self._room + 1:
            return False
        self._room -= size
        self._lines += lines
        return True

    def _add_line(self, line: str, *, goes_on: bool) -> tuple[bool, bool]:
        written, opened = harmless_line(line, self._dialect, before=self._before, goes_on=goes_on)
        if self._add([written]):
            self._before = f"{written[-REACH:]}\n" if written.strip() else ""
            return True, opened
        room = max(self._room, 0)
        while len(written) > room:
            line = line[: int(len(line) * min(_SHRINK, room / len(written)))]
            written, _ = harmless_line(line, self._dialect, before=self._before, goes_on=goes_on)
        if written:
            self._add([written])
        return False, opened

    def _add_code(self, code: _Code) -> bool:
        self._before = ""
        if self._add(self._fenced(code.lines, code.language)):
            return True
        fence, *_ = self._fenced(code.lines, "")
        room = self._room - len(code.language) - 2 * len(fence) - 2
        kept: list[str] = []
        for line in code.lines:
            part = line[: max(room, 0)] if not self._dialect.is_slack else line[: max(room, 0) // 6]
            if part:
                kept.append(part)
            room -= len(self._shown(part)) + 1
            if room <= 0 or len(part) < len(line):
                break
        if kept:
            self._add(self._fenced(kept, code.language))
        return False

    def _fenced(self, lines: list[str], language: str) -> list[str]:
        shown = [self._shown(line) for line in lines]
        if self._dialect.is_slack:
            return [_FENCE_MARK, *shown, _FENCE_MARK]
        longest = max((len(run) for line in shown for run in _TICKS.findall(line)), default=2)
        fence = "`" * (longest + 1)
        return [fence + language, *shown, fence]

    def _shown(self, line: str) -> str:
        line = without_orders(line)
        if not self._dialect.is_slack:
            return line
        line = _TICKS.sub(lambda run: "'" * len(run[0]), line)
        return slack_escaped(line)


def _code_begun(line: str, dialect: Dialect) -> _Code | None:
    found = _FENCE.fullmatch(line)
    if found is None or (found[4] and dialect.is_slack):
        return None
    language = _LANGUAGE.match(found[3] or found[5] or "")
    name = language[1] if language and language[1].lower() not in _DRAWN else ""
    return _Code(mark=found[2] or found[4], indent=len(found[1]), language=name)


def _neutralise(text: str, dialect: Dialect, limit: int) -> str:
    # What is far too long is not even read; the factor leaves room for what is taken out.
    most = max(limit, 0) * _READ_FACTOR
    return _Writer(dialect, max(limit, 0)).write(visible(text[:most]).split("\n"), is_cut=len(text) > most)
