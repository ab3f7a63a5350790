"""What came of a task, in the form that every later step and every report reads."""

from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

from contexten_core.errors import ContextenError
from contexten_core.events.models import Conclusion
from contexten_core.execution.executor import Cost
from contexten_core.learning.failure import Failure


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why the code of a commit could not be had, as an analysis that failed reports it."""

    code: str
    message: str
    hint: str | None = None
    transient: bool = False

    @classmethod
    def because(cls, error: ContextenError) -> Self:
        return cls(error.code, error.message, error.hint, error.transient)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended.

    Attributes:
        headline: one line for people.
        duration_seconds: by the wall clock.
        cpu_seconds: of all processes.
        memory_mb: at most, of all processes together; None when it was over too soon to tell.
        failure: what the log says, when the task did not succeed.
        error: the code of what kept it from being done.
        cost: what models took for it.
        template: the name of the template that was rendered; None for the prompt's own text.
    """

    task_id: UUID
    execution_id: UUID
    conclusion: Conclusion
    headline: str
    exit_code: int | None = None
    duration_seconds: float = 0.0
    cpu_seconds: float = 0.0
    cpu_percent: float = 0.0
    memory_mb: float | None = None
    output_bytes: int = 0
    truncated: bool = False
    failure: Failure | None = None
    error: str | None = None
    cost: Cost = field(default_factory=Cost)
    template: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        return self.conclusion is Conclusion.SUCCESS
