"""The nodes of a tree, one after the other, to the facts of a file."""

import re
from dataclasses import dataclass, field
from itertools import pairwise

from tree_sitter import Node

from contexten_core.codebase.count import LineCounts, Span
from contexten_core.codebase.docs import comment_before
from contexten_core.codebase.facts import ClassFact, FunctionFact, ImportFact, Note, TodoFact
from contexten_core.codebase.grammar import Definition, Kind, LoadedGrammar
from contexten_core.codebase.imports_of import MOST_IMPORTS, imported_by_call, imports_in
from contexten_core.codebase.names import (
    bases_of,
    called_name,
    name_of,
    parameters_node,
    parameters_of,
    signature_of,
    text_of,
)

MOST_CALLS = 1_000
MOST_DECORATORS = 20
MOST_DECORATOR_CHARACTERS = 200
MOST_OWNER_CHARACTERS = 500

_DEFAULT = re.compile(rb"default\b|\*\s*\)|_\s*=>|case\s+_\s*:")
_EXPRESSIONS = frozenset({"ternary_expression", "conditional_expression", "conditional", "switch_expression"})
_MODIFIERS = "modifiers"
_METHODS = frozenset({"method_declaration", "constructor_declaration", "destructor_declaration"})
_LABELS = frozenset({"label", "statement_identifier", "label_name"})
_BETWEEN = re.compile(
    rb"(?>(?:[\s@]++|export|default|abstract|async|static|pub(?:\([^)]*\))?|declare|/\*.*?\*/|//[^\n]*)*)", re.DOTALL
)
_DECORATOR_MARKS = re.compile(r"\A(?:@|#!?\[|\[\[?)|\]?\]\Z")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What is in a text; `comments`, `lines` and `todos` are None when nobody looked for them."""

    functions: tuple[FunctionFact, ...] = ()
    classes: tuple[ClassFact, ...] = ()
    imports: tuple[ImportFact, ...] = ()
    calls: tuple[str, ...] = ()
    package: str | None = None
    comments: tuple[Span, ...] | None = None
    lines: LineCounts | None = None
    todos: tuple[TodoFact, ...] | None = None
    notes: tuple[Note, ...] = ()


@dataclass(slots=True)
class Complexity:
    """What a function costs while it is read.

    Attributes:
        cyclomatic: 1 without a branch.
        cognitive: so far.
        structural: how many of its increments grow with each level around it.
        nests: where the insides of the open constructs start that are a level deeper there.
        controls: how many of them are control structures.
        nesting: the most controls so far.
    """

    cyclomatic: int = 1
    cognitive: int = 0
    structural: int = 0
    nests: list[int] = field(default_factory=list)
    controls: int = 0
    nesting: int = 0

    def level(self, place: int) -> int:
        """Return how deep a place is; of what is open, only the innermost may not have reached its inside yet."""
        level = len(self.nests)
        while level and self.nests[level - 1] > place:
            level -= 1
        return level

    def take(self, inner: "Complexity", *, levels: int) -> None:
        """Add the cognitive complexity of a function that stands in this one, so many levels deep."""
        self.cognitive += inner.cognitive + levels * inner.structural
        self.structural += inner.structural


@dataclass(slots=True)
class _Open:
    """A construct that is open: it ends at `end`."""

    end: int
    start: int
    owner: str = ""
    is_type: bool = False
    is_wrapper: bool = False
    is_anonymous: bool = False
    function: "_Function | None" = None
    closes_nest: bool = False
    closes_control: bool = False


_Description = tuple[tuple[str, ...], tuple[str, ...], str, str | None, tuple[str, ...]]
_UNDESCRIBED: _Description = ((), (), "", None, ())
_Head = tuple[str, int, int, str, bool, tuple[str, ...], str, str | None, tuple[str, ...]]


@dataclass(slots=True)
class _Function:
    """A function while it is read: the first fields of its fact, and how deep it stands in the function around it."""

    head: _Head
    level: int
    complexity: Complexity = field(default_factory=Complexity)
    calls: dict[str, None] = field(default_factory=dict)
    outer: "_Function | None" = None
    sequences: list[list[tuple[int, str]]] = field(default_factory=list)


class Reader:
    """Takes the nodes of a tree in the order of the text, outer before inner, and keeps what they tell.

    What `is_brief` leaves out is in `analyse_file`.
    """

    def __init__(self, *, text: bytes, loaded: LoadedGrammar, most_definitions: int, is_brief: bool = False) -> None:
        self._text = text
        self._is_brief = is_brief
        self._grammar = loaded.grammar
        self._kinds = loaded.kinds
        self._most = most_definitions
        self._operators = frozenset(loaded.grammar.flow.operators)
        self._else_nodes = frozenset(loaded.grammar.flow.elses)
        self._chained_nodes = frozenset(loaded.grammar.flow.chained)
        self._open: list[_Open] = []
        self._owner = ""
        self._function: _Function | None = None
        self._functions: list[_Function] = []
        self._classes: list[ClassFact] = []
        self._imports: list[ImportFact] = []
        self._calls: dict[str, None] = {}
        self._package: str | None = None
        self._comments: list[Span] = []
        self._comment_starts: dict[int, int] = {}
        self._decorators: list[Span] = []
        self._values: set[int] = set()
        self._chained: set[int] = set()
        self._groups: dict[int, list[tuple[int, str]]] = {}
        self._dotted: dict[bytes, str] = {}

    def finish(self, *, has_error: bool) -> Parsed:
        """Return what all the nodes told."""
        self._close(len(self._text) + 1)
        notes = []
        if has_error:
            notes.append(Note.NOT_UNDERSTOOD)
        if max(len(self._functions), len(self._classes)) > self._most:
            notes.append(Note.TOO_MANY)
        return Parsed(
            functions=tuple(map(_fact, self._functions[: self._most])),
            classes=tuple(self._classes[: self._most]),
            imports=tuple(self._imports[:MOST_IMPORTS]),
            calls=tuple(self._calls),
            package=self._package,
            comments=tuple(sorted(self._comments)),
            notes=tuple(notes),
        )

    def cost(self) -> tuple[int, int]:
        """Close everything, and return the cognitive complexity of the first function, and its structural part."""
        self._close(len(self._text) + 1)
        if not self._functions:
            return 0, 0
        complexity = self._functions[0].complexity
        return complexity.cognitive, complexity.structural

    def visit(self, node: Node) -> None:  # noqa: C901, PLR0912 - one case per kind of node
        kind, start = self._kinds[node.kind_id], node.start_byte
        if self._open and self._open[-1].end <= start:
            self._close(start)
        if kind.is_comment:
            end = node.end_byte
            if self._text[end - 1 : end] == b"\n":
                end -= 1
            self._comments.append((start, end))
            if not self._text.startswith(b"#!", start):
                self._comment_starts[end] = start
            return
        if kind.is_decorator:
            self._decorators.append((start, node.end_byte))
        if kind.imports:
            self._import(node, kind)
        if kind.functions and self._open and self._open[-1].is_anonymous:
            if self._function is not None:
                self._deeper(node, self._function.complexity, is_control=False)
            return
        if (kind.functions or kind.classes) and self._define(node, kind):
            return
        if kind.scope:
            self._enter_scope(node, kind)
        if kind.call:
            self._call(node, kind)
        if kind.is_anonymous and node.children[-1].type.endswith("body"):
            self._open.append(_Open(end=node.end_byte, start=start, owner=self._owner, is_anonymous=True))
        if kind.is_wrapper:
            self._open.append(_Open(end=node.end_byte, start=start, owner=self._owner, is_wrapper=True))
        if self._function is not None:
            (self._branch if self._is_brief else self._flow)(node, kind, self._function)

    def _close(self, place: int) -> None:
        while self._open and self._open[-1].end <= place:
            closed = self._open.pop()
            self._owner = closed.owner
            if closed.closes_nest and self._function is not None:
                self._function.complexity.nests.pop()
                self._function.complexity.controls -= closed.closes_control
            elif closed.function is not None:
                self._leave(closed.function)

    def _leave(self, function: _Function) -> None:
        # A sequence of one boolean operator costs one, and one more wherever the operator changes.
        for operators in function.sequences:
            operators.sort()
            function.complexity.cyclomatic += len(operators)
            function.complexity.cognitive += 1 + sum(one[1] != two[1] for one, two in pairwise(operators))
        if function.outer is not None:
            function.outer.complexity.take(function.complexity, levels=function.level + 1)
        self._function = function.outer

    def _define(self, node: Node, kind: Kind) -> bool:
        """Keep what a node defines; tell whether it defines a function or a class."""
        for rows, is_class in ((kind.functions, False), (kind.classes, True)):
            for row in rows:
                body = node.child_by_field_name(row.body) if row.body else node.child_by_field_name("body")
                if (
                    (body is None and row.body)
                    or node.id in self._values
                    or (row.of and body and body.type not in row.of)
                ):
                    continue
                if row.of and row.name[:1] == ("declarator",) and body and body.child_by_field_name("name"):
                    continue
                name, qualified, named = name_of(node, row=row, text=self._text)
                if not name:
                    continue
                if row.of and body is not None:
                    self._values.add(body.id)
                self._add(node, row=row, body=body, name=name, qualified=qualified, named=named, is_class=is_class)
                return True
        return False

    def _add(
        self,
        node: Node,
        *,
        row: Definition,
        body: Node | None,
        name: str,
        qualified: str,
        named: Node | None,
        is_class: bool,
    ) -> None:
        start, end = node.start_point, node.end_point
        line, end_line = self._first_row(node) + 1, end.row + (not (end.column == 0 and end.row > start.row))
        inner = body
        if row.inner and body is not None:
            inner = body.child_by_field_name(row.inner) or body
        owner, is_method = self._owner, bool(qualified) or node.type in _METHODS or self._in_type()
        receiver = node.child_by_field_name("receiver") if not is_class else None
        if receiver is not None:
            qualified, is_method = self._receiver(receiver), True
        if qualified:
            owner = f"{owner}.{qualified}" if owner else qualified
        owner = owner[:MOST_OWNER_CHARACTERS]
        bases, parameters, signature, docstring, decorators = (
            _UNDESCRIBED
            if self._is_brief
            else self._description(node, row=row, body=body, inner=inner, name=name, named=named, is_class=is_class)
        )
        was = self._owner
        if is_class:
            self._classes.append(ClassFact(name, line, end_line, owner, bases, signature, docstring, decorators))
            self._open.append(_Open(end=node.end_byte, start=node.start_byte, owner=was, is_type=True))
        else:
            outer = self._function
            level = outer.complexity.level(node.start_byte) if outer else 0
            head = (name, line, end_line, owner, is_method, parameters, signature, docstring, decorators)
            function = _Function(head=head, level=level, outer=outer)
            if len(self._functions) <= self._most:
                self._functions.append(function)
            self._open.append(_Open(end=node.end_byte, start=node.start_byte, owner=was, function=function))
            self._function = function
        self._owner = f"{owner}.{name}"[:MOST_OWNER_CHARACTERS] if owner else name

    def _first_row(self, node: Node) -> int:
        """Return the row where a definition begins after the annotations that stand inside of its node."""
        for part in node.children if self._grammar.decorators else ():
            for inner in part.children if part.type == _MODIFIERS else (part,):
                if inner.type not in self._grammar.decorators:
                    return inner.start_point.row
        return node.start_point.row

    def _description(
        self,
        node: Node,
        *,
        row: Definition,
        body: Node | None,
        inner: Node | None,
        name: str,
        named: Node | None,
        is_class: bool,
    ) -> _Description:
        """Return what is not needed to tell where a definition is, and how complex."""
        first = min(node.start_byte, self._outermost(node.start_byte))
        decorators, first = self._decorators_of(node, first=first, name_start=named.start_byte if named else first)
        docstring = comment_before(text=self._text, place=first, ends=self._comment_starts, marks=self._grammar.docs)
        parameters = None if is_class else parameters_node(node, row=row, body=body)
        name_start = named.start_byte if named else node.start_byte
        if row.body == "name":
            last = parameters or next(filter(None, map(node.child_by_field_name, row.bases)), None) or named
            stop = last.end_byte if last else name_start
        else:
            stop = inner.start_byte if inner is not None else node.end_byte
        signature = signature_of(text=self._text, start=name_start, end=max(stop, name_start)) or name
        held = body if row.of and body is not None and "declarator" not in row.name else node
        bases = bases_of(held, row=row, text=self._text) if is_class and row.bases else ()
        return bases, parameters_of(parameters, self._text), signature, docstring, decorators

    def _in_type(self) -> bool:
        for construct in reversed(self._open):
            if construct.is_type:
                return True
            if not construct.is_wrapper:
                return False
        return False

    def _outermost(self, start: int) -> int:
        for construct in reversed(self._open):
            if not construct.is_wrapper:
                break
            start = min(start, construct.start)
        return start

    def _receiver(self, receiver: Node) -> str:
        """Return the type that a method of Go belongs to."""
        written = text_of(self._text, receiver.start_byte, receiver.end_byte).strip("() ")
        return written.partition("[")[0].rpartition(" ")[2].lstrip("*")

    def _decorators_of(self, node: Node, *, first: int, name_start: int) -> tuple[tuple[str, ...], int]:
        """Return the decorators of a definition, and where the first in front of it starts."""
        found: list[Span] = []
        place = node.start_byte
        while self._decorators:
            start, end = self._decorators[-1]
            if end > place or _BETWEEN.fullmatch(self._text, end, place) is None:
                break
            found.insert(0, self._decorators.pop())
            place = start
        self._decorators.clear()
        if self._grammar.decorators:
            for child in node.children:
                if child.start_byte >= name_start:
                    break
                held = child.children if child.type == "modifiers" else (child,)
                for one in held:
                    inner = (
                        one.children
                        if one.type == "attribute_list"
                        and one.child_count
                        and one.children[0].type == "attribute_group"
                        else (one,)
                    )
                    found.extend(
                        (part.start_byte, part.end_byte) for part in inner if part.type in self._grammar.decorators
                    )
        texts = (
            _DECORATOR_MARKS.sub("", text_of(self._text, start, end, MOST_DECORATOR_CHARACTERS + 4)).strip()
            for start, end in dict.fromkeys(found[:MOST_DECORATORS])
        )
        return tuple(text[:MOST_DECORATOR_CHARACTERS] for text in texts if text), min(first, place)

    def _enter_scope(self, node: Node, kind: Kind) -> None:
        scope = kind.scope
        assert scope is not None
        named = node.child_by_field_name(scope.name)
        if scope.package:
            if self._package is None:
                named = named or next((child for child in node.named_children if "comment" not in child.type), None)
                self._package = text_of(self._text, named.start_byte, named.end_byte) if named else None
            return
        body = node.child_by_field_name("body")
        if named is None or body is None:
            return
        name = text_of(self._text, named.start_byte, named.end_byte).partition("<")[0].strip("\"'").replace("::", ".")
        self._open.append(_Open(end=node.end_byte, start=node.start_byte, owner=self._owner, is_type=scope.is_type))
        self._owner = f"{self._owner}.{name}"[:MOST_OWNER_CHARACTERS] if self._owner else name

    def _import(self, node: Node, kind: Kind) -> None:
        if len(self._imports) < MOST_IMPORTS:
            source = self._text[node.start_byte : node.end_byte]
            self._imports.extend(imports_in(source, reader=kind.imports, line=node.start_point.row + 1))

    def _call(self, node: Node, kind: Kind) -> None:
        assert kind.call is not None
        name, end = called_name(node, row=kind.call, text=self._text, known=self._dotted)
        if not name:
            return
        if name in self._grammar.import_calls and len(self._imports) < MOST_IMPORTS:
            found = imported_by_call(name, text=self._text, after=end, line=node.start_point.row + 1)
            if found is not None:
                self._imports.append(found)
        calls = self._calls if self._function is None else self._function.calls
        if len(calls) < MOST_CALLS:
            calls[name] = None

    def _branch(self, node: Node, kind: Kind, function: _Function) -> None:
        """Count what cyclomatic complexity counts, and nothing else."""
        if kind.branches or (kind.is_case and _DEFAULT.match(self._text, node.start_byte) is None):
            function.complexity.cyclomatic += 1
        if kind.is_logical:
            operator = node.child_by_field_name("operator")
            found = node.children if operator is None else (operator,)
            function.complexity.cyclomatic += sum(child.type in self._operators for child in found)

    def _flow(self, node: Node, kind: Kind, function: _Function) -> None:
        complexity = function.complexity
        place = node.start_byte
        if kind.branches or (kind.is_case and _DEFAULT.match(self._text, place) is None):
            complexity.cyclomatic += 1
        if kind.is_else and not self._only_chains(node):
            complexity.cognitive += 1
        if kind.nests:
            if node.id in self._chained:
                complexity.cognitive += 1
            else:
                complexity.cognitive += 1 + complexity.level(place)
                complexity.structural += 1
                self._deeper(node, complexity, is_control=node.type not in _EXPRESSIONS)
        if kind.is_chained:
            self._chain(node, complexity)
        if kind.is_lambda and node.id not in self._values:
            self._deeper(node, complexity, is_control=False)
        if kind.jumps and self._names_label(node):
            complexity.cognitive += 1
        if kind.is_logical:
            self._logical(node, function)

    def _deeper(self, node: Node, complexity: Complexity, *, is_control: bool) -> None:
        inner = node.child_by_field_name("consequence") or node.child_by_field_name("body") or node
        complexity.nests.append(inner.start_byte)
        complexity.controls += is_control
        complexity.nesting = max(complexity.nesting, complexity.controls)
        self._open.append(
            _Open(
                end=node.end_byte,
                start=node.start_byte,
                owner=self._owner,
                closes_nest=True,
                closes_control=is_control,
            )
        )

    def _chain(self, node: Node, complexity: Complexity) -> None:
        """Look whether the alternative of an `if` is another one, or an `else` that has no node of its own."""
        following = node.child_by_field_name(self._grammar.flow.alternative)
        if following is None or following.type in self._else_nodes:
            return
        if following.type in self._chained_nodes:
            self._chained.add(following.id)
        else:
            complexity.cognitive += 1

    def _only_chains(self, node: Node) -> bool:
        held = next((child for child in node.named_children if "comment" not in child.type), None)
        if held is None or held.type not in self._chained_nodes or node.type != "else_clause":
            return False
        self._chained.add(held.id)
        return True

    def _names_label(self, node: Node) -> bool:
        if node.type.startswith("goto"):
            return True
        labels = _LABELS | {"identifier"} if node.type.endswith("_statement") else _LABELS
        return any(child.type in labels for child in node.named_children)

    def _logical(self, node: Node, function: _Function) -> None:
        """Put a boolean operator into the sequence that it belongs to: operands of operands, parentheses aside."""
        operators = [(child.start_byte, child.type) for child in node.children if child.type in self._operators]
        if not operators:
            return
        sequence = self._groups.pop(node.id, None)
        if sequence is None:
            sequence = []
            function.sequences.append(sequence)
        sequence.extend(operators)
        for child in node.named_children:
            operand = child
            while operand.type == "parenthesized_expression" and operand.named_child_count == 1:
                operand = operand.named_children[0]
            if self._kinds.get(operand.kind_id, _NOTHING).is_logical:
                self._groups[operand.id] = sequence


_NOTHING = Kind()


def _fact(function: _Function) -> FunctionFact:
    complexity = function.complexity
    return FunctionFact(
        *function.head,
        complexity=complexity.cyclomatic,
        cognitive=complexity.cognitive,
        nesting=complexity.nesting,
        calls=tuple(function.calls),
    )
