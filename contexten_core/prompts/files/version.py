"""Note in a file which version each of its prompts is, and leave everything else of it as it is."""

import re
from collections.abc import Mapping

from contexten_core.prompts.files.problems import Path, PromptFileError
from contexten_core.prompts.files.read import read_prompts
from contexten_core.prompts.files.yaml import Document, parse

_SLUG_LINE = re.compile(r"slug:[ ]+\S+[ ]*(#.*)?")
_NAME = "prompts"


def with_versions(text: str, versions: Mapping[str, int]) -> str:
    """Return a file's text with `version:` of each prompt as given by slug; comments and order stay.

    Where a prompt is written on one line, and says no version, there is no room for one, and it stays without.
    """
    document = parse(text, name=_NAME)
    lines = text.split("\n")
    prompts = read_prompts(text, name=_NAME)
    for prompt in reversed(prompts):
        version = versions.get(prompt.spec.slug)
        if version is not None and version != prompt.version:
            _note(lines, document, prompt.path, version)
    changed = "\n".join(lines)
    try:
        kept = [found.spec for found in read_prompts(changed, name=_NAME)] == [found.spec for found in prompts]
    except PromptFileError:
        kept = False
    return changed if kept else text


def _note(lines: list[str], document: Document, path: Path, version: int) -> None:
    here = (*path, "version")
    if here in document.places:
        place = document.places[here]
        line = lines[place.line - 1]
        after = line[place.column - 1 :].lstrip("0123456789")
        lines[place.line - 1] = f"{line[: place.column - 1]}{version}{after}"
        return
    key = document.keys[*path, "slug"]
    line = lines[key.line - 1]
    if _SLUG_LINE.fullmatch(line[key.column - 1 :].rstrip("\r")):
        end = "\r" if line.endswith("\r") else ""
        lines.insert(key.line, f"{' ' * (key.column - 1)}version: {version}{end}")
