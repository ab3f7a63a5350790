"""What carries a prompt out, as it stands in a file: `do: {command: make test}`, `do: {llm: {max_turns: 5}}`.

The one thing that an executor needs stands beside its name; whatever else it takes is a mapping.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict

from contexten_core.prompts.files.check import validated
from contexten_core.prompts.files.problems import Path, kind_of, near
from contexten_core.prompts.files.yaml import Document
from contexten_core.prompts.inputs import ExecutorConfig, executor_problem
from contexten_core.prompts.models import Executor
from contexten_core.security.text import one_line

_FIRST = {Executor.COMMAND: "command", Executor.LLM: "model", Executor.AGENT: "command", Executor.HTTP: "url"}
_KNOWN = tuple(executor.value for executor in Executor)
_NOTHING: tuple[Executor, dict[str, Any]] = (Executor.COMMAND, {})


class ConfigPart(ExecutorConfig):
    """What an executor needs to know."""

    model_config = ConfigDict(strict=True)


def read_do(document: Document, value: Any, path: Path) -> tuple[Executor, dict[str, Any]]:
    """Return the executor and its configuration, adding what is wrong to the document's problems."""
    if value is None and path not in document.places:
        return _NOTHING
    if not isinstance(value, dict) or len(value) != 1:
        given = ", ".join(value)[:80] if isinstance(value, dict) and value else kind_of(value)
        document.complain(path, f"must be exactly one of {', '.join(_KNOWN)}, not {given}")
        return _NOTHING
    ((name, given),) = value.items()
    here = (*path, name)
    if name not in _KNOWN:
        meant = near(name, _KNOWN) or f"; known are {', '.join(_KNOWN)}"
        document.complain(here, f"{one_line(name, 80)!r} is no executor{meant}", at_key=True)
        return _NOTHING
    executor = Executor(name)
    config = given if isinstance(given, dict) else {_FIRST[executor]: given}
    before = len(document.problems)
    validated(document, ConfigPart, config, here)
    problem = executor_problem(executor, config) if config and len(document.problems) == before else None
    if problem:
        document.complain(here, problem)
    return executor, dict(config)


def write_do(executor: Executor, config: Mapping[str, Any]) -> dict[str, Any]:
    first = _FIRST[executor]
    return {executor.value: config[first] if config.keys() == {first} else dict(config)}


def do_schema() -> dict[str, Any]:
    """Return the JSON schema of what stands under `do`."""
    config = ConfigPart.model_json_schema()
    words = {"type": "string", "minLength": 1}
    line = {"anyOf": [words, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    said = {
        Executor.COMMAND: (line, "A program that is run on the checkout, without a shell."),
        Executor.LLM: (words, "A language model; {} is the one that is configured."),
        Executor.AGENT: (line, "A coding agent that is run on the checkout."),
        Executor.HTTP: (words, "A hosted agent, by its URL."),
    }
    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": {
            executor.value: {"anyOf": [short, config], "description": description}
            for executor, (short, description) in said.items()
        },
    }
