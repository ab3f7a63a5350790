"""What the nodes of a definition are called, in the words of the source."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from contexten_core.codebase.grammar import Call, Definition

MOST_NAME_CHARACTERS = 200
MOST_SIGNATURE_CHARACTERS = 300
MOST_PARAMETERS = 100
MOST_BASES = 50

_BYTES_A_CHARACTER = 4
_MOST_STEPS = 20
_NAMED_BY_LAST_CHILD = frozenset(
    {"reference_declarator", "parenthesized_declarator", "attributed_declarator", "ms_based_modifier"}
)
_NO_NAMES = frozenset({"if", "else", "for", "while", "do", "switch", "case", "return", "sizeof"})
_PARAMETER_FIELDS = ("name", "pattern", "declarator", "left")
_IDENTIFIERS = re.compile(r"identifier|variable_name|self|this|word")
_NO_PARAMETERS = frozenset({"comment", "line_comment", "block_comment", "attribute_item", "decorator", "ERROR"})
_SELF = re.compile(r"(?:&\s*(?:'\w+\s+)?)?(?:mut\s+)?self\b")
_OPENING = re.compile(r"\s*(?:=>|[{:;=]|where\b.*)?\s*\Z", re.DOTALL)
_TYPE_ARGUMENTS = re.compile(r"<[^<>]*>")
_SEPARATORS = re.compile(r"\?->|->|::|\?\.|&\.|\\")
_PATH = re.compile(r"[\w$@~!?]+(?:\.[\w$@~!?]+)*", re.ASCII)
_LAST_NAME = re.compile(r"\.([\w$@!?~]+)\Z")
_SUPER = re.compile(r"super\s*\(\s*\)\.")
_BASE_WORDS = re.compile(r"\b(?:extends|implements|public|private|protected|virtual)\s+|^[\s:<]+")
_BASES_END = re.compile(r",|\+|(?=\b(?:extends|implements)\b)")


def text_of(text: bytes, start: int, end: int, limit: int = MOST_NAME_CHARACTERS) -> str:
    """Return a part of a text on one line, cut to `limit` characters."""
    part = text[start : min(end, start + _BYTES_A_CHARACTER * limit)].decode(errors="replace")
    return " ".join(part.split())[:limit]


def name_of(node: Node, *, row: Definition, text: bytes) -> tuple[str, str, Node | None]:
    """Return what a node defines, what the name says of where that stands, and the node of the name.

    The name is empty when there is none.
    """
    if row.called:
        return row.called, "", None
    named = node.child_by_field_name(row.name[0])
    if named is None:
        return "", "", None
    for field in row.name[1:]:
        named = named.child_by_field_name(field) or named
    if row.name[0] == "declarator":
        return _declared(named, text)
    name = text_of(text, named.start_byte, named.end_byte)
    if node.type == "destructor_declaration":
        name = f"~{name}"
    elif node.type in {"operator_declaration", "conversion_operator_declaration"}:
        name = f"operator {name}"
    return name, "", named


def _declared(node: Node, text: bytes) -> tuple[str, str, Node | None]:
    """Follow the declarators of C and C++ to a name, and to what it is qualified with."""
    named = node
    owners: list[str] = []
    for _ in range(_MOST_STEPS):
        if named.type == "operator_cast":
            end = named.child_by_field_name("declarator") or named
            return text_of(text, named.start_byte, end.start_byte) or "operator", ".".join(owners), named
        if named.type == "qualified_identifier":
            scope, inner = named.child_by_field_name("scope"), named.child_by_field_name("name")
            if scope is not None:
                owners.append(_TYPE_ARGUMENTS.sub("", text_of(text, scope.start_byte, scope.end_byte)).split("<")[0])
        elif named.type in _NAMED_BY_LAST_CHILD:
            inner = named.named_child(named.named_child_count - 1) if named.named_child_count else None
        else:
            inner = named.child_by_field_name("declarator") or (
                named.child_by_field_name("name") if named.type == "template_function" else None
            )
        if inner is None:
            break
        named = inner
    name = text_of(text, named.start_byte, named.end_byte)
    # Where macros hide the braces, the grammar takes `else if (a) {` for a function that returns an `else`.
    return "" if name in _NO_NAMES else name, ".".join(filter(None, owners)), named


def parameters_node(node: Node, *, row: Definition, body: Node | None) -> Node | None:
    """Return the node that lists what a definition takes, or that is its only parameter."""
    for holder in (node, body):
        if holder is not None:
            for field in (row.parameters, "parameter"):
                if found := holder.child_by_field_name(field):
                    return found
    declared = node.child_by_field_name("declarator")
    for _ in range(_MOST_STEPS):
        if declared is None:
            return None
        if found := declared.child_by_field_name("parameters"):
            return found
        declared = declared.child_by_field_name("declarator") or (
            declared.named_child(declared.named_child_count - 1) if declared.type in _NAMED_BY_LAST_CHILD else None
        )
    return None


def parameters_of(node: Node | None, text: bytes) -> tuple[str, ...]:
    """Return the names of parameters in order, the first hundred."""
    if node is None:
        return ()
    if _IDENTIFIERS.search(node.type):
        return (text_of(text, node.start_byte, node.end_byte),)
    found: list[str] = []
    for child in node.named_children[:MOST_PARAMETERS]:
        if child.type not in _NO_PARAMETERS and not child.type.endswith("_type"):
            found.extend(_parameter(child, text))
    return tuple(name for name in found if name)[:MOST_PARAMETERS]


def _parameter(node: Node, text: bytes) -> Iterator[str]:
    if node.type == "self_parameter":
        yield "self"
        return
    names = node.children_by_field_name("name")
    if len(names) > 1:
        yield from (text_of(text, name.start_byte, name.end_byte) for name in names)
        return
    named = node
    for _ in range(_MOST_STEPS):
        inner = next((found for field in _PARAMETER_FIELDS if (found := named.child_by_field_name(field))), None)
        if inner is None and (named.type in _NAMED_BY_LAST_CHILD or named.type.endswith(_HOLDERS)):
            inner = named.named_child(named.named_child_count - 1) if named.named_child_count else None
        if inner is None:
            break
        named = inner
    if named is node and node.type.endswith(("_declaration", "parameter")):
        return  # a type alone
    if named.type.endswith(("abstract_function_declarator", "abstract_pointer_declarator")):
        return
    yield text_of(text, named.start_byte, named.end_byte, 60).lstrip("$&*")


_HOLDERS = ("_parameter", "_pattern_element", "spread_parameter", "variadic_declarator", "rest_pattern")


def signature_of(*, text: bytes, start: int, end: int) -> str:
    """Return what is between the start of a name and the start of a body, on one line."""
    return _OPENING.sub("", text_of(text, start, end, MOST_SIGNATURE_CHARACTERS))


def bases_of(node: Node, *, row: Definition, text: bytes) -> tuple[str, ...]:
    """Return what a class derives from, as written."""
    found: list[str] = []
    for child in node.children:
        if child.type in row.bases:
            found.extend(_split(text_of(text, child.start_byte, child.end_byte, 2000)))
    if not found:
        for field in row.bases:
            if held := node.child_by_field_name(field):
                found.extend(_split(text_of(text, held.start_byte, held.end_byte, 2000)))
    return tuple(found[:MOST_BASES])


def _split(bases: str) -> Iterator[str]:
    depth, start = 0, 0
    bases = f"{bases},"
    for match in re.finditer(r"[<(\[{]|[>)\]}]|[,+]|\b(?:extends|implements)\b", bases):
        if match[0] in "<([{":
            depth += 1 if match.start() else 0
        elif match[0] in ">)]}":
            depth = max(0, depth - 1)
        elif depth == 0 or match.end() == len(bases):
            base = _BASE_WORDS.sub("", bases[start : match.start()]).strip(" ,:+<")
            if base:
                yield base[:MOST_NAME_CHARACTERS]
            start = match.end()


def called_name(node: Node, *, row: Call, text: bytes, known: dict[bytes, str]) -> tuple[str, int]:
    """Return what a node calls, its parts joined by ".", and where that ends; empty when what it calls has no name.

    `known` gathers what has been read in the same file.
    """
    if row.last:
        last = node.child_by_field_name(row.last)
        first = next((found for field in row.first if (found := node.child_by_field_name(field))), None)
    else:
        last = first = node.named_child(0)
    if first is None or last is None:
        return "", node.end_byte
    end = last.end_byte
    written = text[max(first.start_byte, end - _BYTES_A_CHARACTER * MOST_NAME_CHARACTERS) : end]
    name = known.get(written)
    if name is None:
        name = known[written] = dotted(written)
    return name, end


def dotted(expression: bytes) -> str:
    """Return an expression that is called as a name: "self.save", "a.b.c"; "().save" after anything but names."""
    written = "".join(expression.decode(errors="replace").split())
    if "<" in written:
        shorter = _TYPE_ARGUMENTS.sub("", written)
        while shorter != written:
            written, shorter = shorter, _TYPE_ARGUMENTS.sub("", shorter)
    name = _SEPARATORS.sub(".", written).replace("$", "").strip(".")
    if _PATH.fullmatch(name):
        return name[:MOST_NAME_CHARACTERS]
    last = _LAST_NAME.search(name)
    if last is None:
        return name[:MOST_NAME_CHARACTERS] if name.isidentifier() else ""
    return f"{'super' if _SUPER.match(name) else ''}().{last[1]}"[:MOST_NAME_CHARACTERS]
