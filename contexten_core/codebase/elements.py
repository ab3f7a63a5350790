"""Rows for the functions and classes of a commit."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid5

from contexten_core.codebase.facts import ClassFact, FileFacts, FunctionFact
from contexten_core.codebase.outline import CLASS, FUNCTION, METHOD

_MOST_RELATED = 50
_NAMED = 200


def elements_of(facts: FileFacts, *, codebase_id: UUID, importers: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield a row of `codebase_metadata` for each function, method and class of a file.

    `dependencies` are the names that a function calls, or that a class derives from; `dependents` the files that import
    the file; 50 of each at most. Equal elements of one codebase have equal ids, so storing them again changes nothing.
    """
    for function in facts.functions:
        content = {
            "docstring": function.docstring,
            "decorators": function.decorators,
            "parameters": function.parameters,
            "cognitive_complexity": function.cognitive,
            "nesting": function.nesting,
        }
        kind = METHOD if function.is_method else FUNCTION
        row = _row(facts, function, kind, content, codebase_id=codebase_id)
        yield row | {
            "complexity": float(function.complexity),
            "dependencies": list(function.calls[:_MOST_RELATED]),
            "dependents": list(importers[:_MOST_RELATED]),
        }
    for found in facts.classes:
        content = {"docstring": found.docstring, "decorators": found.decorators, "bases": found.bases}
        row = _row(facts, found, CLASS, content, codebase_id=codebase_id)
        yield row | {
            "complexity": None,
            "dependencies": list(found.bases[:_MOST_RELATED]),
            "dependents": list(importers[:_MOST_RELATED]),
        }


def _row(
    file: FileFacts, fact: FunctionFact | ClassFact, kind: str, content: dict[str, Any], *, codebase_id: UUID
) -> dict[str, Any]:
    name = fact.qualified_name
    return {
        "id": uuid5(codebase_id, f"{file.path}\0{kind}\0{name}\0{fact.line}\0{fact.end_line}"),
        "name": name[:_NAMED],
        "metadata_type": kind,
        "file_path": file.path,
        "element_name": name,
        "element_type": file.language,
        "signature": fact.signature or None,
        "start_line": fact.line,
        "end_line": fact.end_line,
        "content": {key: value for key, value in content.items() if value},
        "lines_of_code": fact.end_line - fact.line + 1,
        "codebase_id": codebase_id,
    }
