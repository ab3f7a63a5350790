"""Source text to its functions, classes and comments, by tree-sitter."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from tree_sitter import Node, Parser, Tree

from contexten_core.codebase.count import Span
from contexten_core.codebase.facts import ClassFact, FunctionFact, Note
from contexten_core.codebase.grammars import Definition, LoadedGrammar, load

_CHUNK_BYTES = 1 << 16
_NODES_BETWEEN_LOOKS = 1 << 10
_NAME_CHARACTERS = 200
_NAME_BYTES = 4 * _NAME_CHARACTERS


@dataclass(frozen=True, slots=True)
class Parsed:
    """What is in a text; `comments` is None when nobody looked for them."""

    functions: tuple[FunctionFact, ...] = ()
    classes: tuple[ClassFact, ...] = ()
    comments: tuple[Span, ...] | None = None
    notes: tuple[Note, ...] = ()


def parse(*, text: bytes, grammar: str, seconds: float, most_definitions: int) -> Parsed:
    """Find what a text defines, and its comments, in the order of the text.

    Args:
        text: UTF-8, errors included.
        grammar: a key of GRAMMARS.
        seconds: processor time of this thread that parsing and looking may take together.
        most_definitions: functions to keep, and as many classes.

    Returns:
        What was found, as far as the text could be understood, or only Note.TOO_SLOW when the time was up.
    """
    loaded = load(grammar)
    deadline = time.thread_time() + seconds
    try:
        tree = _tree(text=text, loaded=loaded, deadline=deadline)
        return _look(tree=tree, text=text, loaded=loaded, deadline=deadline, most_definitions=most_definitions)
    except TimeoutError:
        return Parsed(notes=(Note.TOO_SLOW,))


def _tree(*, text: bytes, loaded: LoadedGrammar, deadline: float) -> Tree:
    try:
        return Parser(loaded.language).parse(
            lambda offset, _: text[offset : offset + _CHUNK_BYTES],
            progress_callback=lambda _offset, _error: time.thread_time() > deadline,
        )
    except ValueError as error:
        # That is how the binding says that the callback stopped it.
        raise TimeoutError from error


def _look(*, tree: Tree, text: bytes, loaded: LoadedGrammar, deadline: float, most_definitions: int) -> Parsed:
    functions: list[FunctionFact] = []
    classes: list[ClassFact] = []
    comments: list[Span] = []
    values: set[int] = set()
    for kind, node in _nodes(tree=tree, kinds=loaded.kinds, deadline=deadline):
        if kind in loaded.comments:
            comments.append((node.start_byte, node.end_byte))
        if kind in loaded.documented:
            comments.extend(_docstring(node, comments=loaded.comments))
        if row := loaded.functions.get(kind):
            functions.extend(FunctionFact(*fact) for fact in _defined(node, row=row, text=text, values=values))
        if row := loaded.classes.get(kind):
            classes.extend(ClassFact(*fact) for fact in _defined(node, row=row, text=text, values=values))
    notes = []
    if tree.root_node.has_error:
        notes.append(Note.NOT_UNDERSTOOD)
    if max(len(functions), len(classes)) > most_definitions:
        notes.append(Note.TOO_MANY)
    return Parsed(
        functions=tuple(functions[:most_definitions]),
        classes=tuple(classes[:most_definitions]),
        comments=tuple(sorted(comments)),
        notes=tuple(notes),
    )


def _nodes(*, tree: Tree, kinds: frozenset[int], deadline: float) -> Iterator[tuple[int, Node]]:
    """Yield the nodes of some kinds in the order of the text, however deep, or raise TimeoutError."""
    cursor = tree.walk()
    for number in count():
        if number % _NODES_BETWEEN_LOOKS == 0 and time.thread_time() > deadline:
            raise TimeoutError
        if (node := cursor.node) and (kind := node.kind_id) in kinds:
            yield kind, node
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _defined(node: Node, *, row: Definition, text: bytes, values: set[int]) -> Iterator[tuple[str, int, int]]:
    """Yield name, line and end line of what a node defines, if it does.

    `values` gathers what was named by where it was put, which would count again if it has a name of its own.
    """
    body = node.child_by_field_name(row.body)
    if body is None or node.id in values or (row.of and body.type not in row.of):
        return
    name = row.called or _name(node, fields=row.name, text=text)
    if not name:
        return
    if row.of:
        values.add(body.id)
    start, end = node.start_point, node.end_point
    ends_before = end.column == 0 and end.row > start.row
    yield name, start.row + 1, end.row + (not ends_before)


def _name(node: Node, *, fields: tuple[str, ...], text: bytes) -> str:
    named = node.child_by_field_name(fields[0])
    if named is None:
        return ""
    for field in fields[1:]:
        named = named.child_by_field_name(field) or named
    name = text[named.start_byte : min(named.end_byte, named.start_byte + _NAME_BYTES)].decode(errors="replace")
    return " ".join(name.split())[:_NAME_CHARACTERS]


def _docstring(node: Node, *, comments: frozenset[int]) -> Iterator[Span]:
    cursor = (node.child_by_field_name("body") or node).walk()
    found = cursor.goto_first_child()
    while found and (child := cursor.node) and child.kind_id in comments:
        found = cursor.goto_next_sibling()
    if found and (child := cursor.node) and child.type == "expression_statement":
        string = child.named_child(0) if child.named_child_count == 1 else None
        if string is not None and string.type == "string":
            yield string.start_byte, string.end_byte
