"""What is taken for a task, and what is refused before anything is written."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from contexten_core.errors import InvalidInputError
from contexten_core.inputs import checked
from contexten_core.tasks.inputs import DependencyCreate, TaskCreate, TaskUpdate
from contexten_core.tasks.models import TaskPriority, TaskStatus, TaskType

LEAST = {"name": "Fix the till", "task_type": "bug_fix"}
OTHER = "0b8e2f0e-1d0a-4a56-9d0c-5a4f0f3f9b11"
DEEP: dict[str, Any] = {}
for _ in range(60):
    DEEP = {"deeper": DEEP}


def test_a_name_and_a_type_are_enough() -> None:
    task = checked(TaskCreate, LEAST)

    assert task.columns() == {"name": "Fix the till", "task_type": TaskType.BUG_FIX}
    assert (task.priority, task.status) == (TaskPriority.MEDIUM, TaskStatus.PENDING)


def test_values_arrive_as_the_types_of_the_columns() -> None:
    task = checked(
        TaskCreate,
        LEAST
        | {
            "priority": "critical",
            "status": "paused",
            "project_id": OTHER,
            "due_date": "2026-02-03T10:00:00+02:00",
            "started_at": datetime(2026, 2, 3, 10),  # noqa: DTZ001 - as `datetime.utcnow()` gives it
            "metadata": {"origin": "script"},
        },
    )

    assert task.columns() == {
        "name": "Fix the till",
        "task_type": TaskType.BUG_FIX,
        "priority": TaskPriority.CRITICAL,
        "status": TaskStatus.PAUSED,
        "project_id": UUID(OTHER),
        "due_date": datetime(2026, 2, 3, 8, tzinfo=UTC),
        "started_at": datetime(2026, 2, 3, 10, tzinfo=UTC),
        "metadata_": {"origin": "script"},
    }


BAD: list[tuple[str, Any]] = [
    ("colour", "red"),
    ("id", OTHER),
    ("name", None),
    ("name", ""),
    ("name", "x" * 501),
    ("name", "a\0b"),
    ("name", 7),
    ("title", None),
    ("title", "\ud800"),
    ("task_type", None),
    ("task_type", "cooking"),
    ("priority", None),
    ("priority", "urgent"),
    ("status", None),
    ("status", "done"),
    ("description", "x" * 1_000_001),
    ("prompt", "half \udfff"),
    ("context", ["no", "object"]),
    ("context", {"key": "a\0b"}),
    ("context", {"a\0b": 1}),
    ("requirements", {"number": 2**63}),
    ("requirements", {"number": float("nan")}),
    ("constraints", DEEP),
    ("metadata", {"when": datetime(2026, 1, 1, tzinfo=UTC)}),
    ("tags", ["x" * 201]),
    ("tags", "urgent"),
    ("output_files", {"path": "a.py"}),
    ("estimated_duration_minutes", -1),
    ("estimated_duration_minutes", 10**400),
    ("estimated_duration_minutes", float("inf")),
    ("started_at", 1_700_000_000),
    ("started_at", "yesterday"),
    ("project_id", "17"),
    ("parent_task_id", 17),
]


@pytest.mark.parametrize("model", [TaskCreate, TaskUpdate])
@pytest.mark.parametrize(("field", "value"), BAD, ids=[f"{field}-{index}" for index, (field, _) in enumerate(BAD)])
def test_what_a_field_does_not_take_is_refused_and_the_field_named(
    model: type[TaskCreate | TaskUpdate], field: str, value: Any
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        checked(model, LEAST | {field: value})

    assert [name.split(".")[0] for name in refused.value.fields] == [field]
    assert refused.value.message.startswith(field)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_new_task_has_not_ended_yet(status: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        checked(TaskCreate, LEAST | {"status": status})

    assert refused.value.fields == {"status": f"a new task is pending, in_progress or paused, not {status}"}


@pytest.mark.parametrize("field", ["name", "task_type"])
def test_a_new_task_needs_a_name_and_a_type(field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        checked(TaskCreate, {key: value for key, value in LEAST.items() if key != field})

    assert refused.value.fields == {field: "Field required"}


def test_only_what_is_given_changes_and_null_empties_what_may_be_empty() -> None:
    changes = checked(
        TaskUpdate, {"status": "completed", "error_message": None, "completed_at": "2026-02-03T10:00:00Z"}
    )

    assert changes.columns() == {
        "status": TaskStatus.COMPLETED,
        "error_message": None,
        "completed_at": datetime(2026, 2, 3, 10, tzinfo=UTC),
    }


def test_times_of_any_zone_are_taken_as_the_same_moment_in_utc() -> None:
    noon = datetime(2026, 2, 3, 12, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    changes = checked(TaskUpdate, {"started_at": noon})

    assert changes.started_at == noon
    assert changes.started_at.tzinfo is UTC


def test_a_dependency_blocks_and_is_hard_unless_said_otherwise() -> None:
    data = checked(DependencyCreate, {"depends_on_task_id": OTHER})

    assert (data.dependency_type, data.is_hard_dependency) == ("blocks", True)
    assert data.given() == {"depends_on_task_id": UUID(OTHER)}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("depends_on_task_id", "no uuid"),
        ("dependency_type", "Blocks!"),
        ("dependency_type", "blocks\n"),
        ("dependency_type", "x" * 51),
        ("is_hard_dependency", "perhaps"),
        ("is_hard_dependency", None),
        ("name", None),
        ("weight", 3),
    ],
)
def test_a_dependency_that_is_wrong_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        checked(DependencyCreate, {"depends_on_task_id": OTHER} | {field: value})

    assert list(refused.value.fields) == [field]


def test_the_schema_says_which_fields_take_no_null_and_which_states_a_task_can_begin_in() -> None:
    created, changed = TaskCreate.model_json_schema(), TaskUpdate.model_json_schema()

    assert created["required"] == ["name", "task_type"]
    assert created["properties"]["status"]["enum"] == ["pending", "in_progress", "paused"]
    assert "required" not in changed
    assert changed["properties"]["title"] == {"maxLength": 500, "minLength": 1, "title": "Title", "type": "string"}
