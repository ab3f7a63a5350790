"""What happened and what was measured: recorded, read and listed; what is wrong is refused by its name."""

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from contexten_core.analytics import store
from contexten_core.analytics.change import (
    create_analytics,
    create_analytics_event,
    create_analytics_metric,
)
from contexten_core.analytics.inputs import AnalyticsCreate, AnalyticsEventCreate, AnalyticsMetricCreate
from contexten_core.analytics.models import (
    AnalyticsEventModel,
    AnalyticsEventType,
    AnalyticsMetricModel,
    AnalyticsModel,
    MetricType,
)
from contexten_core.db import Database
from contexten_core.db.paging import Page
from contexten_core.errors import ConflictError, InvalidInputError
from contexten_core.inputs import RowInput, checked
from contexten_core.projects.models import ProjectModel
from contexten_core.tasks.models import TaskModel, TaskType

NOBODY = UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HAPPENED = {"event_type": "code_reviewed", "component": "tasks", "operation": "review", "success": True}
AN_EVENT = {"analytics_id": str(NOBODY), "event_name": "open", "event_category": "page", "event_action": "click"}
A_METRIC = {"analytics_id": str(NOBODY), "metric_name": "latency", "metric_type": "timer", "value": 0.25}


async def add(database: Database, **fields: Any) -> AnalyticsModel:
    async with database.transaction() as session:
        return await create_analytics(session, checked(AnalyticsCreate, HAPPENED | fields))


async def add_event(database: Database, analytics_id: UUID, **fields: Any) -> AnalyticsEventModel:
    given = AN_EVENT | {"analytics_id": analytics_id} | fields
    async with database.transaction() as session:
        return await create_analytics_event(session, checked(AnalyticsEventCreate, given))


async def add_metric(database: Database, analytics_id: UUID, **fields: Any) -> AnalyticsMetricModel:
    given = A_METRIC | {"analytics_id": analytics_id} | fields
    async with database.transaction() as session:
        return await create_analytics_metric(session, checked(AnalyticsMetricCreate, given))


async def test_everything_is_recorded_as_it_was_given(database: Database) -> None:
    async with database.transaction() as session:
        project = ProjectModel(id=uuid4(), name="Cashbox", slug="cashbox")
        task = TaskModel(id=uuid4(), name="Fix", title="Fix", task_type=TaskType.BUG_FIX)
        session.add_all([project, task])
    made = await add(
        database,
        event_data={"a": [1, None]},
        duration_ms=12.5,
        success=False,
        error_code="E1",
        task_id=task.id,
        project_id=str(project.id),
        metadata={"b": True},
    )
    event = await add_event(database, made.id, timestamp="2026-11-22T13:00:00+01:00", properties={"x": "y"})
    metric = await add_metric(database, made.id, timestamp=NOON, labels={"host": "a"}, sample_count=3)

    async with database.reading() as session:
        stored = await store.get_analytics(session, made.id)
        stored_event = await store.get_analytics_event(session, event.id)
        stored_metric = await store.get_analytics_metric(session, metric.id)
    assert stored is not None
    assert stored_event is not None
    assert stored_metric is not None
    row = json.loads(json.dumps(stored.to_dict()))
    assert row == json.loads(json.dumps(made.to_dict()))
    assert (row["name"], row["event_data"], row["metadata"]) == ("review", {"a": [1, None]}, {"b": True})
    assert (row["task_id"], row["project_id"]) == (str(task.id), str(project.id))
    assert stored_event.to_dict() == event.to_dict()
    assert (stored_event.name, stored_event.timestamp) == ("open", NOON)
    assert stored_metric.to_dict() == metric.to_dict()
    assert (stored_metric.name, stored_metric.metric_type, stored_metric.error_count) == (
        "latency",
        MetricType.TIMER,
        0,
    )


async def test_a_session_is_always_there(database: Database) -> None:
    assert (await add(database, session_id="mine")).session_id == "mine"
    made = [(await add(database, **fields)).session_id for fields in ({}, {"session_id": None})]

    assert all(re.fullmatch("[0-9a-f]{32}", session_id) for session_id in made)
    assert len(set(made)) == 2


async def test_a_time_that_is_not_given_is_now(database: Database) -> None:
    made = await add(database)

    for row in (await add_event(database, made.id), await add_metric(database, made.id)):
        assert row.timestamp >= made.created_at
        assert row.timestamp.tzinfo is UTC


@pytest.mark.parametrize("field", ["task_id", "project_id"])
async def test_what_it_refers_to_has_to_exist(database: Database, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await add(database, **{field: NOBODY})

    assert set(caught.value.fields) == {field}


async def test_details_are_of_an_analytics_row(database: Database) -> None:
    for create in (add_event, add_metric):
        with pytest.raises(InvalidInputError, match="analytics_id: there is no"):
            await create(database, NOBODY)


async def test_one_interval_is_measured_once_by_one_source(database: Database) -> None:
    made = await add(database)
    minute: dict[str, Any] = {"collection_interval_seconds": 60, "timestamp": NOON}
    ready = asyncio.Barrier(20)

    async def measure() -> str:
        await ready.wait()
        try:
            await add_metric(database, made.id, **minute)
        except ConflictError as error:
            return error.message
        return "made"

    answers = sorted(await asyncio.gather(*(measure() for _ in range(20))), key=len)

    assert answers[0] == "made"
    assert len(set(answers[1:])) == 1
    assert "timestamp, metric_name, operation, source: 'latency' was measured already" in answers[1]
    await add_metric(database, made.id, **minute, source="another")
    await add_metric(database, made.id, timestamp=NOON)
    await add_metric(database, made.id, timestamp=NOON)
    async with database.reading() as session:
        everything = await store.page_metrics(session, limit=10, analytics_id=made.id)
        minutes = await store.page_metrics(session, limit=10, collection_interval_seconds=60, metric_name="latency")
        nothing = await store.page_metrics(session, limit=10, metric_name="another")
    assert [len(found.rows) for found in (everything, minutes, nothing)] == [4, 2, 0]


async def test_pages_go_on_where_the_last_ended_though_rows_are_added(database: Database) -> None:
    made = [await add(database, session_id="mine") for _ in range(5)]

    async def read(cursor: str | None) -> Page[AnalyticsModel]:
        async with database.reading() as session:
            return await store.page_analytics(session, limit=2, cursor=cursor, session_id="mine")

    first = await read(None)
    await add(database, session_id="mine")
    second = await read(first.next_cursor)
    third = await read(second.next_cursor)

    seen = [row.id for found in (first, second, third) for row in found.rows]
    assert seen == [row.id for row in reversed(made)]
    assert third.next_cursor is None


async def test_rows_are_listed_by_what_they_are_of(database: Database) -> None:
    async with database.transaction() as session:
        project = ProjectModel(id=uuid4(), name="Cashbox", slug="cashbox")
        task = TaskModel(id=uuid4(), name="Fix", title="Fix", task_type=TaskType.BUG_FIX)
        session.add_all([project, task])
    await add(database, task_id=task.id)
    await add(database, project_id=project.id)
    failed = await add(database, event_type="task_failed")
    await add_event(database, failed.id)

    async with database.reading() as session:
        found = [
            await store.page_analytics(session, limit=9),
            await store.page_analytics(session, limit=9, task_id=task.id),
            await store.page_analytics(session, limit=9, project_id=project.id),
            await store.page_analytics(session, limit=9, event_type=AnalyticsEventType.TASK_FAILED),
        ]
        events = await store.page_analytics_events(session, limit=9, analytics_id=failed.id)
        none = await store.page_analytics_events(session, limit=9, analytics_id=NOBODY)
        with pytest.raises(InvalidInputError, match="cursor"):
            await store.page_analytics_events(session, limit=9, cursor="x")

    assert [len(page.rows) for page in found] == [3, 1, 1, 1]
    assert (len(events.rows), len(none.rows)) == (1, 0)


ANY_ROW: list[tuple[dict[str, Any], str]] = [
    ({"nmae": "x"}, "nmae"),
    ({"name": "x" * 501}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"description": "\udc00"}, "description"),
    ({"tags": {"a": 1}}, "tags"),
    ({"metadata": {"a": -(2**63) - 1}}, "metadata"),
]
ANALYTICS: list[tuple[dict[str, Any], str]] = [
    ({"event_type": "poem"}, "event_type"),
    ({"component": None}, "component"),
    ({"operation": "\ud83d"}, "operation"),
    ({"success": None}, "success"),
    ({"session_id": ""}, "session_id"),
    ({"event_data": [1]}, "event_data"),
    ({"event_data": None}, "event_data"),
    ({"context": {"a": float("inf")}}, "context"),
    ({"duration_ms": -1}, "duration_ms"),
    ({"duration_ms": float("nan")}, "duration_ms"),
    ({"cpu_usage_percent": 10**400}, "cpu_usage_percent"),
    ({"error_message": "x" * 1_000_001}, "error_message"),
    ({"user_id": "x" * 2_001}, "user_id"),
    ({"task_id": "fix"}, "task_id"),
    ({"project_id": 5}, "project_id"),
]
EVENT: list[tuple[dict[str, Any], str]] = [
    ({"analytics_id": "x"}, "analytics_id"),
    ({"event_name": ""}, "event_name"),
    ({"properties": None}, "properties"),
    ({"timestamp": 1_700_000_000}, "timestamp"),
    ({"timestamp": "yesterday"}, "timestamp"),
    ({"page_url": "x" * 2_001}, "page_url"),
]
METRIC: list[tuple[dict[str, Any], str]] = [
    ({"metric_type": "guess"}, "metric_type"),
    ({"value": float("inf")}, "value"),
    ({"value": None}, "value"),
    ({"percentile_95": "high"}, "percentile_95"),
    ({"sample_count": 2**31}, "sample_count"),
    ({"sample_count": -1}, "sample_count"),
    ({"collection_interval_seconds": 0}, "collection_interval_seconds"),
    ({"collection_interval_seconds": 2**70}, "collection_interval_seconds"),
    ({"source": None}, "source"),
    ({"error_count": 1}, "error_count"),
    ({"sketch": {}}, "sketch"),
]


@pytest.mark.parametrize(
    ("model", "valid", "bad", "field"),
    [
        *((AnalyticsCreate, HAPPENED, bad, field) for bad, field in ANY_ROW + ANALYTICS),
        *((AnalyticsEventCreate, AN_EVENT, bad, field) for bad, field in ANY_ROW + EVENT),
        *((AnalyticsMetricCreate, A_METRIC, bad, field) for bad, field in ANY_ROW + METRIC),
        (AnalyticsCreate, {key: HAPPENED[key] for key in HAPPENED if key != "success"}, {}, "success"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(
    model: type[RowInput], valid: dict[str, Any], bad: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        checked(model, valid | bad)

    assert set(caught.value.fields) == {field}
