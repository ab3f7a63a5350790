"""The reply executor: the rendered text itself is the answer. No model, no checkout, nothing is executed."""

from collections.abc import Mapping
from time import monotonic
from typing import Any

from contexten_core.errors import ConfigurationError
from contexten_core.execution.executor import Assignment, Report, Say
from contexten_core.execution.proposals import Labels, Proposal
from contexten_core.execution.replies import replies
from contexten_core.execution.results import Ended
from contexten_core.security.text import one_line
from contexten_core.settings import Settings

_HEADLINE = 200


class ReplyExecutor:
    """Proposes the instruction as the comment, ticket's comment or message that the prompt allows."""

    needs_checkout = False
    context_tokens = 0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self, assignment: Assignment) -> None:
        _labels(assignment)

    async def run(self, assignment: Assignment, say: Say) -> Report:
        """Answer with the instruction; with nothing to say it fails."""
        started = monotonic()
        text = assignment.instruction.strip()
        await say(text)
        proposals: list[Proposal] = list(replies(text, assignment.outputs))
        labels = _labels(assignment)
        if labels is not None and assignment.outputs.get("labels", 0) > 0:
            proposals.append(labels)
        return Report(
            ended=Ended.EXITED,
            succeeded=bool(text),
            headline=one_line(text.partition("\n")[0], _HEADLINE) or "The text of the prompt is empty",
            log=text,
            duration_seconds=monotonic() - started,
            output_bytes=len(text.encode(errors="replace")),
            proposals=tuple(proposals),
            evidence={"answer": text},
        )


def _labels(assignment: Assignment) -> Labels | None:
    """Return the labels that the prompt sets.

    Raises:
        ConfigurationError: they are not of the form `{"add": [...], "remove": [...]}`.
    """
    given = assignment.config.get("labels")
    if given is None:
        return None
    if not isinstance(given, Mapping) or not given.keys() <= {"add", "remove"}:
        raise _not_labels(assignment)
    labels = Labels(add=_names(assignment, given.get("add")), remove=_names(assignment, given.get("remove")))
    return labels if labels.add or labels.remove else None


def _names(assignment: Assignment, given: Any) -> tuple[str, ...]:
    names = [] if given is None else given
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise _not_labels(assignment)
    return tuple(names)


def _not_labels(assignment: Assignment) -> ConfigurationError:
    return ConfigurationError(
        f"the labels of the prompt {assignment.prompt} cannot be read",
        hint='they are like {"add": ["welcome"], "remove": ["new"]}',
    )
