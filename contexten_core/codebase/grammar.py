"""The form of a grammar's row: which nodes of its trees define, branch, call, import and explain."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from tree_sitter import Language, Query


@dataclass(frozen=True, slots=True)
class Definition:
    """A node type that defines something.

    Attributes:
        node: the type of the node, whose lines are the lines of what it defines.
        name: fields that lead to the name; the first must be there, the others are followed as far as they go.
        called: the name of what has none, for nodes without a name field.
        body: the field that must be there; empty where a definition needs no body.
        of: what the body may be, or empty for anything.
        inner: the field of the body that holds what is executed, or that lists the members.
        parameters: the field of the node, or of its body, that holds the parameters.
        bases: fields or types of children that hold what a class derives from.
    """

    node: str
    name: tuple[str, ...] = ("name",)
    called: str = ""
    body: str = "body"
    of: tuple[str, ...] = ()
    inner: str = ""
    parameters: str = "parameters"
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """A node type that is no class, and whose name is part of the qualified name of what stands in it.

    Attributes:
        is_type: whether functions directly in it are methods, like in an `impl` of Rust.
        package: whether its name is the file's package instead.
    """

    node: str
    name: str = "name"
    is_type: bool = False
    package: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A node type that calls.

    Attributes:
        first: the fields where the name may start, the first that is there; none: the first child.
        last: the field where it ends.
    """

    node: str
    first: tuple[str, ...] = ("function",)
    last: str = "function"


@dataclass(frozen=True, slots=True)
class Flow:
    """What branches.

    Attributes:
        branches: adds one to the cyclomatic complexity.
        cases: does as well, unless it is the default of its switch.
        nests: is deeper by one level inside, and costs cognitive complexity by its own level.
        chained: those of `nests` that follow another as its alternative ("else if") and cost one then, at any level.
        elses: costs one cognitive, unless it only holds what is chained.
        alternative: the field that leads from one of `chained` to the next, or to an `else` without a node of its own.
        jumps: costs one cognitive when it names a label.
        lambdas: is deeper by one level inside, and costs nothing itself.
        logical: joins by one of `operators`.
    """

    branches: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    nests: tuple[str, ...] = ()
    chained: tuple[str, ...] = ()
    elses: tuple[str, ...] = ()
    alternative: str = "alternative"
    jumps: tuple[str, ...] = ()
    lambdas: tuple[str, ...] = ()
    logical: tuple[str, ...] = ()
    operators: tuple[str, ...] = ("&&", "||")


@dataclass(frozen=True, slots=True)
class Grammar:
    """Where a grammar is, and what to look for in its trees.

    Attributes:
        module: the module of the wheel that carries it.
        function: what in the module returns the grammar.
        scopes: what names its content without being a class.
        imports: node types that import, and which reader of `imports_of` understands their text.
        import_calls: names of functions whose first argument, a string, is imported by calling them.
        comments: types of comments.
        docs: what the comments start with that document what follows them.
        decorators: types of decorators, annotations and attributes, in front of a definition or among its children.
        anonymous: nodes whose last child may be the body of a class without a name; functions in there are callbacks.
        wrappers: types of nodes around a definition whose start counts as its start when its comment is looked for.
    """

    module: str
    functions: tuple[Definition, ...]
    classes: tuple[Definition, ...]
    flow: Flow
    calls: tuple[Call, ...] = ()
    scopes: tuple[Scope, ...] = ()
    imports: Mapping[str, str] = field(default_factory=dict)
    import_calls: frozenset[str] = frozenset()
    comments: tuple[str, ...] = ("comment",)
    docs: tuple[bytes, ...] = (b"/**", b"///", b"/*!", b"//!")
    decorators: tuple[str, ...] = ()
    anonymous: tuple[str, ...] = ()
    wrappers: tuple[str, ...] = ()
    function: str = "language"


@dataclass(slots=True)
class Kind:
    """Everything that one node type means."""

    functions: tuple[Definition, ...] = ()
    classes: tuple[Definition, ...] = ()
    scope: Scope | None = None
    call: Call | None = None
    imports: str = ""
    is_comment: bool = False
    is_decorator: bool = False
    is_anonymous: bool = False
    is_wrapper: bool = False
    branches: bool = False
    is_case: bool = False
    nests: bool = False
    is_chained: bool = False
    is_else: bool = False
    jumps: bool = False
    is_lambda: bool = False
    is_logical: bool = False

    @property
    def is_brief(self) -> bool:
        """Whether more than descriptions and cognitive complexity depends on it."""
        return bool(
            self.functions
            or self.classes
            or self.scope
            or self.call
            or self.imports
            or self.is_comment
            or self.is_anonymous
            or self.branches
            or self.is_case
            or self.is_logical
        )


@dataclass(frozen=True, slots=True)
class LoadedGrammar:
    """A grammar ready for use: what each of tree-sitter's numbers of node types means, and a query that finds them.

    The queries have no patterns deeper than a node, so they take linear time; the brief one finds less.
    """

    grammar: Grammar
    language: Language
    kinds: Mapping[int, Kind]
    query: Query
    brief_query: Query


def loaded(grammar: Grammar) -> LoadedGrammar:
    """Load the grammar of a row; that takes milliseconds."""
    language = Language(getattr(import_module(grammar.module), grammar.function)())
    by_type: dict[str, Kind] = {}

    def kind(node: str) -> Kind:
        return by_type.setdefault(node, Kind())

    for row in grammar.functions:
        kind(row.node).functions += (row,)
    for row in grammar.classes:
        kind(row.node).classes += (row,)
    for scope in grammar.scopes:
        kind(scope.node).scope = scope
    for call in grammar.calls:
        kind(call.node).call = call
    for node, reader in grammar.imports.items():
        kind(node).imports = reader
    flow = grammar.flow
    for nodes, meaning in (
        (grammar.comments, "is_comment"),
        (grammar.decorators, "is_decorator"),
        (grammar.anonymous, "is_anonymous"),
        (grammar.wrappers, "is_wrapper"),
        (flow.branches, "branches"),
        (flow.cases, "is_case"),
        (flow.nests, "nests"),
        (flow.chained, "is_chained"),
        (flow.elses, "is_else"),
        (flow.jumps, "jumps"),
        (flow.lambdas, "is_lambda"),
        (flow.logical, "is_logical"),
    ):
        for node in nodes:
            setattr(kind(node), meaning, True)
    numbers = {number: kind for node, kind in by_type.items() if (number := language.id_for_node_kind(node, True))}
    known = [node for node in by_type if language.id_for_node_kind(node, True)]
    return LoadedGrammar(
        grammar=grammar,
        language=language,
        kinds=numbers,
        query=_query(language, known),
        brief_query=_query(language, [node for node in known if by_type[node].is_brief]),
    )


def _query(language: Language, nodes: Iterable[str]) -> Query:
    return Query(language, f"[{' '.join(f'({node})' for node in nodes)}] @node")
