"""Which languages are parsed, and what a function, a class and a comment are in each: one row per grammar.

A function is a named piece of code with a body, methods, constructors and nested functions included. A function
expression counts where something names it: a variable, a property, a field, a default export. Signatures without a
body do not count, nor do lambdas, closures and callbacks, nor code inside Rust macros. A class is a type declared with
a body of its own: class, struct, union, enum, record, interface, trait, Ruby module; aliases are not.

The rows name node types rather than hold tree-sitter queries: below 32,768 levels the query cursor of tree-sitter 0.26
takes quadratic time and loses matches, and the progress callback that would bound it ends the process.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module

from tree_sitter import Language


@dataclass(frozen=True, slots=True)
class Definition:
    """A node type that defines something.

    Attributes:
        node: the type of the node, whose lines are the lines of what it defines.
        name: fields that lead to the name; the first must be there, the others are followed as far as they go.
        called: the name of what has none, for nodes without a name field.
        body: the field that must be there.
        of: what the body may be, or empty for anything.
    """

    node: str
    name: tuple[str, ...] = ("name",)
    called: str = ""
    body: str = "body"
    of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grammar:
    """Where a grammar is, and what to look for in its trees.

    Attributes:
        module: the module of the wheel that carries it.
        function: what in the module returns the grammar.
        documented: types of nodes whose body, or who themselves, may open with a string that is a comment in effect.
    """

    module: str
    functions: tuple[Definition, ...]
    classes: tuple[Definition, ...]
    comments: tuple[str, ...] = ("comment",)
    documented: tuple[str, ...] = ()
    function: str = "language"


@dataclass(frozen=True, slots=True)
class LoadedGrammar:
    """A grammar ready for use, its rows keyed by tree-sitter's number of the node type."""

    language: Language
    functions: Mapping[int, Definition]
    classes: Mapping[int, Definition]
    comments: frozenset[int]
    documented: frozenset[int]

    @property
    def kinds(self) -> frozenset[int]:
        return self.comments.union(self.documented, self.functions, self.classes)


def _rows(*nodes: str, body: str = "body") -> tuple[Definition, ...]:
    return tuple(Definition(node, body=body) for node in nodes)


def _named_values(*values: str, fields: Definition) -> tuple[Definition, ...]:
    """Rows for what is anonymous itself and named by where it is put; `fields` is where a class puts it."""
    return (
        Definition("variable_declarator", body="value", of=values),
        Definition("assignment_expression", name=("left", "property"), body="right", of=values),
        Definition("pair", name=("key",), body="value", of=values),
        Definition("export_statement", name=(), called="default", body="value", of=values),
        replace(fields, body="value", of=values),
    )


def _ecmascript_functions(*, fields: Definition) -> tuple[Definition, ...]:
    return (
        *_rows("function_declaration", "generator_function_declaration", "method_definition"),
        *_rows("function_expression", "generator_function"),
        *_named_values("arrow_function", "function_expression", "generator_function", fields=fields),
    )


def _ecmascript_classes(*, fields: Definition) -> tuple[Definition, ...]:
    return (*_rows("class_declaration", "class"), *_named_values("class", fields=fields))


_JAVASCRIPT_FIELDS = Definition("field_definition", name=("property",))
_TYPESCRIPT_FIELDS = Definition("public_field_definition")
_ECMASCRIPT_COMMENTS = ("comment", "html_comment", "hash_bang_line")


def _typescript(*, function: str) -> Grammar:
    return Grammar(
        module="tree_sitter_typescript",
        function=function,
        functions=_ecmascript_functions(fields=_TYPESCRIPT_FIELDS),
        classes=(
            *_ecmascript_classes(fields=_TYPESCRIPT_FIELDS),
            *_rows("abstract_class_declaration", "interface_declaration", "enum_declaration"),
        ),
        comments=_ECMASCRIPT_COMMENTS,
    )


GRAMMARS = {
    "go": Grammar(
        module="tree_sitter_go",
        functions=_rows("function_declaration", "method_declaration"),
        classes=(Definition("type_spec", body="type", of=("struct_type", "interface_type")),),
    ),
    "java": Grammar(
        module="tree_sitter_java",
        functions=_rows("method_declaration", "constructor_declaration", "compact_constructor_declaration"),
        classes=_rows(
            "class_declaration",
            "interface_declaration",
            "enum_declaration",
            "record_declaration",
            "annotation_type_declaration",
        ),
        comments=("line_comment", "block_comment"),
    ),
    "javascript": Grammar(
        module="tree_sitter_javascript",
        functions=_ecmascript_functions(fields=_JAVASCRIPT_FIELDS),
        classes=_ecmascript_classes(fields=_JAVASCRIPT_FIELDS),
        comments=_ECMASCRIPT_COMMENTS,
    ),
    "python": Grammar(
        module="tree_sitter_python",
        functions=_rows("function_definition"),
        classes=_rows("class_definition"),
        documented=("module", "function_definition", "class_definition"),
    ),
    "ruby": Grammar(
        module="tree_sitter_ruby",
        functions=_rows("method", "singleton_method", body="name"),
        classes=_rows("class", "module", body="name"),
    ),
    "rust": Grammar(
        module="tree_sitter_rust",
        functions=_rows("function_item"),
        classes=(*_rows("struct_item", body="name"), *_rows("union_item", "enum_item", "trait_item")),
        comments=("line_comment", "block_comment"),
    ),
    "tsx": _typescript(function="language_tsx"),
    "typescript": _typescript(function="language_typescript"),
}


@cache
def load(name: str) -> LoadedGrammar:
    """Load a grammar of the table, once per process: the first time costs milliseconds."""
    grammar = GRAMMARS[name]
    language = Language(getattr(import_module(grammar.module), grammar.function)())

    def kinds(nodes: Iterable[str]) -> dict[str, int]:
        return {node: kind for node in nodes if (kind := language.id_for_node_kind(node, True)) is not None}

    def keyed(rows: tuple[Definition, ...]) -> dict[int, Definition]:
        found = kinds(row.node for row in rows)
        return {found[row.node]: row for row in rows if row.node in found}

    return LoadedGrammar(
        language=language,
        functions=keyed(grammar.functions),
        classes=keyed(grammar.classes),
        comments=frozenset(kinds(grammar.comments).values()),
        documented=frozenset(kinds(grammar.documented).values()),
    )
