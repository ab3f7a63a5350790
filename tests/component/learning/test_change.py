"""What was learned, and what people say of it: recorded with a computed confidence, changed forward, listed."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, insert, text

from contexten_core.db import Database, utc_now
from contexten_core.db.paging import Page
from contexten_core.errors import InvalidInputError, TransitionError
from contexten_core.inputs import RowInput, checked
from contexten_core.learning import store
from contexten_core.learning.change import (
    create_learning,
    create_learning_feedback,
    record_outcome_learning,
    update_learning,
    update_learning_feedback,
)
from contexten_core.learning.inputs import (
    LearningCreate,
    LearningFeedbackCreate,
    LearningFeedbackUpdate,
    LearningUpdate,
)
from contexten_core.learning.models import (
    LearningFeedbackModel,
    LearningModel,
    LearningPatternModel,
    LearningStatus,
    LearningType,
    PatternType,
)
from contexten_core.projects.models import ProjectModel
from contexten_core.tasks.models import TaskModel, TaskPriority, TaskType

NOBODY = UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEARNED = {"learning_type": "code_quality", "source_component": "tests"}
SAID = {"learning_id": str(NOBODY), "feedback_type": "positive", "feedback_content": "Well done", "source_type": "user"}


async def add(database: Database, **fields: Any) -> LearningModel:
    async with database.transaction() as session:
        return await create_learning(session, checked(LearningCreate, LEARNED | fields))


async def change(database: Database, learning: LearningModel, **fields: Any) -> LearningModel:
    async with database.transaction() as session:
        changed = await update_learning(session, learning.id, checked(LearningUpdate, fields))
    assert changed is not None
    return changed


async def say(database: Database, learning_id: UUID, **fields: Any) -> LearningFeedbackModel:
    given = SAID | {"learning_id": learning_id} | fields
    async with database.transaction() as session:
        return await create_learning_feedback(session, checked(LearningFeedbackCreate, given))


async def record(database: Database, *, succeeded: bool, **task: Any) -> LearningModel:
    task = {"task_type": "bug_fix", "priority": "high", "title": "Fix the till"} | task
    async with database.transaction() as session:
        return await record_outcome_learning(session, task=task, succeeded=succeeded, source="tests")


async def add_task(database: Database, **fields: Any) -> TaskModel:
    values: dict[str, Any] = {"name": "Fix", "title": "Fix the till", "task_type": TaskType.BUG_FIX} | fields
    async with database.transaction() as session:
        task = TaskModel(id=uuid4(), **values)
        session.add(task)
    return task


async def test_what_was_learned_is_stored_as_it_was_given(database: Database) -> None:
    made = await add(database, data={"a": [1, None]}, confidence_score=0.5, metadata={"b": True})

    async with database.reading() as session:
        learning = await store.get_learning(session, made.id)

    assert learning is not None
    row = json.loads(json.dumps(learning.to_dict()))
    assert row == json.loads(json.dumps(made.to_dict()))
    assert (row["name"], row["status"], row["data"]) == ("code_quality of tests", "pending", {"a": [1, None]})
    assert (row["applied_at"], row["metadata"]) == (None, {"b": True})


@pytest.mark.parametrize("field", ["task_id", "project_id"])
async def test_what_it_refers_to_has_to_exist(database: Database, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await add(database, **{field: NOBODY})

    assert set(caught.value.fields) == {field}


@pytest.mark.parametrize(
    "way",
    [
        ["processing", "analyzed", "applied"],
        ["processing", "analyzed", "rejected"],
        ["analyzed", "analyzed", "applied", "applied"],
        ["applied"],
        ["rejected"],
    ],
)
async def test_the_status_goes_forward(database: Database, way: list[str]) -> None:
    learning = await add(database)

    for status in way:
        learning = await change(database, learning, status=status)

    assert learning.status == way[-1]
    assert (learning.applied_at is not None) == (way[-1] == "applied")


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        *(("applied", wanted) for wanted in ("pending", "processing", "analyzed", "rejected")),
        *(("rejected", wanted) for wanted in ("pending", "processing", "analyzed", "applied")),
        ("analyzed", "processing"),
        ("analyzed", "pending"),
        ("processing", "pending"),
    ],
)
async def test_the_status_never_goes_back(database: Database, status: str, wanted: str) -> None:
    learning = await add(database, status=status)

    with pytest.raises(TransitionError, match=f"cannot go from {status} to {wanted}") as caught:
        await change(database, learning, status=wanted, name="New")

    assert caught.value.hint
    async with database.reading() as session:
        stored = await store.get_learning(session, learning.id)
    assert stored is not None
    assert (stored.status, stored.name) == (LearningStatus(status), "code_quality of tests")


async def test_of_several_who_decide_at_once_one_does(database: Database) -> None:
    learning = await add(database)

    async def decide(status: str) -> bool:
        try:
            await change(database, learning, status=status)
        except TransitionError:
            return False
        return True

    answers = await asyncio.gather(decide("applied"), decide("rejected"))

    assert sorted(answers) == [False, True]


async def test_a_change_touches_what_is_given_and_nothing_else(database: Database) -> None:
    learning = await add(database, data={"flag": 1}, impact_score=0.1, context={"a": 1})

    await change(database, learning, data={"flag": True}, context=None, validation_score=1, application_result={})

    async with database.reading() as session:
        stored = await store.get_learning(session, learning.id)
        assert stored is not None
    assert stored.data["flag"] is True
    assert (stored.context, stored.impact_score, stored.validation_score) == (None, 0.1, 1.0)
    async with database.transaction() as session:
        assert await update_learning(session, NOBODY, checked(LearningUpdate, {"name": "x"})) is None


async def test_the_end_of_a_task_is_one_observation(database: Database) -> None:
    async with database.transaction() as session:
        project = ProjectModel(id=uuid4(), name="Cashbox", slug="cashbox")
        session.add(project)
    task = await add_task(
        database,
        project_id=project.id,
        priority=TaskPriority.CRITICAL,
        actual_duration_minutes=1.5,
        completed_at=NOON,
        error_message="no money",
    )

    made = await record(database, succeeded=False, **task.to_dict())
    again = await record(database, succeeded=False, **task.to_dict() | {"completed_at": NOON})
    retried = await record(database, succeeded=False, **task.to_dict() | {"completed_at": utc_now().isoformat()})
    succeeded = await record(database, succeeded=True, **task.to_dict())

    assert made.id == again.id
    assert len({made.id, retried.id, succeeded.id}) == 3
    assert (made.learning_type, made.status) == (LearningType.ERROR_ANALYSIS, LearningStatus.ANALYZED)
    assert (succeeded.learning_type, succeeded.data["error_message"]) == (LearningType.SUCCESS_ANALYSIS, None)
    assert (made.name, made.impact_score) == ("bug_fix failed: no money", 1.0)
    assert (made.task_id, made.project_id) == (task.id, project.id)
    assert (made.source_component, made.source_operation) == ("tests", "task_failed")
    assert made.data == {
        "success": False,
        "task_id": str(task.id),
        "task_type": "bug_fix",
        "priority": "critical",
        "duration_seconds": 90.0,
        "error_message": "no money",
    }


async def test_the_same_end_that_20_record_at_once_is_one_row(database: Database) -> None:
    task = (await add_task(database, completed_at=NOON)).to_dict()

    made = await asyncio.gather(*(record(database, succeeded=True, **task) for _ in range(20)))

    assert len({row.id for row in made}) == 1
    async with database.reading() as session:
        assert len((await store.page_learning(session, limit=10)).rows) == 1


async def test_confidence_is_the_least_likely_share_of_tasks_that_ended_that_way(database: Database) -> None:
    successes = [(await record(database, succeeded=True)).confidence_score or 0 for _ in range(10)]
    other = await record(database, succeeded=False, task_type="testing")
    failure = await record(database, succeeded=False)

    assert successes[0] == pytest.approx(0.2065, abs=1e-4)
    assert successes == sorted(successes)
    assert successes[9] == pytest.approx(0.7225, abs=1e-4)
    assert other.confidence_score == pytest.approx(0.2065, abs=1e-4)
    assert failure.confidence_score == pytest.approx(0.0162, abs=1e-4)


async def test_outcomes_of_the_lifecycle_count_by_the_type_of_their_task(database: Database) -> None:
    task = await add_task(database)
    await add(database, learning_type="success_analysis", task_id=task.id, data={"success": True})
    await add(database, learning_type="success_analysis", data={"success": True})
    await add(database, learning_type="code_quality", data={"task_type": "bug_fix"})

    async with database.reading() as session:
        counted = await store.count_outcomes(session, task_type="bug_fix", newest=100)

    assert counted == {LearningType.SUCCESS_ANALYSIS: 1}


async def test_only_the_newest_outcomes_count(database: Database) -> None:
    for succeeded in (False, False, True, False):
        await record(database, succeeded=succeeded)

    async with database.reading() as session:
        counted = await store.count_outcomes(session, task_type="bug_fix", newest=2)

    assert counted == {LearningType.SUCCESS_ANALYSIS: 1, LearningType.ERROR_ANALYSIS: 1}


async def test_outcomes_are_counted_by_the_index(database: Database) -> None:
    said: list[tuple[str, Any]] = []
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    rare = {0: "success_analysis", 1: "error_analysis"}
    rows = [
        LEARNED
        | {"name": f"{number}", "created_at": NOON - timedelta(seconds=number), "data": {}}
        | {"learning_type": rare.get(number % 500, "code_quality")}
        for number in range(3_000)
    ]
    async with database.transaction() as session:
        # A planner that knows nothing of a table may choose anything.
        await session.execute(insert(LearningModel), rows)
        await session.execute(text("ANALYZE"))
        connection = await session.connection()
        event.listen(connection.sync_connection, "before_cursor_execute", lambda *args: said.append(args[2:4]))
        await store.count_outcomes(session, task_type="bug_fix", newest=10)
        statement, values = said[0]
        plan = (await connection.exec_driver_sql(f"{explain} {statement}", values)).all()

    lines = "\n".join(str(line[-1]) for line in plan)
    assert lines.count("ix_learning_learning_type_created_at") == 2, lines


@pytest.mark.parametrize(
    "task",
    [
        {"task_id": "task-5"},
        {"id": str(NOBODY), "project_id": str(NOBODY)},
        {"id": 5, "task_type": None, "priority": "urgent", "title": None},
        {"task_type": "a\0b\ud83d", "priority": "\0"},
        {"task_type": "x" * 10_000, "error_message": "a\0b\ud83d", "title": "\n" * 5},
        {"actual_duration_minutes": "long", "completed_at": NOON},
    ],
)
async def test_an_observation_is_made_of_whatever_is_known_of_the_task(
    database: Database, task: dict[str, Any]
) -> None:
    async with database.transaction() as session:
        row = await record_outcome_learning(session, task=task, succeeded=False, source="tests")

    async with database.reading() as session:
        stored = await store.get_learning(session, row.id)
    assert stored is not None
    assert (stored.task_id, stored.project_id, stored.impact_score) == (None, None, 0.5)
    assert stored.confidence_score == pytest.approx(0.2065, abs=1e-4)
    assert 0 < len(stored.name) <= 200


async def test_feedback_is_processed_and_the_time_is_noted(database: Database) -> None:
    learning, task = await add(database), await add_task(database)
    made = await say(database, learning.id, feedback_content="First line\nsecond", rating=4.5, related_task_id=task.id)
    assert (made.name, made.is_processed, made.processed_at) == ("First line second", False, None)

    async def process(**fields: Any) -> LearningFeedbackModel:
        async with database.transaction() as session:
            await update_learning_feedback(session, made.id, checked(LearningFeedbackUpdate, fields))
        async with database.reading() as session:
            stored = await store.get_learning_feedback(session, made.id)
        assert stored is not None
        return stored

    processed = await process(is_processed=True, action_taken="Thanked", processing_result={"a": 1})
    again = await process(is_processed=True, rating=None)
    undone = await process(is_processed=False)

    assert processed.processed_at is not None
    assert (processed.action_taken, processed.rating, processed.related_task_id) == ("Thanked", 4.5, task.id)
    assert (again.processed_at, again.rating) == (processed.processed_at, None)
    assert (undone.is_processed, undone.processed_at) == (False, None)
    async with database.transaction() as session:
        nothing = await update_learning_feedback(session, NOBODY, checked(LearningFeedbackUpdate, {"rating": 1}))
    assert nothing is None


async def test_feedback_is_about_what_exists(database: Database) -> None:
    with pytest.raises(InvalidInputError, match="learning_id: there is no"):
        await say(database, NOBODY)
    with pytest.raises(InvalidInputError, match="related_task_id: there is no"):
        await say(database, (await add(database)).id, related_task_id=NOBODY)


async def test_pages_go_on_where_the_last_ended_though_rows_are_added(database: Database) -> None:
    made = [await add(database) for _ in range(5)]

    async def read(cursor: str | None) -> Page[LearningModel]:
        async with database.reading() as session:
            return await store.page_learning(session, limit=2, cursor=cursor, learning_type=LearningType.CODE_QUALITY)

    first = await read(None)
    await add(database)
    second = await read(first.next_cursor)
    third = await read(second.next_cursor)

    seen = [row.id for found in (first, second, third) for row in found.rows]
    assert seen == [row.id for row in reversed(made)]
    assert third.next_cursor is None


async def test_rows_are_listed_by_what_they_are_of(database: Database) -> None:
    async with database.transaction() as session:
        project = ProjectModel(id=uuid4(), name="Cashbox", slug="cashbox")
        session.add(project)
    learning = await add(database, project_id=project.id)
    await add(database, status="analyzed")
    await say(database, learning.id)
    async with database.transaction() as session:
        pattern = LearningPatternModel(
            id=uuid4(),
            name="no money",
            pattern_name="no money",
            pattern_type=PatternType.ERROR_PATTERN,
            pattern_definition={},
            first_observed_at=NOON,
            last_observed_at=NOON,
            learning_id=learning.id,
            fingerprint="f",
        )
        session.add(pattern)

    async with database.reading() as session:
        counts = [
            len((await store.page_learning(session, limit=9)).rows),
            len((await store.page_learning(session, limit=9, project_id=project.id)).rows),
            len((await store.page_learning(session, limit=9, status=LearningStatus.ANALYZED)).rows),
            len((await store.page_feedback(session, limit=9, learning_id=learning.id, is_processed=False)).rows),
            len((await store.page_feedback(session, limit=9, is_processed=True)).rows),
            len((await store.page_patterns(session, limit=9)).rows),
            len((await store.page_patterns(session, limit=9, pattern_type=PatternType.CODE_PATTERN)).rows),
        ]
        found = await store.get_learning_pattern(session, pattern.id)
        with pytest.raises(InvalidInputError, match="cursor"):
            await store.page_feedback(session, limit=9, cursor="x")

    assert counts == [2, 1, 1, 1, 0, 1, 0]
    assert found is not None
    assert found.pattern_name == "no money"


ANY_ROW: list[tuple[dict[str, Any], str]] = [
    ({"nmae": "x"}, "nmae"),
    ({"name": "x" * 501}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"description": "\udc00"}, "description"),
    ({"tags": [None]}, "tags.0"),
    ({"metadata": {"a": 2**63}}, "metadata"),
]
LEARNING: list[tuple[dict[str, Any], str]] = [
    ({"status": "done"}, "status"),
    ({"status": None}, "status"),
    ({"data": None}, "data"),
    ({"data": [1]}, "data"),
    ({"data": {"a": "\ud83d"}}, "data"),
    ({"context": {"a": float("nan")}}, "context"),
    ({"confidence_score": 1.1}, "confidence_score"),
    ({"impact_score": -0.1}, "impact_score"),
    ({"validation_score": "high"}, "validation_score"),
    ({"applied_at": "2026-01-01T00:00:00Z"}, "applied_at"),
]
NEW_LEARNING: list[tuple[dict[str, Any], str]] = [
    ({"learning_type": "poem"}, "learning_type"),
    ({"source_component": ""}, "source_component"),
    ({"source_operation": "x" * 2_001}, "source_operation"),
    ({"task_id": "fix"}, "task_id"),
    ({"project_id": 5}, "project_id"),
]
FEEDBACK: list[tuple[dict[str, Any], str]] = [
    ({"learning_id": "x"}, "learning_id"),
    ({"learning_id": None}, "learning_id"),
    ({"feedback_type": "meh"}, "feedback_type"),
    ({"feedback_content": ""}, "feedback_content"),
    ({"feedback_content": "x" * 1_000_001}, "feedback_content"),
    ({"source_type": None}, "source_type"),
    ({"rating": 5.1}, "rating"),
    ({"rating": -1}, "rating"),
    ({"is_processed": True}, "is_processed"),
]
FEEDBACK_CHANGE: list[tuple[dict[str, Any], str]] = [
    ({"is_processed": None}, "is_processed"),
    ({"is_processed": "perhaps"}, "is_processed"),
    ({"processing_result": [1]}, "processing_result"),
    ({"rating": float("inf")}, "rating"),
    ({"action_taken": "\0"}, "action_taken"),
    ({"processed_at": "2026-01-01T00:00:00Z"}, "processed_at"),
    ({"learning_id": str(NOBODY)}, "learning_id"),
]


@pytest.mark.parametrize(
    ("model", "valid", "bad", "field"),
    [
        *((LearningCreate, LEARNED, bad, field) for bad, field in ANY_ROW + LEARNING + NEW_LEARNING),
        *((LearningUpdate, {}, bad, field) for bad, field in [*ANY_ROW, *LEARNING, ({"name": None}, "name")]),
        *((LearningFeedbackCreate, SAID, bad, field) for bad, field in ANY_ROW + FEEDBACK),
        *((LearningFeedbackUpdate, {}, bad, field) for bad, field in ANY_ROW + FEEDBACK_CHANGE),
        (LearningUpdate, {}, {"learning_type": "code_quality"}, "learning_type"),
        (LearningCreate, {"learning_type": "code_quality"}, {}, "source_component"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(
    model: type[RowInput], valid: dict[str, Any], bad: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        checked(model, valid | bad)

    assert set(caught.value.fields) == {field}
