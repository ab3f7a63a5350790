"""Step 7: one observation per outcome, and for a failure its fingerprint and pattern."""

from dataclasses import dataclass
from uuid import UUID

from contexten_core.db import utc_now
from contexten_core.events.steps import StepRecord
from contexten_core.learning import store
from contexten_core.learning.change import outcome_confidence
from contexten_core.learning.fingerprint import Fingerprint, fingerprint
from contexten_core.learning.models import LearningStatus, LearningType
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.tasks.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Mined:
    """What was learned from one outcome; for a failure its pattern and how often that has been seen."""

    learning_id: UUID
    pattern_id: UUID | None = None
    fingerprint: str | None = None
    pattern: str | None = None
    occurrences: int | None = None
    known: bool = False


async def mine(record: StepRecord, target: Target, choice: Choice, outcome: Outcome) -> Mined:
    """Store the observation; count the failure's pattern up by one, or make the pattern when it is new."""
    mark = fingerprint(outcome.failure) if outcome.failure else None
    async with record.runtime.database.transaction() as session:
        now = utc_now()
        learning_type = LearningType.SUCCESS_ANALYSIS if outcome.succeeded else LearningType.ERROR_ANALYSIS
        confidence = await outcome_confidence(session, task_type=choice.task_type.value, learning_type=learning_type)
        row = await store.add(
            session,
            name=outcome.headline[:200],
            learning_type=learning_type,
            status=LearningStatus.ANALYZED,
            data=_data(outcome, mark),
            context={
                "project": target.project_slug,
                "repository": target.repository,
                "commit": target.commit,
                "prompt": choice.slug,
                "prompt_version": choice.version,
            },
            source_component="tasks",
            source_operation=choice.slug,
            source_data={"run_id": str(record.run.run_id), "execution_id": str(outcome.execution_id)},
            task_id=outcome.task_id,
            project_id=target.project_id,
        )
        if mark is None or outcome.failure is None:
            row.confidence_score = confidence
            return await record.complete(session, Mined(row.id))
        pattern = await store.observe_pattern(
            session,
            fingerprint=mark,
            kind=outcome.failure.kind.value,
            seen_in=target.repository,
            learning_id=row.id,
            now=now,
        )
        row.confidence_score = seen_again_confidence(pattern.occurrence_count)
        mined = Mined(
            learning_id=row.id,
            pattern_id=pattern.id,
            fingerprint=mark.digest,
            pattern=pattern.pattern_name,
            occurrences=pattern.occurrence_count,
            known=pattern.occurrence_count > 1,
        )
        return await record.complete(session, mined)


def seen_again_confidence(occurrences: int) -> float:
    """Return the chance that a pattern seen `occurrences` times is a lasting one, by Laplace's rule of succession."""
    return (occurrences + 1) / (occurrences + 2)


def _data(outcome: Outcome, mark: Fingerprint | None) -> dict[str, object]:
    return {
        "success": outcome.succeeded,
        "conclusion": outcome.conclusion.value,
        "duration_seconds": outcome.duration_seconds,
        "headline": outcome.headline,
        "kind": outcome.failure.kind.value if outcome.failure else None,
        "failed_tests": list(outcome.failure.failed_tests) if outcome.failure else [],
        "fingerprint": mark.digest if mark else None,
        "normalised": mark.normalised if mark else "",
    }
