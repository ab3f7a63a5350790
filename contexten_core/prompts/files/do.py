"""What carries a prompt out, as it stands in a file: `do: {command: make test}`, `do: {llm: {max_turns: 5}}`.

The one thing that an executor needs stands beside its name; whatever else it takes is a mapping, and so is all that one
of a team's own takes.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict

from contexten_core.prompts.files.check import validated
from contexten_core.prompts.files.problems import Path, kind_of, near
from contexten_core.prompts.files.yaml import Document
from contexten_core.prompts.inputs import EXECUTOR_FIELDS, ExecutorConfig, executor_problem
from contexten_core.prompts.models import EXECUTOR_NAME, Executor
from contexten_core.security.text import one_line

_FIRST: Mapping[str, str] = {
    Executor.COMMAND: "command",
    Executor.LLM: "model",
    Executor.AGENT: "command",
    Executor.HTTP: "agent",
}
_KNOWN = tuple(Executor.OWN)
_NOTHING: tuple[Executor, dict[str, Any]] = (Executor.COMMAND, {})


class ConfigPart(ExecutorConfig):
    """What an executor of our own needs to know."""

    model_config = ConfigDict(strict=True, extra="forbid")


class OwnConfigPart(ExecutorConfig):
    """What an executor of a team's own needs to know."""

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
    executor = _executor(name, given)
    if executor is None:
        meant = near(name, _KNOWN) or f"; known are {', '.join(_KNOWN)}, and a team's own with a mapping"
        document.complain(here, f"{one_line(name, 80)!r} is no executor{meant}", at_key=True)
        return _NOTHING
    if not isinstance(given, dict) and executor not in _FIRST:
        document.complain(here, f"must be a mapping, not {kind_of(given)}")
        return _NOTHING
    config = given if isinstance(given, dict) else {_FIRST[executor]: given}
    before = len(document.problems)
    validated(document, ConfigPart if executor in Executor.OWN else OwnConfigPart, config, here)
    problem = executor_problem(executor, config) if config and len(document.problems) == before else None
    if problem:
        document.complain(here, problem)
    return executor, dict(config)


def _executor(name: str, given: Any) -> Executor | None:
    """Return the executor of a name; one of a team's own takes a mapping, and a word with a value is a slip."""
    if name not in _KNOWN and not isinstance(given, dict):
        return None
    try:
        return Executor(name)
    except ValueError:
        return None


def write_do(executor: Executor, config: Mapping[str, Any]) -> dict[str, Any]:
    first = _FIRST.get(executor)
    return {executor.value: config[first] if first is not None and config.keys() == {first} else dict(config)}


def do_schema() -> dict[str, Any]:
    """Return the JSON schema of what stands under `do`."""
    config = ConfigPart.model_json_schema(ref_template="#/$defs/{model}")
    parts, definitions = config["properties"], config.get("$defs", {})
    words = {"type": "string", "minLength": 1}
    line = {"anyOf": [words, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    said: Mapping[Executor, tuple[dict[str, Any] | None, str]] = {
        Executor.COMMAND: (line, "A program that is run on the checkout, without a shell."),
        Executor.LLM: (words, "A language model; {} is the one that is configured."),
        Executor.AGENT: (line, "A coding agent that is run on the checkout."),
        Executor.HTTP: (words, "A hosted agent, by the name that it has in the settings."),
        Executor.REPLY: (None, "Nobody: the prompt's text is the answer."),
    }

    def form(executor: Executor, short: dict[str, Any] | None) -> dict[str, Any]:
        fields = {name: _inlined(parts[name], definitions) for name in EXECUTOR_FIELDS[executor]}
        whole = {"type": "object", "properties": fields, "additionalProperties": False}
        return whole if short is None else {"anyOf": [short, whole]}

    return {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "propertyNames": {"pattern": EXECUTOR_NAME},
        "additionalProperties": {"type": "object", "description": "An executor of a team's own."},
        "properties": {
            executor.value: {**form(executor, short), "description": description}
            for executor, (short, description) in said.items()
        },
    }


def _inlined(part: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a schema without references, which would have to be found in the schema around it."""
    name = part.get("$ref", "").rpartition("/")[2]
    return dict(definitions[name]) if name in definitions else part
