"""What carries a prompt out: one interface for programs, models and agents, and how a team adds its own.

An executor is found by its name in the entry-point group `contexten.executors`. It gets an assignment, holds no
credentials of GitHub, Linear or Slack, and returns a report; what it wants done outside is a proposal in the report.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol

from contexten_core.errors import ConfigurationError
from contexten_core.execution.proposals import Proposal
from contexten_core.execution.results import Ended
from contexten_core.settings import Settings

GROUP = "contexten.executors"

Say = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an executor is to do, and how much it may take.

    Attributes:
        name: the run's, for people.
        prompt: the prompt's slug.
        instruction: the rendered template.
        system: the rendered system prompt.
        config: the prompt's `executor_config`.
        limits: the prompt's `limits`.
        outputs: how many proposals of each kind are allowed.
        checkout: the code at the run's commit, plain files; None for an executor that does not ask for it.
        code: the parts of the code that matter for the event; empty for an executor that does not ask for them.
        key: the same however often the run is taken up again, and no other run's; empty where nobody asks for it.
    """

    name: str
    prompt: str
    instruction: str
    system: str | None
    config: Mapping[str, Any]
    limits: Mapping[str, Any]
    outputs: Mapping[str, int]
    checkout: Path | None = None
    code: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model took. `dollars` is None where the price is not known."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    dollars: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What came of an assignment.

    Attributes:
        succeeded: a command's by its exit code; a model's by whether it gave an answer that can be used.
        headline: one line for people.
        log: bounded text, what was said and done.
        sandbox: the level of walls that it ran in; None where nothing of the repository was executed.
        evidence: what a later judgement can rest on, JSON-ready: how it ended, the answer, the model.
    """

    ended: Ended
    succeeded: bool
    headline: str
    log: str
    duration_seconds: float
    exit_code: int | None = None
    cpu_seconds: float = 0.0
    cpu_percent: float = 0.0
    memory_mb: float | None = None
    output_bytes: int = 0
    truncated: bool = False
    sandbox: str | None = None
    cost: Cost = field(default_factory=Cost)
    proposals: tuple[Proposal, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)


class Executor(Protocol):
    """Carries out one assignment. It is made for it with the settings, and used once.

    Attributes:
        needs_checkout: whether it works on the code itself.
        context_tokens: how much of the code it wants to be shown; 0 for none.
    """

    needs_checkout: bool
    context_tokens: int

    def __init__(self, settings: Settings) -> None: ...

    def prepare(self, assignment: Assignment) -> None:
        """Check that it can be done at all.

        Raises:
            ConfigurationError: the prompt or the settings lack something; says what.
        """

    async def run(self, assignment: Assignment, say: Say) -> Report:
        """Do it. `say` is given the log as it grows. Cancelling the task ends what was started, and leaves nothing.

        Raises:
            ContextenError: it could not be started or finished; `transient` when it may work later.
        """


def executor_for(name: str, settings: Settings) -> Executor:
    """Return a new executor of that name.

    Raises:
        ConfigurationError: nothing of that name is installed, or it cannot be imported.
    """
    found = installed().get(name)
    if found is None:
        known = ", ".join(sorted(installed()))
        raise ConfigurationError(f"there is no executor named {name!r}", hint=f"installed are: {known}")
    try:
        made: Executor = found.load()(settings)
    except ImportError as error:
        raise ConfigurationError(
            f"the executor {name!r} cannot be imported: {error}", hint=f"is the package of {found.value} complete?"
        ) from error
    return made


@cache
def installed() -> Mapping[str, EntryPoint]:
    """Return the executors that this installation has, by their names."""
    return {point.name: point for point in entry_points(group=GROUP)}
