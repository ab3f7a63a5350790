"""What an executor should see of the code for an event: ranked pieces within a budget, each with its reason."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from posixpath import basename

from contexten_core.codebase.commit import CommitFacts, Symbol
from contexten_core.codebase.history import History
from contexten_core.codebase.impact import Impact, SymbolChange

BYTES_PER_TOKEN = 4
"""English and code come to about four bytes a token with the tokenisers in use; other scripts to fewer."""

_CONVENTIONS = ("AGENTS.md", "CLAUDE.md", "CONTRIBUTING.md", ".github/copilot-instructions.md", ".cursorrules")
_CONVENTIONS_SHARE = 0.25
_LARGEST_SHARE = 0.3
_CLASS_LINES = 20
_AROUND = 5
_MOST_MENTIONS = 200
_MOST_CANDIDATES = 2_000
_MENTION = re.compile(r"[\w$./\\-]+")
_PLACE = re.compile(r"([\w./\\-]{1,200}\.\w{1,8})(?::|\", line )(\d{1,7})")
_ORDINARY = 4


class PieceKind(StrEnum):
    CONVENTIONS = "conventions"
    CHANGED = "changed"
    MENTIONED = "mentioned"
    TEST = "test"
    CALLER = "caller"
    RELATED = "related"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some lines of a file, counted from 1, and why they are worth seeing.

    Attributes:
        tokens: an estimate, see BYTES_PER_TOKEN.
        is_cut: whether the lines go on in the file, because all of them would have been too many.
    """

    kind: PieceKind
    path: str
    line: int
    end_line: int
    text: str
    tokens: int
    reason: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """Pieces, the most important first, and what else was ranked but did not fit."""

    pieces: tuple[Piece, ...]
    tokens: int
    budget_tokens: int
    left_out: tuple[str, ...]

    def as_text(self) -> str:
        """Return the pieces as one text, each under a line that says where it is from and why."""
        return "\n\n".join(
            f"### {piece.path}:{piece.line}-{piece.end_line} ({piece.reason})\n{piece.text}" for piece in self.pieces
        )


@dataclass(frozen=True, slots=True)
class _Candidate:
    kind: PieceKind
    score: float
    path: str
    line: int
    end_line: int
    reason: str


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text is."""
    return ceil(len(text.encode()) / BYTES_PER_TOKEN)


def choose_context(
    *,
    facts: CommitFacts,
    budget_tokens: int,
    read: Callable[[Collection[str]], Mapping[str, bytes]],
    impact: Impact | None = None,
    history: History | None = None,
    text: str = "",
) -> Context:
    """Choose what to show of a commit. The same input gives the same pieces in the same order.

    Args:
        budget_tokens: the most that all pieces may come to, their headings included.
        read: returns the contents of files of the commit, by path; may leave some out.
        impact: what the event changes, when it changes something.
        text: what the event says; paths, places and names in it count as mentioned.
    """
    candidates = sorted(
        _candidates(facts, impact, history, text), key=lambda one: (-one.score, one.path, one.line, one.end_line)
    )[:_MOST_CANDIDATES]
    lines = _Lines(read, candidates)
    pieces: list[Piece] = []
    left_out: list[str] = []
    shown: dict[str, list[tuple[int, int]]] = {}
    spent = conventions = 0
    for one in candidates:
        if any(first <= one.line and one.end_line <= last for first, last in shown.get(one.path, ())):
            continue
        share = _CONVENTIONS_SHARE if one.kind is PieceKind.CONVENTIONS else _LARGEST_SHARE
        limit = min(int(budget_tokens * share), budget_tokens - spent)
        if one.kind is PieceKind.CONVENTIONS:
            limit = min(limit, int(budget_tokens * _CONVENTIONS_SHARE) - conventions)
        piece = _cut(one, lines.of(one.path), limit)
        if piece is None:
            left_out.append(f"{one.path}:{one.line} ({one.reason})")
            continue
        pieces.append(piece)
        shown.setdefault(one.path, []).append((piece.line, piece.end_line))
        spent += piece.tokens
        conventions += piece.tokens if one.kind is PieceKind.CONVENTIONS else 0
    return Context(tuple(pieces), spent, budget_tokens, tuple(left_out[:100]))


class _Lines:
    """Contents of files as lines, read together when the first is asked for."""

    def __init__(self, read: Callable[[Collection[str]], Mapping[str, bytes]], wanted: Sequence[_Candidate]) -> None:
        self._read = read
        self._wanted = list(dict.fromkeys(one.path for one in wanted))
        self._contents: Mapping[str, bytes] | None = None

    def of(self, path: str) -> list[str]:
        if self._contents is None:
            self._contents = self._read(self._wanted)
        data = self._contents.get(path, b"")
        # Git's lines: a form feed, say, ends none.
        return [] if b"\0" in data else data.decode(errors="replace").replace("\r\n", "\n").split("\n")


def _cut(one: _Candidate, lines: list[str], limit: int) -> Piece | None:
    wanted = lines[one.line - 1 : one.end_line]
    heading = estimate_tokens(f"### {one.path}:{one.line}-{one.end_line} ({one.reason})\n\n\n")
    room, kept = (limit - heading) * BYTES_PER_TOKEN, 0
    for line in wanted:
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept += 1
    if not kept or (kept < len(wanted) and kept < _ORDINARY):
        return None
    text = "\n".join(wanted[:kept])
    return Piece(
        kind=one.kind,
        path=one.path,
        line=one.line,
        end_line=one.line + kept - 1,
        text=text,
        tokens=heading + estimate_tokens(text),
        reason=one.reason,
        is_cut=kept < len(wanted),
    )


def _candidates(facts: CommitFacts, impact: Impact | None, history: History | None, text: str) -> Iterator[_Candidate]:
    for rank, name in enumerate(_CONVENTIONS):
        if name in facts.files:
            yield _whole(facts, name, PieceKind.CONVENTIONS, 100 - rank, "how this project wants to be worked on")
    yield from _mentioned(facts, text)
    if impact is not None:
        yield from _near_conventions(facts, impact)
        yield from _changed(facts, impact)
        yield from _around(facts, impact)
        if history is not None:
            yield from _related(facts, impact, history)


def _near_conventions(facts: CommitFacts, impact: Impact) -> Iterator[_Candidate]:
    """The nearest AGENTS.md above each changed file counts for it: https://agents.md."""
    for change in impact.files:
        folder = change.path.rpartition("/")[0]
        while folder:
            name = f"{folder}/AGENTS.md"
            if name in facts.files:
                yield _whole(facts, name, PieceKind.CONVENTIONS, 96, f"how {folder}/ wants to be worked on")
                break
            folder = folder.rpartition("/")[0]


def _changed(facts: CommitFacts, impact: Impact) -> Iterator[_Candidate]:
    with_symbols = set()
    for one in impact.symbols:
        if one.change is SymbolChange.REMOVED:
            continue
        with_symbols.add(one.path)
        end = min(one.end_line, one.line + _CLASS_LINES - 1) if one.kind == "class" else one.end_line
        score = 80 if one.kind == "class" else 90
        yield _Candidate(PieceKind.CHANGED, score, one.path, one.line, end, f"{one.change.value}: {one.name}")
    for change in impact.files:
        if change.path in facts.files:
            last = max(facts.files[change.path].lines, 1)
            for first, end in change.lines[:50]:
                start, stop = max(1, first - _AROUND), min(last, end + _AROUND)
                yield _Candidate(PieceKind.CHANGED, 85, change.path, start, stop, f"{change.kind.value} lines")


def _around(facts: CommitFacts, impact: Impact) -> Iterator[_Candidate]:
    for kind, found, weight in ((PieceKind.TEST, impact.tests, 70.0), (PieceKind.CALLER, impact.reached, 60.0)):
        for one in found:
            symbol = next((symbol for symbol in facts.symbols(one.path) if symbol.name == one.name), None)
            if symbol is None:
                continue
            what = "tests" if kind is PieceKind.TEST else "depends on"
            score = weight * one.confidence / max(one.depth, 1)
            reason = f"{what} {one.through.rpartition(':')[2] or one.through}, {one.depth} away"
            yield _Candidate(kind, score, one.path, symbol.line, symbol.end_line, reason)


def _related(facts: CommitFacts, impact: Impact, history: History) -> Iterator[_Candidate]:
    changed = {change.path for change in impact.files}
    for path in sorted(changed):
        for other, pair in history.changed_with(path)[:5]:
            if other in facts.files and other not in changed:
                reason = f"changed together with {path} in {pair.together} commits"
                end = min(facts.files[other].lines, _CLASS_LINES)
                yield _Candidate(PieceKind.RELATED, 30 * pair.confidence, other, 1, max(end, 1), reason)


def _mentioned(facts: CommitFacts, text: str) -> Iterator[_Candidate]:
    for path, line in _places(facts, text):
        symbol = _at(facts.symbols(path), line)
        start, end = (symbol.line, symbol.end_line) if symbol else (max(1, line - _AROUND), line + _AROUND)
        yield _Candidate(PieceKind.MENTIONED, 88, path, start, end, f"the event points to line {line}")
    names = list(dict.fromkeys(_MENTION.findall(text[:100_000])))[:_MOST_MENTIONS]
    by_name: dict[str, list[str]] = {}
    for path in facts.files:
        by_name.setdefault(basename(path), []).append(path)
    for name in names:
        plain = name.strip("./\\-").replace("\\", "/")
        paths = [path for path in by_name.get(basename(plain), ()) if path == plain or path.endswith(f"/{plain}")]
        if len(paths) == 1 and "." in plain:
            yield _whole(facts, paths[0], PieceKind.MENTIONED, 75, "the event names this file")
        if _is_identifier(plain):
            symbols = facts.symbols_named(plain)
            for symbol in symbols[:3]:
                reason = f"the event names {symbol.name}"
                yield _Candidate(
                    PieceKind.MENTIONED, 78 / len(symbols), symbol.path, symbol.line, symbol.end_line, reason
                )


def _places(facts: CommitFacts, text: str) -> Iterable[tuple[str, int]]:
    """Yield `path:line` and `File "path", line N` of the text, for files of the commit, also below another folder."""
    for path, line in list(dict.fromkeys(_PLACE.findall(text[:100_000])))[:_MOST_MENTIONS]:
        parts = path.replace("\\", "/").lstrip("./").split("/")
        for start in range(len(parts)):
            known = "/".join(parts[start:])
            if known in facts.files:
                yield known, int(line)
                break


def _at(symbols: Iterable[Symbol], line: int) -> Symbol | None:
    inside = [symbol for symbol in symbols if symbol.line <= line <= symbol.end_line and symbol.kind != "class"]
    return max(inside, key=lambda symbol: symbol.line, default=None)


def _is_identifier(name: str) -> bool:
    """Tell a name in code from an ordinary word: it has an underscore, a dot or a capital within."""
    has_sign = "_" in name.strip("_") or "." in name or any(letter.isupper() for letter in name[1:])
    return len(name) >= _ORDINARY and has_sign


def _whole(facts: CommitFacts, path: str, kind: PieceKind, score: float, reason: str) -> _Candidate:
    return _Candidate(kind, score, path, 1, max(facts.files[path].lines, 1), reason)
