"""Where in a file of prompts a finding is."""

from collections.abc import Sequence
from dataclasses import dataclass

from contexten_core.prompts.files import FilePrompt, read_prompts
from contexten_core.prompts.files.yaml import Document, parse
from contexten_core.prompts.lint.findings import Finding


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file of prompts, with what is needed to find a place in it again."""

    name: str
    prompts: Sequence[FilePrompt]
    document: Document

    def place(self, finding: Finding) -> tuple[int, int]:
        """Return the line and the column of a finding, both from 1; of the prompt where nothing nearer is known."""
        prompt = next((one for one in self.prompts if one.spec.slug == finding.slug), None)
        if prompt is None:
            return 1, 1
        path = (*prompt.path, *finding.part)
        if finding.part[:1] == ("when",):
            path = self._condition((*prompt.path, "when"), finding.part)
        if finding.line is not None:
            return self._in_text(path, finding.line, finding.column)
        place = self.document.keys.get(path) or self.document.place(path)
        return place.line, place.column

    def _condition(self, when: tuple[str | int, ...], part: Sequence[str | int]) -> tuple[str | int, ...]:
        """Return the first place below `when` whose key, or the field that it names, is the condition's."""
        field = part[1] if len(part) > 1 else None
        below = (path for path in self.document.keys if path[: len(when)] == when and path[-1] == field)
        return next(below, when)

    def _in_text(self, path: tuple[str | int, ...], line: int, column: int | None) -> tuple[int, int]:
        place = self.document.place(path)
        if path not in self.document.literal:
            return place.line, place.column
        written = self.document.lines[place.line + line - 1 :][:1]
        indentation = len(written[0]) - len(written[0].lstrip(" ")) if written else 0
        return place.line + line, indentation + (column or 1)


def read_checked(text: str, *, name: str) -> CheckedFile:
    """Return a file of prompts that is to be checked.

    Raises:
        PromptFileError: it cannot be read; names each place.
    """
    return CheckedFile(name, read_prompts(text, name=name), parse(text, name=name))
