"""Prompts as files: a form of YAML that people read and change, and that says the same as the prompts that are stored.

prompts:
  - slug: run-checks
    name: Run the checks
    type: testing
    when:
      event.type: push
      event.branch: {not_in: [gh-pages]}
    do: {command: make test}
    limits: {wall_seconds: 900}
    template: Run the project's own checks.
"""

from collections.abc import Sequence
from difflib import unified_diff
from typing import Any

from contexten_core.prompts.files.problems import FileProblem, PromptFileError
from contexten_core.prompts.files.read import FilePrompt, read_prompts
from contexten_core.prompts.files.schema import FilePart, schema_of
from contexten_core.prompts.files.write import write_prompts
from contexten_core.prompts.spec import PromptSpec

__all__ = [
    "FileProblem",
    "FilePrompt",
    "PromptFileError",
    "diff_specs",
    "read_prompt_file",
    "read_prompts",
    "schema",
    "write_prompt_file",
    "write_prompts",
]


def read_prompt_file(text: str, *, name: str) -> list[PromptSpec]:
    """Return the prompts of a file.

    Raises:
        PromptFileError: something in it is wrong; names every place, up to 20.
    """
    return [found.spec for found in read_prompts(text, name=name)]


def write_prompt_file(specs: Sequence[PromptSpec]) -> str:
    """Return prompts as a file; `read_prompt_file` gives back the same."""
    return write_prompts(specs)


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a file of prompts."""
    return schema_of(FilePart)


def diff_specs(old: PromptSpec | None, new: PromptSpec | None, *, names: tuple[str, str] = ("old", "new")) -> str:
    """Return what differs between two prompts as a unified diff of their files, empty where nothing does.

    Args:
        old: None for a prompt that is new.
        new: None for one that is gone.
        names: what the two sides are called.
    """
    before, after = ("" if spec is None else write_prompts([spec]) for spec in (old, new))
    lines = unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    return "".join(f"{line}\n" for line in lines)
