"""Source text to what it defines, imports and calls, by tree-sitter."""

import time
from collections.abc import Iterator

from tree_sitter import Node, Parser, Query, QueryCursor, Tree

from contexten_core.codebase.facts import Note
from contexten_core.codebase.grammar import LoadedGrammar
from contexten_core.codebase.grammars import load
from contexten_core.codebase.reader import Parsed, Reader

_CHUNK_BYTES = 1 << 16
# Below 32,768 levels the query cursor takes quadratic time and loses matches, and it cannot be interrupted.
_MOST_QUERIED_NODES = 30_000
_NODES_BETWEEN_LOOKS = 1 << 10
_SECONDS_FOR_A_LINE = 0.2


def parse(*, text: bytes, grammar: str, seconds: float, most_definitions: int, is_brief: bool = False) -> Parsed:
    """Find what a text defines, imports and calls, and its comments, in the order of the text.

    Args:
        text: UTF-8, errors included.
        grammar: a key of GRAMMARS.
        seconds: processor time of this thread that parsing and looking may take together.
        most_definitions: functions to keep, and as many classes.
        is_brief: see `analyse_file`.

    Returns:
        What was found, as far as the text could be understood, or only Note.TOO_SLOW when the time was up.
    """
    loaded = load(grammar)
    deadline = time.thread_time() + seconds
    try:
        tree = _tree(text=text, loaded=loaded, deadline=deadline)
        reader = Reader(text=text, loaded=loaded, most_definitions=most_definitions, is_brief=is_brief)
        query = loaded.brief_query if is_brief else loaded.query
        for number, node in enumerate(_nodes(tree=tree, loaded=loaded, query=query, deadline=deadline)):
            if number % _NODES_BETWEEN_LOOKS == 0:
                _check(deadline)
            reader.visit(node)
        return reader.finish(has_error=tree.root_node.has_error)
    except TimeoutError:
        return Parsed(notes=(Note.TOO_SLOW,))


def has_error(*, text: bytes, grammar: str, seconds: float) -> bool:
    """Tell whether a text has syntax errors; a text that takes longer than that to parse has some.

    Args:
        text: UTF-8, errors included.
        grammar: a key of GRAMMARS.
        seconds: processor time of this thread that parsing may take.
    """
    try:
        tree = _tree(text=text, loaded=load(grammar), deadline=time.thread_time() + seconds)
    except TimeoutError:
        return True
    return tree.root_node.has_error


def cost_of(*, text: bytes, grammar: str) -> tuple[int, int]:
    """Return the cognitive complexity of the first function of a text, and how many parts of it grow with its level.

    Args:
        text: some lines of code.
        grammar: a key of GRAMMARS.
    """
    loaded = load(grammar)
    deadline = time.thread_time() + _SECONDS_FOR_A_LINE
    try:
        tree = _tree(text=text, loaded=loaded, deadline=deadline)
        reader = Reader(text=text, loaded=loaded, most_definitions=1)
        for node in _nodes(tree=tree, loaded=loaded, query=loaded.query, deadline=deadline):
            reader.visit(node)
    except TimeoutError:
        return 0, 0
    return reader.cost()


def _tree(*, text: bytes, loaded: LoadedGrammar, deadline: float) -> Tree:
    try:
        return Parser(loaded.language).parse(
            lambda offset, _: text[offset : offset + _CHUNK_BYTES],
            progress_callback=lambda _offset, _error: time.thread_time() > deadline,
        )
    except ValueError as error:
        # That is how the binding says that the callback stopped it.
        raise TimeoutError from error


def _check(deadline: float) -> None:
    if time.thread_time() > deadline:
        raise TimeoutError


def _nodes(*, tree: Tree, loaded: LoadedGrammar, query: Query, deadline: float) -> Iterator[Node]:
    """Yield the nodes that mean something in the order of the text, outer before inner, or raise TimeoutError."""
    kinds, cursor = loaded.kinds, QueryCursor(query)
    pending = [tree.root_node]
    for number in range(tree.root_node.descendant_count + 1):
        if not pending:
            break
        if number % _NODES_BETWEEN_LOOKS == 0:
            _check(deadline)
        node = pending.pop()
        descendants = node.descendant_count
        if 1 < descendants <= _MOST_QUERIED_NODES:
            found = cursor.captures(node).get("node", [])
            found.sort(key=_place)
            yield from found
            continue
        if node.kind_id in kinds:
            yield node
        if descendants > 1:
            pending.extend(reversed(node.children))


def _place(node: Node) -> tuple[int, int]:
    return node.start_byte, -node.end_byte
