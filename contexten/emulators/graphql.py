"""As much of GraphQL as it takes to answer honestly: operations, arguments, fragments and the fields asked for.

Fragments count wherever they stand, whatever type they are for; directives are refused.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_TOKENS = 20_000
MAX_DEPTH = 30
MAX_FIELDS = 10_000
_TOKEN = re.compile(
    r"[\s,\ufeff]+|#[^\n]*|(?P<token>\.\.\.|[!$()\[\]{}:=|@&]|[_A-Za-z][_0-9A-Za-z]*"
    r'|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*")'
)
_NUMBER = re.compile(r"-?[0-9]")
_NAME = re.compile(r"[_A-Za-z]")


class GraphQLError(Exception):
    """What is wrong with a document; becomes an item of the answer's `errors`."""

    def __init__(self, message: str, *, code: str = "GRAPHQL_VALIDATION_FAILED") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """One field asked for: under which name, with what arguments, and which fields of it."""

    name: str
    alias: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple["Selected", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A query or mutation."""

    kind: str
    name: str | None
    fields: tuple[Selected, ...]


def parse(document: str, *, variables: Mapping[str, Any], operation_name: str | None = None) -> Operation:
    """Read the operation that is asked for, with its variables filled in and its fragments spread.

    Raises:
        GraphQLError: the document cannot be read, or names what it does not have.
    """
    parser = _Parser(_tokens(document), variables)
    operations = parser.document()
    if operation_name is not None:
        operations = [operation for operation in operations if operation.name == operation_name]
    if len(operations) != 1:
        raise GraphQLError(
            f'Unknown operation named "{operation_name}".' if operation_name else "Must provide operation name."
        )
    return operations[0]


Schema = Mapping[str, Mapping[str, str | None]]
"""The fields of each type, with the type of those that are objects."""


def validate(fields: tuple[Selected, ...], schema: Schema, *, kind: str) -> None:
    """Check what is asked of a type.

    Raises:
        GraphQLError: it has no such field, or an object is asked for as if it were a scalar, or the reverse.
    """
    for asked in fields:
        if asked.name == "__typename":
            continue
        if asked.name not in schema[kind]:
            raise GraphQLError(f'Cannot query field "{asked.name}" on type "{kind}".')
        inner = schema[kind][asked.name]
        if inner is None and asked.fields:
            raise GraphQLError(f'Field "{asked.name}" must not have a selection since it has no subfields.')
        if inner is not None:
            if not asked.fields:
                raise GraphQLError(f'Field "{asked.name}" of type "{inner}" must have a selection of subfields.')
            validate(asked.fields, schema, kind=inner)


def select(value: Any, selected: Selected) -> Any:
    """Give the parts of a value that were asked for.

    Raises:
        GraphQLError: the schema knows the field, and this object comes without it.
    """
    if isinstance(value, list):
        return [select(item, selected) for item in value]
    if not isinstance(value, Mapping):
        return value
    found = {}
    for asked in selected.fields:
        if asked.name not in value:
            raise GraphQLError(f"{value['__typename']}.{asked.name} is beyond this emulator here.")
        found[asked.alias] = select(value[asked.name], asked)
    return found


def _tokens(document: str) -> list[str]:
    tokens, position = [], 0
    while position < len(document):
        match = _TOKEN.match(document, position)
        if match is None:
            raise _syntax(f'Unexpected character: "{document[position]}"')
        position = match.end()
        if match["token"]:
            tokens.append(match["token"])
        if len(tokens) > MAX_TOKENS:
            raise _syntax("Document contains too many tokens")
    return tokens


class _Parser:
    def __init__(self, tokens: list[str], variables: Mapping[str, Any]) -> None:
        self._tokens = tokens
        self._position = 0
        self._given = variables
        self._variables: dict[str, Any] = {}
        self._fragments = self._bodies_of_fragments()
        self._left = MAX_FIELDS

    def document(self) -> list[Operation]:
        operations = []
        while self._peek() is not None:
            if self._peek() == "fragment":
                self._skip_definition()
            else:
                operations.append(self._operation())
        return operations

    def _operation(self) -> Operation:
        kind, name = "query", None
        self._variables = {}
        if self._peek() != "{":
            kind = self._next()
            if kind not in {"query", "mutation"}:
                raise _syntax(f'Unexpected Name "{kind}"')
            if self._peek() not in {"{", "("}:
                name = self._name()
            if self._peek() == "(":
                self._define_variables()
        return Operation(kind=kind, name=name, fields=tuple(self._selection(depth=0)))

    def _define_variables(self) -> None:
        self._expect("(")
        while self._peek() != ")":
            self._expect("$")
            name = self._name()
            self._expect(":")
            required = self._type()
            default = None
            if self._peek() == "=":
                self._next()
                default = self._value(depth=0)
            if required and default is None and self._given.get(name) is None:
                raise GraphQLError(f'Variable "${name}" of required type was not provided.', code="BAD_USER_INPUT")
            self._variables[name] = self._given.get(name, default)
        self._expect(")")

    def _type(self, *, depth: int = 0) -> bool:
        if depth > MAX_DEPTH:
            raise GraphQLError("The query is too deep.")
        if self._peek() == "[":
            self._next()
            self._type(depth=depth + 1)
            self._expect("]")
        else:
            self._name()
        if self._peek() == "!":
            self._next()
            return True
        return False

    def _selection(self, *, depth: int) -> Iterator[Selected]:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise GraphQLError("The query is too deep.")
        self._expect("{")
        if self._peek() == "}":
            raise _syntax("Expected Name, found }")
        while self._peek() != "}":
            if self._peek() == "...":
                self._next()
                yield from self._fragment(depth=depth)
            else:
                yield self._field(depth=depth)
        self._expect("}")

    def _fragment(self, *, depth: int) -> Iterator[Selected]:
        if self._peek() == "on":
            self._next()
            self._name()
        if self._peek() == "{":
            yield from self._selection(depth=depth + 1)
            return
        name = self._name()
        if name not in self._fragments:
            raise GraphQLError(f'Unknown fragment "{name}".')
        back, self._position = self._position, self._fragments[name]
        yield from self._selection(depth=depth + 1)
        self._position = back

    def _field(self, *, depth: int) -> Selected:
        self._left -= 1
        name = alias = self._name()
        if self._peek() == ":":
            self._next()
            name = self._name()
        arguments = {}
        if self._peek() == "(":
            self._next()
            while self._peek() != ")":
                argument = self._name()
                self._expect(":")
                arguments[argument] = self._value(depth=depth)
            self._expect(")")
        if self._peek() == "@":
            raise GraphQLError("Directives are beyond this emulator.")
        fields = tuple(self._selection(depth=depth + 1)) if self._peek() == "{" else ()
        return Selected(name=name, alias=alias, arguments=arguments, fields=fields)

    def _value(self, *, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise GraphQLError("The query is too deep.")
        word = self._next()
        if word == "$":
            name = self._name()
            if name not in self._variables:
                raise GraphQLError(f'Variable "${name}" is not defined.')
            return self._variables[name]
        if word == "[":
            return list(self._values_until("]", depth=depth))
        if word == "{":
            return dict(self._members(depth=depth))
        if word.startswith('"""'):
            return word[3:-3].replace('\\"""', '"""').strip()
        if word.startswith('"') or _NUMBER.match(word):
            try:
                return json.loads(word)
            except ValueError as error:
                raise _syntax(f"Invalid value: {word[:100]}") from error
        if _NAME.match(word):
            return {"true": True, "false": False, "null": None}.get(word, word)
        raise _syntax(f"Unexpected {word}")

    def _values_until(self, end: str, *, depth: int) -> Iterator[Any]:
        while self._peek() != end:
            yield self._value(depth=depth + 1)
        self._expect(end)

    def _members(self, *, depth: int) -> Iterator[tuple[str, Any]]:
        while self._peek() != "}":
            name = self._name()
            self._expect(":")
            yield name, self._value(depth=depth + 1)
        self._expect("}")

    def _bodies_of_fragments(self) -> dict[str, int]:
        return {
            self._tokens[position + 1]: position + 4
            for position, word in enumerate(self._tokens[:-4])
            if word == "fragment" and self._tokens[position + 2] == "on"
        }

    def _skip_definition(self) -> None:
        while self._next() != "{":
            pass
        open_braces = 1
        while open_braces:
            word = self._next()
            open_braces += (word == "{") - (word == "}")

    def _peek(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _next(self) -> str:
        word = self._peek()
        if word is None:
            raise _syntax("Unexpected <EOF>")
        self._position += 1
        return word

    def _name(self) -> str:
        word = self._next()
        if not _NAME.match(word):
            raise _syntax(f"Expected Name, found {word}")
        return word

    def _expect(self, wanted: str) -> None:
        word = self._next()
        if word != wanted:
            raise _syntax(f"Expected {wanted}, found {word}")


def _syntax(message: str) -> GraphQLError:
    return GraphQLError(f"Syntax Error: {message}.", code="GRAPHQL_PARSE_FAILED")
