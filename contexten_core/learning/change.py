"""Record what was learned and what people say about it, and what becomes of both."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import BaseModel, utc_now
from contexten_core.db.insert import insert_once
from contexten_core.db.kept import kept
from contexten_core.db.rows import set_values
from contexten_core.errors import TransitionError
from contexten_core.events.emit import TASK_COMPLETED, TASK_FAILED
from contexten_core.inputs import missing
from contexten_core.learning import store
from contexten_core.learning.inputs import (
    LearningCreate,
    LearningFeedbackCreate,
    LearningFeedbackUpdate,
    LearningUpdate,
)
from contexten_core.learning.models import LearningFeedbackModel, LearningModel, LearningStatus, LearningType
from contexten_core.learning.prompt_table import wilson_interval
from contexten_core.projects import store as project_store
from contexten_core.security.text import one_line
from contexten_core.tasks import store as task_store
from contexten_core.tasks.models import TaskPriority

R = TypeVar("R", bound=BaseModel)

_ENDS = (LearningStatus.APPLIED, LearningStatus.REJECTED)
_NEXT = {
    LearningStatus.PENDING: (LearningStatus.PROCESSING, LearningStatus.ANALYZED, *_ENDS),
    LearningStatus.PROCESSING: (LearningStatus.ANALYZED, *_ENDS),
    LearningStatus.ANALYZED: _ENDS,
    LearningStatus.APPLIED: (),
    LearningStatus.REJECTED: (),
}
_IMPACT = {
    TaskPriority.LOW: 0.25,
    TaskPriority.MEDIUM: 0.5,
    TaskPriority.HIGH: 0.75,
    TaskPriority.CRITICAL: 1.0,
}
_OUTCOMES_COUNTED = 1_000
_LONGEST_NAME = 200
_LONGEST_ERROR = 10_000


async def create_learning(session: AsyncSession, data: LearningCreate) -> LearningModel:
    """Store something that was learned.

    Raises:
        InvalidInputError: its task or project does not exist.
    """
    await _must_be_task(session, "task_id", data.task_id)
    if data.project_id is not None and not await project_store.hold_project(session, data.project_id):
        raise missing("project_id", data.project_id)
    chosen = {
        "name": data.name or f"{data.learning_type.value} of {data.source_component}"[:_LONGEST_NAME],
        "data": data.data,
        "applied_at": utc_now() if data.status is LearningStatus.APPLIED else None,
    }
    return await store.add(session, **data.columns() | chosen)


async def update_learning(session: AsyncSession, learning_id: UUID, changes: LearningUpdate) -> LearningModel | None:
    """Change something that was learned; None when there is nothing with that id.

    Its status goes forward only: pending, processing, analyzed, and then applied or rejected, which are final. Steps
    may be left out. When it is applied the time is noted.

    Raises:
        TransitionError: its status may not become that one.
    """
    learning = await store.get_learning(session, learning_id, lock=True)
    if learning is None:
        return None
    values = changes.columns()
    wanted = values.get("status", learning.status)
    if wanted is not learning.status:
        if wanted not in _NEXT[learning.status]:
            raise TransitionError(
                f"status: what was learned cannot go from {learning.status.value} to {wanted.value}",
                hint=_hint(learning),
            )
        if wanted is LearningStatus.APPLIED:
            values["applied_at"] = utc_now()
    return await _changed(session, learning, values)


async def outcome_confidence(session: AsyncSession, *, task_type: str, learning_type: LearningType) -> float:
    """Return how sure one more such outcome makes us that tasks of this type end that way.

    That is the lower bound of Wilson's 95 % interval (E. B. Wilson, "Probable Inference, the Law of Succession, and
    Statistical Inference", JASA 22 (1927), 209-212) of how often they have, this one included: 0.21 after the first,
    0.72 after ten of ten. The newest 1,000 outcomes count.
    """
    before = await store.count_outcomes(session, task_type=task_type, newest=_OUTCOMES_COUNTED)
    confidence, _ = wilson_interval(successes=before.get(learning_type, 0) + 1, runs=sum(before.values()) + 1)
    return confidence


async def record_outcome_learning(
    session: AsyncSession, *, task: Mapping[str, Any], succeeded: bool, source: str
) -> LearningModel:
    """Store one observation of how a task ended; recording the same end again returns the row that is there.

    Args:
        task: what `TaskModel.to_dict()` gives, as far as it is known; an `id` (or `task_id`) of no task is kept in the
            data alone.
        succeeded: whether it was completed or failed.
        source: the component that saw it.
    """
    event = TASK_COMPLETED if succeeded else TASK_FAILED
    learning_type = LearningType.SUCCESS_ANALYSIS if succeeded else LearningType.ERROR_ANALYSIS
    said_id = task.get("id") or task.get("task_id")
    ended_at = _plain(task.get("completed_at") or task.get("updated_at"))
    row_id = uuid5(NAMESPACE_URL, f"contexten:{event}:{said_id}:{ended_at}") if said_id and ended_at else uuid4()
    data = _outcome_data(task, succeeded=succeeded) | {"task_id": None if said_id is None else str(said_id)}
    error, title = data["error_message"], str(task.get("title") or task.get("name") or "")
    values = {
        "id": row_id,
        "name": one_line(
            f"{data['task_type']} {'completed' if succeeded else 'failed'}: {error or title}", _LONGEST_NAME
        ),
        "learning_type": learning_type,
        "status": LearningStatus.ANALYZED,
        "data": data,
        "confidence_score": await outcome_confidence(session, task_type=data["task_type"], learning_type=learning_type),
        "impact_score": _IMPACT.get(data["priority"], _IMPACT[TaskPriority.MEDIUM]),
        "source_component": source,
        "source_operation": event,
        "source_data": {"ended_at": ended_at},
        "task_id": await kept(session, task_store.keep, said_id),
        "project_id": await kept(session, project_store.hold_project, task.get("project_id")),
    }
    await insert_once(session, LearningModel, values, unique=("id",))
    return await session.get_one(LearningModel, row_id)


async def create_learning_feedback(session: AsyncSession, data: LearningFeedbackCreate) -> LearningFeedbackModel:
    """Store what somebody says about something that was learned.

    Raises:
        InvalidInputError: that does not exist, or the related task does not.
    """
    if not await store.hold_learning(session, data.learning_id):
        raise missing("learning_id", data.learning_id)
    await _must_be_task(session, "related_task_id", data.related_task_id)
    name = data.name or one_line(data.feedback_content, _LONGEST_NAME) or data.feedback_type.value
    row = LearningFeedbackModel(id=uuid4(), **data.columns() | {"name": name})
    session.add(row)
    await session.flush()
    return row


async def update_learning_feedback(
    session: AsyncSession, feedback_id: UUID, changes: LearningFeedbackUpdate
) -> LearningFeedbackModel | None:
    """Note what was done about feedback, and when; None when there is none with that id."""
    feedback = await store.get_learning_feedback(session, feedback_id, lock=True)
    if feedback is None:
        return None
    values = changes.columns()
    if values.get("is_processed", feedback.is_processed) != feedback.is_processed:
        values["processed_at"] = utc_now() if values["is_processed"] else None
    return await _changed(session, feedback, values)


def _outcome_data(task: Mapping[str, Any], *, succeeded: bool) -> dict[str, Any]:
    minutes = task.get("actual_duration_minutes")
    error = task.get("error_message")
    return {
        "success": succeeded,
        "task_type": one_line(str(task.get("task_type") or "unknown"), _LONGEST_NAME),
        "priority": one_line(str(task.get("priority") or TaskPriority.MEDIUM.value), _LONGEST_NAME),
        "duration_seconds": minutes * 60 if isinstance(minutes, int | float) else None,
        "error_message": None if error is None or succeeded else str(error)[:_LONGEST_ERROR],
    }


def _plain(moment: Any) -> str | None:
    if moment is None:
        return None
    return moment.isoformat() if isinstance(moment, datetime) else str(moment)


async def _must_be_task(session: AsyncSession, field: str, task_id: UUID | None) -> None:
    if task_id is not None and await task_store.keep(session, task_id) is None:
        raise missing(field, task_id)


def _hint(learning: LearningModel) -> str:
    following = [status.value for status in _NEXT[learning.status]]
    return f"It may become {' or '.join(following)}." if following else f"What is {learning.status.value} stays so."


async def _changed(session: AsyncSession, row: R, values: Mapping[str, Any]) -> R:
    set_values(row, values)
    await session.flush()
    return row
