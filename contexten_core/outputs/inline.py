"""One line of a text, made harmless: it is read as the service would, and written so that it cannot be read otherwise.

What is left of markup is emphasis, lists, tables and the like, code, and links to known hosts. All that could begin
something larger (HTML, images, other links, formulas, code that does not end) is shown as the characters that it is,
so that where code ends for us it ends for the service too, and a name that we mark as code stays code.

At GitHub neither a backslash nor an entity keeps `@name` from notifying (https://github.com/github/cmark-gfm/issues/181,
https://github.com/openjdk/skara/pull/1548), code does. Slack's mentions and links need `<`, which is escaped
(https://docs.slack.dev/messaging/formatting-message-text/). At Linear the address of somebody's profile is a mention
(https://github.com/linear/linear/issues/351), and is shown as code like every address of a host that is not known.
"""

import html
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

from contexten_core.outputs.words import REACH, closes, visible, without_orders

_ATOM = "\ue000"
_LITERAL = 0xE100
_TICK = "'"
"""Stands for a backtick that neither begins nor ends code; no service gives it a meaning."""

_NAMES = (
    "a|abbr|area|audio|b|base|big|blink|blockquote|body|br|button|canvas|center|cite|code|col|dd|del|details|dfn|div|"
    "dl|dt|em|embed|font|footer|form|frame|frameset|g|h[1-6]|head|header|hr|html|i|iframe|image|img|input|ins|kbd|li|"
    "link|main|map|mark|marquee|math|meta|nav|noscript|object|ol|option|p|param|path|picture|pre|q|rp|rt|ruby|s|samp|"
    "script|section|select|small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|template|textarea|"
    "tfoot|th|thead|title|tr|track|tt|u|ul|var|video|wbr"
)
_TAG = rf"</?(?:{_NAMES})(?![\w-])[^<>]*>"
_LINK = r"!?\[((?:[^\[\]\\]|\\.)*)\]\( *<?([^\s()<>\ue000]*)>?(?: +(?:\"[^\"]*\"|'[^']*'))? *\)"
_MARKDOWN = re.compile(
    r"\\([!-/:-@\[-`{-~])|&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});|"
    rf"<(https?://[^\s<>\ue000]*)>|(<!--)|({_TAG})|{_LINK}",
    re.IGNORECASE,
)
_SLACK = re.compile(
    r"()&(amp|lt|gt);|<(https?://[^\s<>|\ue000]*)(?:\|([^<>]*))?>|(<!--)|" + rf"({_TAG})|{_LINK}", re.IGNORECASE
)
_SLACK_ENTITY = re.compile(r"&(?:amp|lt|gt);")
_RUNS = re.compile(r"\\?`+")
_TICKS = re.compile(r"`+")
_RISKY = re.compile(r"[@<>\[\]#/$!:~\\`]|www\.")

_TRIGGER = re.compile(
    r"(?P<address>://(?=[^\s<>`\ue000])|(?:www\.|mailto:|xmpp:)(?=[^\s<>`\ue000]))|(?P<name>@(?=\w))|"
    r"(?P<number>#(?=[0-9]))|(?P<ticket>(?<![\w-])[A-Za-z][A-Za-z0-9]{0,9}-(?=[0-9]))|"
    r"(?P<domain>(?<=[A-Za-z0-9])\.[A-Za-z]{2,24}(?::[0-9]{1,5})?[/?#](?=[^\s<>`\ue000]))",
    re.IGNORECASE,
)
# Read backwards from where the trigger is.
_BEFORE = {
    "address": re.compile(r"[A-Za-z0-9+.\-]{0,40}"),
    "name": re.compile(r"[\w.+\-]{0,100}"),
    "number": re.compile(r"(?:[A-Za-z0-9_.\-]{1,100}/[A-Za-z0-9_.\-]{1,40})?"),
    "ticket": re.compile(""),
    "domain": re.compile(r"[A-Za-z0-9_./\-]{0,100}"),
}
_AFTER = {
    "address": re.compile(r"[^\s<>`\ue000]*"),
    "name": re.compile(r"[\w./@+\-]*"),
    "number": re.compile(r"[0-9]+"),
    "ticket": re.compile(r"[0-9]+"),
    "domain": re.compile(r"[^\s<>`\ue000]*"),
}
_WINDOW = 150
_LONGEST_ADDRESS = 1_000
_TRAILING = ".,:;!?'\")]}*_~|"
_KNOWN = re.compile(r"https://([A-Za-z0-9.\-]+(?::[0-9]{1,5})?)(?:/[A-Za-z0-9._~!*+,;=:%/?#&\-]*)?")

_SPECIAL = re.compile(
    r"[\ue121-\ue17e]+|[<$]+|&(?=[#A-Za-z\ue123])|\\(?=[!-/:-@\[-`{-~\ue121-\ue17e])|~{3,}|\](?=[(:])"
)
_LITERALS = {code: chr(_LITERAL + code) for code in range(0x21, 0x7F) if not chr(code).isalnum()}
_FROM_LITERALS = {ord(shape): code for code, shape in _LITERALS.items()}
_ALIKE = frozenset("@/%=?;,'\"")
"""Punctuation that no markup is made of."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a service writes text.

    Attributes:
        is_slack: Slack's own; else Markdown.
        hosts: those that may be linked to.
    """

    is_slack: bool
    hosts: frozenset[str]


@dataclass(slots=True)
class _Text:
    """What a piece of a line says.

    `plain` is what is read, `shape` the same with what must not act as markup set apart; both have a placeholder for
    each of the `atoms`, which are finished.
    """

    plain: list[str] = field(default_factory=list)
    shape: list[str] = field(default_factory=list)
    atoms: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.plain.append(text)
        self.shape.append(text)

    def add_literal(self, text: str) -> None:
        self.plain.append(text)
        self.shape.append(text.translate(_LITERALS))

    def add_atom(self, atom: str) -> None:
        self.add(_ATOM)
        self.atoms.append(atom)

    @property
    def tail(self) -> str:
        return "".join(self.plain[-REACH:])[-REACH:]


def harmless_line(line: str, dialect: Dialect, *, before: str = "", goes_on: bool = False) -> tuple[str, bool]:
    """Return a line made harmless, and whether a comment begins in it that ends in a later one.

    Args:
        line: visible characters only, outside blocks of code.
        before: the end of the line before it.
        goes_on: whether any later line ends a comment.
    """
    text, codes = _take_codes(line, dialect)
    found = _Text()
    opened = _Reader(dialect, codes, before, goes_on=goes_on).read(text, found)
    return without_orders(_write(found, dialect, before)), opened


def _take_codes(line: str, dialect: Dialect) -> tuple[str, list[str]]:
    """Return a line with a placeholder for each piece of code in it, and those pieces, harmless."""
    if "`" not in line:
        return line, []
    places: dict[int, list[int]] = defaultdict(list)
    for ticks in _TICKS.finditer(line):
        places[len(ticks[0])].append(ticks.start())
    parts, codes, done = [], [], 0
    runs = _TICKS if dialect.is_slack else _RUNS
    while (run := runs.search(line, done)) is not None:
        start, end = run.span()
        if line[start] == "\\":
            is_escaped = _escapes(line, start, done)
            start += 2 if is_escaped else 1
            parts.append(line[done:start])
            done = start
            if is_escaped:
                continue
        starts = places[end - start]
        index = bisect_left(starts, end)
        if index == len(starts):
            parts.append(line[done:start] + _TICK * (end - start))
            done = end
            continue
        parts.append(line[done:start] + _ATOM)
        codes.append(_code(line[end : starts[index]], dialect, ticks=end - start))
        done = starts[index] + end - start
    parts.append(line[done:])
    return "".join(parts), codes


def _escapes(line: str, place: int, start: int) -> bool:
    """Tell whether the backslash here is not itself escaped; text is read from `start` on."""
    first = place
    while first > start and line[first - 1] == "\\":
        first -= 1
    return (place - first) % 2 == 0


def _code(content: str, dialect: Dialect, *, ticks: int = 1) -> str:
    """Return text as code, which every service shows as it is."""
    if dialect.is_slack:
        return f"`{slack_escaped(content).replace('`', _TICK)}`"
    mark = "`" * ticks
    if "|" in content and _RISKY.search(content):
        # A bar divides the cells of a table also within code, and what is left of the code would act.
        return "|".join(f"`{part}`" if part else "" for part in content.replace("`", _TICK).split("|"))
    return f"{mark}{content}{mark}"


def slack_escaped(text: str) -> str:
    """Return a text with Slack's three special characters escaped, once also where they were before."""
    return html.escape(_slack_unescaped(text), quote=False)


def _slack_unescaped(text: str) -> str:
    return _SLACK_ENTITY.sub(lambda found: html.unescape(found[0]), text)


@dataclass(slots=True)
class _Reader:
    dialect: Dialect
    codes: list[str]
    before: str
    goes_on: bool
    used: int = 0
    in_link: bool = False

    def read(self, text: str, into: _Text) -> bool:
        """Read a text; return whether a comment begins in it that does not end in it, and what follows is left out."""
        pattern, comment = (_SLACK, 5) if self.dialect.is_slack else (_MARKDOWN, 4)
        done, last = 0, text.rfind("-->")
        while (found := pattern.search(text, done)) is not None:
            self._pass(text[done : found.start()], into)
            done = found.end()
            if found[comment] is None:
                self._take(found, into)
                continue
            end = text.find("-->", done) if last >= done else -1
            if end < 0 and self.goes_on and not self.in_link:
                return True
            if end >= 0:
                self.used += text.count(_ATOM, done, end)
                done = end + 3
        self._pass(text[done:], into)
        return False

    def _pass(self, text: str, into: _Text) -> None:
        if text:
            into.add(text)
            count = text.count(_ATOM)
            into.atoms.extend(self.codes[self.used : self.used + count])
            self.used += count

    def _take(self, found: re.Match[str], into: _Text) -> None:
        label = None
        if self.dialect.is_slack:
            escaped, entity, address, label, _, tag, words, link = found.groups()
        else:
            escaped, entity, address, _, tag, words, link = found.groups()
        if escaped:
            into.add_literal(escaped)
        elif entity:
            into.add_literal(visible(html.unescape(found[0])).replace("`", _TICK).replace("\n", " "))
        elif address and label:
            self._link(label, address, into)
        elif address:
            into.add_atom(self._address(address, into))
        elif tag:
            self.used += tag.count(_ATOM)
        elif words is not None:
            self._link(words, link, into)

    def _address(self, address: str, into: _Text) -> str:
        if self._is_linked(address, into):
            return f"<{address}>"
        return _code(address.replace("`", _TICK), self.dialect)

    def _is_linked(self, address: str, into: _Text) -> bool:
        return not self.in_link and _is_known(address, self.dialect) and not closes(self.before + into.tail)

    def _link(self, words: str, address: str, into: _Text) -> None:
        """Take a link or an image: to a known host as a link, else as its words and where it leads."""
        is_linked = self._is_linked(address, into)
        inner = _Text()
        self.in_link, outer = True, self.in_link
        self.read(words, inner)
        self.in_link = outer
        shown = "".join(
            _filled("".join(inner.plain), [_slack_unescaped(atom.strip("`")) for atom in inner.atoms])
        ).strip()
        if address and shown in ("", address):
            into.add_atom(self._address(address, into))
        elif is_linked and self.dialect.is_slack:
            into.add_atom(f"<{address}|{html.escape(shown.replace('|', '/'), quote=False).replace('`', _TICK)}>")
        elif is_linked:
            into.add_atom(f"[{_write(inner, self.dialect, '', in_link=True)}]({address})")
        else:
            into.plain.extend(inner.plain)
            into.shape.extend(inner.shape)
            into.atoms.extend(inner.atoms)
            if address:
                into.add(" (")
                into.add_atom(_code(address.replace("`", _TICK), self.dialect))
                into.add(")")


def _is_known(address: str, dialect: Dialect) -> bool:
    match = _KNOWN.fullmatch(address)
    is_known = match is not None and match[1].lower() in dialect.hosts
    return is_known and len(address) <= _LONGEST_ADDRESS and without_orders(address) == address


def _filled(text: str, atoms: Iterable[str]) -> list[str]:
    """Return a text with its atoms in place: text and atoms by turns, beginning and ending with text."""
    first, *rest = text.split(_ATOM)
    return [first, *chain.from_iterable((atom, part) for part, atom in zip(rest, atoms, strict=False))]


def _write(text: _Text, dialect: Dialect, before: str, *, in_link: bool = False) -> str:
    """Return the text as its service writes it, with names, numbers that close and addresses as code."""
    plain, shape = "".join(text.plain), "".join(text.shape)
    pieces: list[str] = []
    atoms = iter(text.atoms)
    done = look = 0
    while (found := _TRIGGER.search(plain, look)) is not None:
        start, end = _bounds(plain, found, done)
        look = found.end()
        near = plain[max(start - REACH, done) : start]
        atom = _reference(plain[start:end], str(found.lastgroup), near if done else before + near, dialect)
        if atom is None:
            continue
        if in_link and atom.startswith("<"):
            atom = _code(plain[start:end], dialect)
        pieces += _filled(shape[done:start], atoms)
        pieces.append(atom)
        done = look = end
    pieces += _filled(shape[done:], atoms)
    return _assemble(pieces, dialect)


def _bounds(plain: str, found: re.Match[str], done: int) -> tuple[int, int]:
    """Return from where to where a reference goes whose trigger was found; nothing before `done` is in it."""
    kind = str(found.lastgroup)
    window = plain[max(done, found.start() - _WINDOW) : found.start()]
    left = _BEFORE[kind].match(window[::-1])
    right = _AFTER[kind].match(plain, found.end())
    start = found.start() - (left.end() if left else 0)
    end = right.end() if right else found.end()
    while kind == "name" and plain[start] == "_":
        start += 1
    trailing = "" if kind in ("number", "ticket") else _TRAILING + "/-+" if kind == "name" else _TRAILING
    while end > found.end() + 1 and plain[end - 1] in trailing:
        end -= 1
    return start, end


def _reference(text: str, kind: str, before: str, dialect: Dialect) -> str | None:
    """Return a reference as a link or as code, or None where it may stay as it is."""
    if kind == "address" and _is_known(text, dialect) and not closes(before):
        return f"<{text}>"
    if kind == "ticket" or (kind == "number" and text.startswith("#")):
        return _code(text, dialect) if closes(before) else None
    return _code(text.replace("`", _TICK), dialect)


def _assemble(pieces: list[str], dialect: Dialect) -> str:
    out = ""
    parts: list[str] = []
    for index, piece in enumerate(pieces):
        is_text = index % 2 == 0
        following = "" if not is_text or index + 1 == len(pieces) else pieces[index + 1]
        written = _text(piece, following, dialect) if is_text else piece
        if not written:
            continue
        if (out.endswith("`") and (written[0] == "`" or (dialect.is_slack and written[0].isalnum()))) or (
            dialect.is_slack and written[0] == "`" and out and out[-1].isalnum()
        ):
            parts.append(" ")
        parts.append(written)
        out = written
    return "".join(parts)


def _text(shape: str, following: str, dialect: Dialect) -> str:
    """Return text that is neither code nor a link, when this piece follows it."""
    if dialect.is_slack:
        return html.escape(shape.translate(_FROM_LITERALS), quote=False).replace("`", _TICK)
    written = _SPECIAL.sub(_special, shape)
    if following and shape.endswith("\\"):
        return written + "\\"
    if following.startswith("[") and shape.endswith("!"):
        return written[:-1] + "\\!"
    return written


def _special(found: re.Match[str]) -> str:
    text = found[0]
    if text[0] in _RAW:
        return _RAW[text[0]] * len(text)
    return "".join(map(_LITERALLY.__getitem__, text))


def _literally(char: str) -> str:
    """Return how Markdown writes punctuation that is not to act."""
    if char in "<&`":
        return {"<": "&lt;", "&": "&amp;", "`": _TICK}[char]
    return char if char in _ALIKE else f"\\{char}"


_RAW = {"<": "&lt;", "&": "&amp;", "$": "\\$", "\\": "\\\\", "~": "\\~", "]": "]\\"}
_LITERALLY = {shape: _literally(chr(code)) for code, shape in _LITERALS.items()}
