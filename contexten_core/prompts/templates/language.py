"""What a template may say: the part of Jinja's language that is taken, and what is wrong with a text that says more.

Nothing here evaluates anything. The child that renders imports this module, so it imports nothing of ours but what
is in the same position.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.lexer import TokenStream
from jinja2.parser import Parser
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from contexten_core.prompts.templates.filters import FILTERS, LARGEST_INTEGER, TESTS

LARGEST_TEMPLATE = 200_000
"""Characters of a text that has tags."""

NAMESPACES = frozenset({"event", "project", "repository", "codebase", "change"})
"""Groups of fields that every template may use without declaring them, each field by its full name."""

LOOP_PARTS = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem"})
RESERVED = frozenset({"loop", "range", "self", "super", "caller", "varargs", "kwargs"})
"""Names that no variable can have, besides those of the groups of fields."""

_MOST_TOKENS = 10_000
_MOST_PROBLEMS = 20
_DEEPEST_BRACKETS = 30
_DEEPEST_BLOCKS = 10
_DEEPEST_EXPRESSION = 40
_LONGEST_NAME = 100
_TAGS = ("{{", "{%", "{#")
_BLOCKS = frozenset({"if", "for"})
_ENDS = frozenset({"endif", "endfor"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ESCAPES = re.compile(r"""\\(?!["'\\abfnrtv\n]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U00[01][0-9A-Fa-f]{5})""")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NEWLINE = re.compile(r"\r\n|\r|\n")
_REFUSED: dict[type[nodes.Node], tuple[str, str, str]] = {
    nodes.Macro: ("{% macro %}", "put the text in a prompt of its own, and include that", "macro"),
    nodes.CallBlock: ("{% call %}", "put the text in a prompt of its own, and include that", "call"),
    nodes.Import: ("{% import %}", 'use {% include "slug@label" %}', "import"),
    nodes.FromImport: ("{% from %}", 'use {% include "slug@label" %}', "from"),
    nodes.Extends: ("{% extends %}", 'use {% include "slug@label" %}', "extends"),
    nodes.Block: ("{% block %}", 'use {% include "slug@label" %}', "block"),
    nodes.FilterBlock: ("{% filter %}", "use a filter on the value: {{ value | upper }}", "filter"),
    nodes.AssignBlock: ("{% set %} as a block", "use {% set name = value %}", "set"),
    nodes.With: ("{% with %}", "use {% set name = value %}", "with"),
    nodes.ScopedEvalContextModifier: ("{% autoescape %}", "nothing is escaped in a prompt", "autoescape"),
    nodes.NSRef: ("an attribute in {% set %}", "use a name without a dot", "."),
    nodes.Call: ("a call", "use a filter: {{ value | upper }}; only range(...) is called", "("),
}
"""What is said of a part of Jinja's language that is not taken: its name, what to do instead, and where it begins."""

_PLAIN_EXPRESSIONS = (
    nodes.And,
    nodes.Compare,
    nodes.Concat,
    nodes.CondExpr,
    nodes.Dict,
    nodes.Filter,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Keyword,
    nodes.List,
    nodes.Not,
    nodes.Operand,
    nodes.Or,
    nodes.Pair,
    nodes.Slice,
    nodes.Test,
    nodes.Tuple,
    nodes.UnaryExpr,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Pow,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a template, and where: lines and columns from 1, a column where it is known."""

    message: str
    line: int
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """A value that a template uses, by its dotted path: `event.title`, `my_variable`."""

    path: str
    line: int
    column: int | None = None

    @property
    def root(self) -> str:
        return self.path.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Include:
    """A prompt that a template includes, by its reference: `slug`, `slug@label`, `slug@3`."""

    reference: str
    line: int
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What there is to know of a template before it is rendered. With problems, the rest is what was seen so far."""

    problems: tuple[Problem, ...] = ()
    uses: tuple[Use, ...] = ()
    includes: tuple[Include, ...] = ()


class TemplateFault(Exception):  # noqa: N818 - the parent makes the error of it
    """A template that cannot be rendered."""

    def __init__(self, template: str, problem: Problem) -> None:
        super().__init__(problem.message)
        self.template = template
        self.problem = problem


def has_tags(text: str) -> bool:
    """Tell whether a text is more than itself."""
    return any(tag in text for tag in _TAGS)


def suggestion(name: str, names: Sequence[str]) -> str:
    """Return the name most like one that there is not, as the end of a sentence."""
    near = get_close_matches(name[:_LONGEST_NAME], sorted(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""


class Language(ImmutableSandboxedEnvironment):
    """Jinja as it is read here: blocks leave no empty lines behind, and the end of the text stays as it is."""

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            undefined=StrictUndefined,
            autoescape=False,
            optimized=False,
            cache_size=0,
        )
        self.globals.clear()
        self.filters = dict(FILTERS)
        self.tests = dict(TESTS)
        self.tokens = Tokens("")

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        self.tokens = Tokens(source)
        raw = self.tokens.watched(self.lexer.tokeniter(source, name, filename, state))
        return TokenStream(self.lexer.wrap(raw, name, filename), name, filename)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a part of an object of JSON; nothing has any other attributes."""
        if isinstance(obj, LoopContext) and attribute in LOOP_PARTS:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, dict) and isinstance(argument, str) and argument in obj:
            return obj[argument]
        is_place = isinstance(argument, int) and not isinstance(argument, bool)
        if isinstance(obj, list | tuple | str | range) and is_place and -len(obj) <= argument < len(obj):
            return obj[argument]
        if isinstance(obj, self.undefined):
            # Raises what is missing.
            str(obj)
        what = f"{argument!r:.60}" if isinstance(argument, str | int) else "that"
        return self.undefined(hint=f"the value has no part {what}")


class Tokens:
    """The parts that a text was split into, each with its place, as far as they have been read."""

    def __init__(self, source: str) -> None:
        self._source = "\n".join(_NEWLINE.split(source))
        self._places: dict[tuple[int, str], int] = {}
        self.line = self.column = 1

    def watched(self, stream: Iterator[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
        """Pass on the parts of a text, unless they are too many, nested too deep, or not to be read alike by all."""
        offset = brackets = blocks = 0
        follows_block = False
        for count, (line, kind, value) in enumerate(stream):
            offset = max(offset, self._source.find(value, offset))
            self.line, self.column = line, offset - self._source.rfind("\n", 0, offset)
            self._places.setdefault((line, value), self.column)
            offset += len(value)
            if count > _MOST_TOKENS:
                raise TemplateSyntaxError(f"a template of more than {_MOST_TOKENS:,} parts", line)
            if kind == "operator":
                brackets += value in ("(", "[", "{")
                brackets -= value in (")", "]", "}")
            elif kind == "name" and follows_block:
                blocks += value in _BLOCKS
                blocks -= value in _ENDS
            elif kind in ("string", "integer", "float", "name"):
                _check_token(kind, value, line)
            if brackets > _DEEPEST_BRACKETS or blocks > _DEEPEST_BLOCKS:
                raise TemplateSyntaxError("nested too deep", line)
            if kind != "whitespace":
                follows_block = kind == "block_begin"
            yield line, kind, value

    def column_of(self, line: int, value: str) -> int | None:
        """Return the column of a part's first place in a line."""
        return self._places.get((line, value))


def _check_token(kind: str, value: str, line: int) -> None:
    if kind == "name":
        if len(value) > _LONGEST_NAME or not value.isascii():
            raise TemplateSyntaxError(
                f"{value[:_LONGEST_NAME]!r} is no name; names have at most {_LONGEST_NAME} of a to z, digits and _",
                line,
            )
    elif kind == "string":
        if found := _ESCAPES.search(value.replace("\\\\", "")):
            escape = value.replace("\\\\", "")[found.start() : found.start() + 2]
            raise TemplateSyntaxError(f"there is no escape {escape} in texts; write \\\\ for a backslash", line)
    elif len(value) > _LONGEST_NAME:
        raise TemplateSyntaxError("a number of too many digits", line)


def read_template(language: Language, text: str) -> tuple[nodes.Template | None, Reading]:
    """Parse a text with tags, and return what it uses with all that is wrong; no tree where it cannot be parsed."""
    if found := _UNSTORABLE.search(text):
        line, column = _place(text, found.start())
        return None, Reading((Problem("a character that is none: NUL, or half of a surrogate pair", line, column),))
    if len(text) > LARGEST_TEMPLATE:
        message = f"a template of {len(text):,} characters; at most {LARGEST_TEMPLATE:,} may have tags in them"
        return None, Reading((Problem(message, 1),))
    try:
        tree = Parser(language, text).parse()
    except TemplateSyntaxError as error:
        tokens = language.tokens
        known = tokens.column if tokens.line == error.lineno else None
        return None, Reading((Problem(_said(error.message or "this cannot be read"), error.lineno, known),))
    except (RecursionError, ValueError, MemoryError) as error:
        message = "nested too deep" if isinstance(error, RecursionError) else "this cannot be read"
        return None, Reading((Problem(message, language.tokens.line, language.tokens.column),))
    reader = _Reader(language.tokens)
    reader.statements(tree.body, set())
    return tree, Reading(tuple(reader.problems), tuple(reader.uses), tuple(reader.includes))


def _place(text: str, offset: int) -> tuple[int, int]:
    before = _NEWLINE.split(text[:offset])
    return len(before), len(before[-1]) + 1


def _said(message: str) -> str:
    first, _, rest = message.partition(". ")
    plain = f"{first[:1].lower()}{first[1:]}".rstrip(".")
    return f"{plain}; {rest[:200].rstrip('.')}" if rest else plain


class _Reader:
    """Walks over a tree in the order in which it would be rendered."""

    _GETS: ClassVar = (nodes.Getattr, nodes.Getitem)

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self.problems: list[Problem] = []
        self.uses: list[Use] = []
        self.includes: list[Include] = []

    def statements(self, body: Sequence[nodes.Node], names: set[str]) -> None:
        """Read statements; `names` are those that were set before, and gets those that are set in here."""
        for node in body:
            if isinstance(node, nodes.Output):
                for child in node.nodes:
                    if not isinstance(child, nodes.TemplateData):
                        self._expression(child, names)
            elif isinstance(node, nodes.If):
                self._expression(node.test, names)
                for part in (node.body, node.elif_, node.else_):
                    self.statements(part, names)
            elif isinstance(node, nodes.For):
                self._loop(node, names)
            elif isinstance(node, nodes.Assign):
                self._expression(node.node, names)
                names |= self._targets(node.target)
            elif isinstance(node, nodes.Include):
                self._include(node)
            else:
                self._refuse(node.body[0] if isinstance(node, nodes.Scope) and node.body else node)

    def _loop(self, node: nodes.For, names: set[str]) -> None:
        self._expression(node.iter, names)
        inside = names | self._targets(node.target)
        if node.recursive:
            self._problem(node, "a recursive loop is not taken; loops may only be nested", "recursive")
        if node.test is not None:
            self._expression(node.test, set(inside))
        self.statements(node.body, inside | {"loop"})
        self.statements(node.else_, set(names))

    def _targets(self, node: nodes.Node) -> set[str]:
        targets = node.items if isinstance(node, nodes.Tuple) else [node]
        found = set()
        for target in targets:
            if not isinstance(target, nodes.Name):
                self._refuse(target)
            elif target.name in NAMESPACES | RESERVED or target.name.startswith("_"):
                self._problem(target, f"{target.name} is no name that can be set", target.name)
            else:
                found.add(target.name)
        return found

    def _include(self, node: nodes.Include) -> None:
        reference = node.template
        if not isinstance(reference, nodes.Const) or not isinstance(reference.value, str):
            self._problem(node, 'an include names one prompt: {% include "slug@label" %}', "include")
        elif node.ignore_missing or not node.with_context:
            self._problem(node, "an include takes nothing but the reference to a prompt", "include")
        else:
            column = self._tokens.column_of(node.lineno, "include")
            self.includes.append(Include(reference.value, node.lineno, column))

    def _expression(self, node: nodes.Node, names: set[str], depth: int = 0) -> None:
        if len(self.problems) >= _MOST_PROBLEMS:
            return
        if depth > _DEEPEST_EXPRESSION:
            self._problem(node, f"an expression nested more than {_DEEPEST_EXPRESSION} levels deep")
        elif isinstance(node, nodes.Const):
            self._constant(node)
        elif isinstance(node, nodes.Name):
            self._name(node, node.name, names)
        elif isinstance(node, nodes.Call):
            self._call(node, names, depth)
        elif isinstance(node, _PLAIN_EXPRESSIONS):
            if isinstance(node, self._GETS) and self._path(node, names):
                return
            self._plain(node)
            for child in node.iter_child_nodes():
                self._expression(child, names, depth + 1)
        else:
            self._refuse(node)

    def _plain(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Getattr):
            self._attribute(node, node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            self._attribute(node, node.arg.value)
        elif isinstance(node, nodes.Filter | nodes.Test):
            kind, known = ("filter", FILTERS) if isinstance(node, nodes.Filter) else ("test", TESTS)
            if node.name not in known:
                near = suggestion(node.name, list(known))
                self._problem(node, f"there is no {kind} {node.name}{near}", node.name)
            if node.dyn_args is not None or node.dyn_kwargs is not None:
                self._problem(node, f"the {kind} {node.name} takes its arguments one by one", node.name)

    def _path(self, node: nodes.Node, names: set[str]) -> bool:
        """Read a path of fixed parts from a name, such as `event.title`, as one; tell whether it was one."""
        parts: list[str] = []
        inner = node
        while isinstance(inner, self._GETS) and len(parts) < _DEEPEST_EXPRESSION:
            part = inner.attr if isinstance(inner, nodes.Getattr) else _fixed(inner.arg)
            if not isinstance(part, str):
                return False
            parts.append(part)
            inner = inner.node
        if not isinstance(inner, nodes.Name):
            return False
        if inner.name == "loop" and "loop" in names and len(parts) == 1 and parts[0] in LOOP_PARTS:
            return True
        for part in parts:
            self._attribute(node, part)
        self._name(inner, ".".join([inner.name, *reversed(parts)]), names)
        return True

    def _attribute(self, node: nodes.Node, name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            self._problem(node, f"nothing has an attribute {name[:_LONGEST_NAME]}", name)

    def _name(self, node: nodes.Name, path: str, names: set[str]) -> None:
        column = self._tokens.column_of(node.lineno, node.name)
        if node.name in names and node.name not in RESERVED:
            return
        if node.name in NAMESPACES and path == node.name:
            self._problem(node, f"{path} is a group of fields; name one of them, such as {_EXAMPLES[path]}", path)
        elif node.name == "loop":
            parts = ", ".join(sorted(LOOP_PARTS))
            self._problem(node, f"loop is there inside of a loop, with {parts}", "loop")
        elif node.name == "range":
            self._problem(node, "range is called: range(3)", "range")
        elif node.name in RESERVED:
            self._problem(node, f"there is no {node.name} in templates", node.name)
        else:
            self.uses.append(Use(path, node.lineno, column))

    def _call(self, node: nodes.Call, names: set[str], depth: int) -> None:
        is_range = isinstance(node.node, nodes.Name) and node.node.name == "range"
        if not is_range or node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
            self._refuse(node)
            self._expression(node.node, names, depth + 1)
        for argument in node.args:
            self._expression(argument, names, depth + 1)

    def _constant(self, node: nodes.Const) -> None:
        value = node.value
        if isinstance(value, str) and _UNSTORABLE.search(value):
            self._problem(node, "a character that is none: NUL, or half of a surrogate pair")
        elif isinstance(value, int) and value > LARGEST_INTEGER:
            self._problem(node, "an integer beyond 64 bits")
        elif isinstance(value, float) and not math.isfinite(value):
            self._problem(node, "a number too large to be one")

    def _refuse(self, node: nodes.Node) -> None:
        kind = type(node).__name__.lower()
        what, instead, word = _REFUSED.get(type(node), (f"{kind} here", "use {{ value }}, {% if %} or {% for %}", kind))
        self._problem(node, f"{what} is not taken in prompts; {instead}", word)

    def _problem(self, node: nodes.Node, message: str, word: str | None = None) -> None:
        column = self._tokens.column_of(node.lineno, word) if word is not None else None
        problem = Problem(message, node.lineno, column)
        if len(self.problems) < _MOST_PROBLEMS and problem not in self.problems:
            self.problems.append(problem)


def _fixed(node: nodes.Node) -> Any:
    return node.value if isinstance(node, nodes.Const) else None


_EXAMPLES = {
    "event": "event.title",
    "project": "project.slug",
    "repository": "repository.full_name",
    "codebase": "codebase.primary_language",
    "change": "change.files",
}
