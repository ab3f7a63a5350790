"""What is given to be rendered, how much that may take, and what is said when it cannot be done."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contexten_core.errors import ContextenError
from contexten_core.prompts.templates.language import Problem


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """A template with all that it includes.

    Attributes:
        name: what it is called in errors: `review`, `review@production`.
        includes: by reference, `slug@label`, the text of each prompt that it or another of them includes.
    """

    name: str
    text: str
    includes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RenderLimits:
    """What one rendering may take.

    Attributes:
        seconds: from asking to the answer, half of them of processor time. On a machine so busy that it does not get
            that half it is waited for longer.
        characters: of the text that comes out.
    """

    seconds: float = 1.0
    characters: int = 200_000


class TemplateError(ContextenError):
    """A template, or a value for it, is not as it has to be.

    Attributes:
        template: which one: the name of the source, or the reference of what it includes.
        line: from 1, where it is known.
        column: likewise.
    """

    code = "template"
    status = 422

    def __init__(
        self,
        problem: str,
        *,
        template: str,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        place = f", line {line}" if line else ""
        place += f", column {column}" if line and column else ""
        super().__init__(f"{template}{place}: {problem}", hint=hint)
        self.problem = problem
        self.template = template
        self.line = line
        self.column = column

    @classmethod
    def of(cls, problem: Problem, *, template: str) -> "TemplateError":
        return cls(problem.message, template=template, line=problem.line, column=problem.column)
