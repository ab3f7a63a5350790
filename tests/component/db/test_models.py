"""The 21 models of api.md section 6: their fields, to_dict(), defaults, constraints, and indexes."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Table, UniqueConstraint, delete, inspect, make_url, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from contexten_core.analytics import models as analytics
from contexten_core.codebase import models as codebase
from contexten_core.db import (
    Base,
    BaseModel,
    Database,
    EnumText,
    JSONValue,
    MetadataMixin,
    TimestampMixin,
    UUIDMixin,
    utc_now,
)
from contexten_core.db.models import metadata
from contexten_core.events import models as events
from contexten_core.learning import models as learning
from contexten_core.projects import models as projects
from contexten_core.prompts import models as prompts
from contexten_core.settings import DatabaseConfig
from contexten_core.tasks import models as tasks
from tests.component.db.filled import ROWS, TEXT, bare_row, fill, full_row, row_id

ENUMS = """
TaskStatus: pending, in_progress, completed, failed, cancelled, paused
TaskPriority: low, medium, high, critical
TaskType: code_generation, code_review, bug_fix, feature_implementation, testing, documentation, refactoring, deployment, analysis, integration
ProjectStatus: active, inactive, archived, maintenance
RepositoryProvider: github, gitlab, bitbucket, azure_devops, local
PromptType: code_generation, code_review, bug_fix, documentation, testing, refactoring, analysis, system_prompt, user_prompt
PromptStatus: active, inactive, deprecated, testing
ConditionOperator: equals, not_equals, contains, not_contains, greater_than, less_than, in, not_in, regex_match
CodebaseStatus: pending, analyzing, completed, failed, outdated
AnalysisType: full_scan, incremental, targeted, dependency_analysis, security_scan, performance_analysis
AnalyticsEventType: task_started, task_completed, task_failed, code_generated, code_reviewed, error_occurred, performance_measured, user_interaction, system_optimization, learning_update
MetricType: counter, gauge, histogram, timer, rate
EventProvider: github, linear, slack, deployment, system, user
EventStatus: pending, processing, completed, failed, skipped, retrying
EventPriority: low, medium, high, critical
LearningType: pattern_recognition, performance_optimization, error_analysis, success_analysis, user_behavior, code_quality, system_improvement
PatternType: code_pattern, error_pattern, performance_pattern, user_pattern, workflow_pattern, integration_pattern
FeedbackType: positive, negative, neutral, suggestion, bug_report, feature_request
LearningStatus: pending, processing, analyzed, applied, rejected
"""  # noqa: E501 - as in api.md

# What follows a bar is ours: what the lifecycle needs beyond the contract.
MODELS = """
TaskModel tasks: external_id?, title, task_type, priority, status, prompt?, context?, requirements?, constraints?, assigned_agent?, estimated_duration_minutes?, actual_duration_minutes?, started_at?, completed_at?, due_date?, result?, output_files?, error_message?, project_id?, parent_task_id?
TaskExecutionModel task_executions: execution_number, status, agent_version?, execution_environment?, input_parameters?, started_at, completed_at?, duration_seconds?, output?, error_details?, logs?, cpu_usage_percent?, memory_usage_mb?, api_calls_count?, task_id
TaskDependencyModel task_dependencies: task_id, depends_on_task_id, dependency_type, is_hard_dependency
ProjectModel projects: slug, full_name?, status, default_branch, programming_languages?, frameworks?, auto_deploy_enabled, continuous_learning_enabled, analytics_enabled, owner_id?, team_members?, total_tasks, completed_tasks, failed_tasks, last_activity_at?
RepositoryModel repositories: provider, owner, repo_name, full_name, clone_url?, ssh_url?, default_branch, is_private, is_fork, is_archived, language?, topics?, license?, stars_count, forks_count, open_issues_count, last_synced_at?, last_commit_sha?, last_commit_at?, project_id
ProjectConfigModel project_configs: config_type, config_key, config_value, is_active, is_encrypted, environment?, version, previous_value?, project_id
PromptModel prompts: slug, prompt_type, status, template, system_prompt?, variables?, default_values?, usage_count, success_rate?, average_response_time?, version, parent_prompt_id?, category?, subcategory? | task_type, task_priority, priority, executor, executor_config, limits?, outputs?, digest?, revision
PromptTemplateModel prompt_templates: template_name, content, language?, context_type?, is_default, priority, usage_count, success_rate?, prompt_id
PromptConditionModel prompt_conditions: condition_name, field_name, operator, expected_value, is_active, priority, logical_operator, group_id?, prompt_id
CodebaseModel codebases: repository_url, commit_sha, branch, status, analysis_config?, included_paths?, excluded_paths?, total_files, total_lines, total_functions, total_classes, languages?, primary_language?, analysis_started_at?, analysis_completed_at?, analysis_duration_seconds?, project_id?
CodebaseAnalysisModel codebase_analyses: analysis_type, analyzer_name, analyzer_version, results, summary?, files_analyzed, issues_found, warnings_count, errors_count, complexity_score?, maintainability_score?, test_coverage?, analysis_duration_seconds, memory_usage_mb?, status, started_at, completed_at?, error_message?, error_details?, codebase_id
CodebaseMetadataModel codebase_metadata: metadata_type, file_path, element_name, element_type?, signature?, start_line?, end_line?, start_column?, end_column?, content, dependencies?, dependents?, complexity?, lines_of_code?, codebase_id
AnalyticsModel analytics: session_id, event_type, component, operation, event_data, context?, duration_ms?, memory_usage_mb?, cpu_usage_percent?, success, error_code?, error_message?, user_id?, environment?, version?, task_id?, project_id?
AnalyticsEventModel analytics_events: event_name, event_category, event_action, properties, timestamp, duration_ms?, page_url?, referrer?, user_agent?, custom_dimensions?, analytics_id
AnalyticsMetricModel analytics_metrics: metric_name, metric_type, value, unit?, labels?, dimensions?, sample_count?, min_value?, max_value?, avg_value?, percentile_95?, percentile_99?, timestamp, collection_interval_seconds?, analytics_id | operation, source, error_count, sketch?
EventModel events: external_id?, event_type, provider, title, status, priority, payload, headers?, processed_at?, processing_duration_ms?, retry_count, max_retries, error_message?, error_details?, source_url?, source_user?, source_repository?, project_id?, task_id? | digest, subject?, reason?, available_at, parked_at?, lease_owner?, lease_epoch, lease_expires_at?, claims, lane?, supersedes, happened_at?, rank_at?, causes?, superseded_by?
EventPayloadModel event_payloads: payload_type, content_type, raw_payload, parsed_payload?, size_bytes, checksum?, is_processed, processing_notes?, event_id
EventHandlerModel event_handlers: handler_name, handler_type, handler_version?, status, started_at, completed_at?, duration_ms?, configuration?, input_data?, output_data?, error_message?, error_stack_trace?, retry_count, memory_usage_mb?, cpu_usage_percent?, event_id | run_id?, available_at?, lease_owner?, lease_expires_at?
LearningModel learning: learning_type, status, data, context?, confidence_score?, impact_score?, validation_score?, source_component, source_operation?, source_data?, applied_at?, application_result?, task_id?, project_id?
LearningPatternModel learning_patterns: pattern_type, pattern_name, pattern_definition, pattern_rules?, occurrence_count, success_rate?, average_performance?, contexts?, conditions?, is_validated, validation_data?, first_observed_at, last_observed_at, learning_id | fingerprint
LearningFeedbackModel learning_feedback: feedback_type, feedback_content, source_type, source_id?, context_data?, related_task_id?, is_processed, processing_result?, processed_at?, rating?, impact_assessment?, action_taken?, action_result?, learning_id
"""  # noqa: E501 - as in api.md

EVERY_ROW = "id, name, description?, created_at, updated_at, metadata?, tags?"

# Columns of a closed set, by the name of the set.
SETS = """
tasks.status TaskStatus, tasks.priority TaskPriority, tasks.task_type TaskType, task_executions.status TaskStatus,
projects.status ProjectStatus, repositories.provider RepositoryProvider,
prompts.prompt_type PromptType, prompts.status PromptStatus, prompt_conditions.operator ConditionOperator,
codebases.status CodebaseStatus, codebase_analyses.analysis_type AnalysisType, codebase_analyses.status CodebaseStatus,
analytics.event_type AnalyticsEventType, analytics_metrics.metric_type MetricType,
events.provider EventProvider, events.status EventStatus, events.priority EventPriority,
learning.learning_type LearningType, learning.status LearningStatus, learning_patterns.pattern_type PatternType,
learning_feedback.feedback_type FeedbackType
"""

UNIQUE = """
projects: slug
prompts: slug
repositories: provider full_name
project_configs: project_id config_type config_key environment
codebases: repository_url commit_sha
events: provider digest
task_executions: task_id execution_number
task_dependencies: task_id depends_on_task_id
"""

MODULES = (analytics, codebase, events, learning, projects, prompts, tasks)


def _named(name: str) -> Any:
    (found,) = {getattr(module, name) for module in MODULES if hasattr(module, name)}
    return found


def _fields(text: str) -> dict[str, bool]:
    """Return for each field whether it may be NULL."""
    names = [part.strip() for part in re.split("[,|]", text)]
    return {name.removesuffix("?"): name.endswith("?") for name in names}


SPECIFIED = [re.match(r"(\w+) (\w+): (.*)", line).groups() for line in MODELS.strip().splitlines()]  # type: ignore[union-attr]
EVERY_MODEL: list[type[BaseModel]] = [_named(name) for name, _, _ in SPECIFIED]
each_model = pytest.mark.parametrize("model", EVERY_MODEL, ids=lambda model: str(model.__name__))


def test_there_are_21_models() -> None:
    assert len(SPECIFIED) == 21


@pytest.mark.parametrize(("name", "table", "fields"), SPECIFIED, ids=[name for name, _, _ in SPECIFIED])
def test_a_model_has_its_table_and_exactly_its_fields(name: str, table: str, fields: str) -> None:
    model = _named(name)

    assert model.__tablename__ == table
    assert {column.name: column.nullable for column in model.__table__.columns} == _fields(f"{EVERY_ROW}, {fields}")


@pytest.mark.parametrize("line", ENUMS.strip().splitlines(), ids=lambda line: str(line.partition(":")[0]))
def test_an_enum_has_exactly_its_values(line: str) -> None:
    name, _, values = line.partition(": ")
    enum = _named(name)

    assert issubclass(enum, StrEnum)
    assert [member.value for member in enum] == values.split(", ")
    assert [member.name for member in enum] == [value.upper() for value in values.split(", ")]


@pytest.mark.parametrize("line", re.split(r",\s+", SETS.strip()))
def test_a_column_of_a_closed_set_takes_its_members_only(line: str) -> None:
    place, _, enum = line.partition(" ")
    table, _, column = place.partition(".")
    kind = metadata.tables[table].columns[column].type

    assert isinstance(kind, EnumText)
    assert kind.enum is _named(enum)


@each_model
def test_a_model_is_built_from_the_base_classes(model: type[BaseModel]) -> None:
    assert issubclass(model, BaseModel)
    for base in (Base, UUIDMixin, TimestampMixin, MetadataMixin):
        assert issubclass(BaseModel, base)
    assert model.metadata_.property.columns[0].name == "metadata"
    assert model.__table__.columns["id"].type.python_type is UUID


@pytest.mark.parametrize(
    "mapper",
    sorted(Base.registry.mappers, key=str),
    ids=str,
)
def test_nothing_is_loaded_behind_anybodys_back(mapper: Any) -> None:
    assert list(mapper.relationships) == []
    assert all(not attribute.deferred for attribute in mapper.column_attrs)


@pytest.fixture
async def full(database_config: DatabaseConfig, database: Database) -> Database:
    fill(database_config)
    return database


def _same(said: Any, value: Any) -> bool:
    """Whether JSON says a value of a row."""
    if isinstance(value, StrEnum):
        return type(said) is str and said == value.value
    if isinstance(value, datetime):
        return datetime.fromisoformat(said) == value and said.endswith("+00:00")
    if isinstance(value, UUID):
        return UUID(said) == value
    return isinstance(value, bytes) or said == value


async def test_acceptance_5_to_dict_is_json_and_says_what_is_in_the_row(full: Database) -> None:
    async with full.reading() as session:
        for model in EVERY_MODEL:
            rows = (await session.execute(select(model))).scalars().all()
            for row in rows:
                said = row.to_dict()
                assert json.loads(json.dumps(said, allow_nan=False)) == said, model
                assert list(said) == [column.name for column in model.__table__.columns]
                for attribute in model.__mapper__.column_attrs:
                    name = attribute.columns[0].name
                    assert _same(said[name], getattr(row, attribute.key)), f"{model.__name__}.{name}"
            written = [row.to_dict()["metadata"] for row in rows if row.metadata_ is not None]
            assert [value["text"] for value in written] == [TEXT] * ROWS


async def test_acceptance_30_times_are_aware_utc(full: Database) -> None:
    async with full.reading() as session:
        for model in EVERY_MODEL:
            for row in (await session.execute(select(model))).scalars():
                values = [getattr(row, attribute.key) for attribute in model.__mapper__.column_attrs]
                times = [value for value in values if isinstance(value, datetime)]
                assert len(times) >= 2
                assert {value.tzinfo for value in times} == {UTC}, model


async def test_acceptance_30_a_time_of_another_zone_is_the_same_moment(database: Database) -> None:
    moment = datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    async with database.transaction() as session:
        session.add(projects.ProjectModel(name="cashbox", slug="cashbox", last_activity_at=moment))
    async with database.reading() as session:
        row = (await session.execute(select(projects.ProjectModel))).scalar_one()

    assert row.to_dict()["last_activity_at"] == "2026-03-28T20:45:00+00:00"


async def test_acceptance_30_a_time_without_a_zone_is_refused(database: Database) -> None:
    naive = datetime(2026, 3, 29, 2, 30)  # noqa: DTZ001 - that is the point
    with pytest.raises(SQLAlchemyError, match="has no time zone"):
        async with database.transaction() as session:
            session.add(projects.ProjectModel(name="cashbox", slug="cashbox", last_activity_at=naive))


async def test_what_is_not_given_has_its_default(database: Database) -> None:
    before = utc_now()
    async with database.transaction() as session:
        project = projects.ProjectModel(name="cashbox", slug="cashbox")
        task = tasks.TaskModel(name="fix", title="Fix", task_type=tasks.TaskType.BUG_FIX)
        event = events.EventModel(
            name="push",
            event_type="push",
            provider=events.EventProvider.GITHUB,
            title="A push",
            payload={},
            digest="0",
            available_at=before,
        )
        session.add_all([project, task, event])
    said = project.to_dict()

    assert {name: said[name] for name in ("status", "default_branch", "total_tasks", "completed_tasks")} == {
        "status": "active",
        "default_branch": "main",
        "total_tasks": 0,
        "completed_tasks": 0,
    }
    assert (said["auto_deploy_enabled"], said["continuous_learning_enabled"], said["analytics_enabled"]) == (
        False,
        True,
        True,
    )
    assert (task.status, task.priority) == (tasks.TaskStatus.PENDING, tasks.TaskPriority.MEDIUM)
    assert (event.status, event.priority, event.retry_count, event.max_retries) == (
        events.EventStatus.PENDING,
        events.EventPriority.MEDIUM,
        0,
        3,
    )
    for row in (project, task, event):
        assert isinstance(row.id, UUID)
        assert before <= row.created_at <= row.updated_at <= utc_now()
        assert (row.description, row.metadata_, row.tags) == (None, None, None)


async def test_a_change_moves_updated_at_only(full: Database) -> None:
    async with full.transaction() as session:
        project = await session.get_one(projects.ProjectModel, row_id("projects", 0))
        created, updated = project.created_at, project.updated_at
        project.total_tasks = 1
        await session.flush()
        await session.refresh(project)

    assert project.created_at == created
    assert project.updated_at > updated


@pytest.mark.parametrize("line", UNIQUE.strip().splitlines())
async def test_what_has_to_be_unique_is(line: str, full: Database) -> None:
    name, _, columns = line.partition(": ")
    table = metadata.tables[name]
    unique = {frozenset(found.columns.keys()) for found in table.constraints if isinstance(found, UniqueConstraint)}
    assert frozenset(columns.split()) in unique

    same = full_row(table, 0)
    other = full_row(table, ROWS + 1) | {column: same[column] for column in columns.split()}
    with pytest.raises(IntegrityError):
        async with full.transaction() as session:
            await session.execute(table.insert().values(**other))


async def test_a_task_cannot_depend_on_itself(full: Database) -> None:
    table = metadata.tables["task_dependencies"]
    task = row_id("tasks", 0)
    row = full_row(table, ROWS + 1) | {"task_id": task, "depends_on_task_id": task}
    with pytest.raises(IntegrityError):
        async with full.transaction() as session:
            await session.execute(table.insert().values(**row))


async def test_a_column_that_may_not_be_null_is_not(full: Database) -> None:
    """JSON has a null of its own, which such a column may hold; that is for the module's rules to say."""
    for table in metadata.sorted_tables:
        row = bare_row(table, ROWS + 7)
        for column in table.columns:
            if column.nullable or isinstance(column.type, JSONValue):
                continue
            with pytest.raises(IntegrityError):
                async with full.transaction() as session:
                    await session.execute(table.insert().values(**(row | {column.name: None})))


def test_a_row_goes_with_what_it_belongs_to_and_outlives_what_it_mentions() -> None:
    for table in metadata.sorted_tables:
        for key in table.foreign_keys:
            wanted = "SET NULL" if key.parent.nullable and not _belongs(key.parent.name, table.name) else "CASCADE"
            assert key.ondelete == wanted, f"{table.name}.{key.parent.name}"


def _belongs(column: str, table: str) -> bool:
    """Whether a reference that may be NULL still is to what the row is a part of: the step or report of a run."""
    return column == "run_id" and table in {"event_handlers", "outbox"}


async def test_a_project_that_is_deleted_takes_its_repositories_and_leaves_its_tasks(full: Database) -> None:
    gone = row_id("projects", 0)
    async with full.transaction() as session:
        await session.execute(delete(projects.ProjectModel).where(projects.ProjectModel.id == gone))
    async with full.reading() as session:
        repositories = (await session.execute(select(projects.RepositoryModel.project_id))).scalars().all()
        parents = (await session.execute(select(tasks.TaskModel.project_id))).scalars().all()

    assert (len(repositories), len(parents)) == (ROWS, ROWS + 1)
    assert gone not in {*repositories, *parents}


async def test_a_task_that_is_deleted_takes_its_executions_and_leaves_its_subtasks(full: Database) -> None:
    async with full.transaction() as session:
        await session.execute(delete(tasks.TaskModel).where(tasks.TaskModel.id == row_id("tasks", 0)))
    async with full.reading() as session:
        left = {
            model: (await session.execute(select(model))).scalars().all()
            for model in (tasks.TaskModel, tasks.TaskExecutionModel, tasks.TaskDependencyModel, events.EventModel)
        }

    assert len(left[tasks.TaskModel]) == ROWS
    assert len(left[tasks.TaskExecutionModel]) < ROWS + 1
    assert len(left[tasks.TaskDependencyModel]) < ROWS + 1
    assert len(left[events.EventModel]) == ROWS + 1


async def test_a_reference_has_to_lead_somewhere(database: Database) -> None:
    table = metadata.tables["repositories"]
    with pytest.raises(IntegrityError):
        async with database.transaction() as session:
            await session.execute(table.insert().values(**full_row(table, 0)))


def _indexed(table: Table) -> list[list[str]]:
    """Return the columns of every index of a table, those of its constraints as well."""
    unique = [found for found in table.constraints if isinstance(found, UniqueConstraint)]
    indexed = [*(index.columns for index in table.indexes), *(constraint.columns for constraint in unique)]
    return [[column.name for column in columns] for columns in [*indexed, table.primary_key.columns]]


def test_every_reference_has_an_index_that_begins_with_it() -> None:
    missing = {
        f"{table.name}.{key.parent.name}"
        for table in metadata.sorted_tables
        for key in table.foreign_keys
        if key.parent.name not in {columns[0] for columns in _indexed(table)}
    }

    assert missing == set()


# Parts of something else, which are listed by it; each of those has few.
LISTED_BY_OWNER = {
    "codebase_analyses",
    "codebase_metadata",
    "error_counts",
    "event_handlers",
    "event_payloads",
    "file_facts",
    "outbox",
    "project_configs",
    "prompt_catalogue",
    "prompt_conditions",
    "prompt_labels",
    "prompt_templates",
    "prompt_usage",
    "task_dependencies",
    "task_executions",
    "task_log_chunks",
}


def test_every_list_has_an_index_by_time() -> None:
    without = {table.name for table in metadata.sorted_tables if ["created_at"] not in _indexed(table)}

    assert without <= LISTED_BY_OWNER


async def test_the_tables_of_both_databases_have_the_same_indexes(database: Database) -> None:
    async with database.engine.connect() as connection:
        found = await connection.run_sync(
            lambda sync: {
                name: {tuple(index["column_names"]) for index in inspect(sync).get_indexes(name)}
                | {tuple(unique["column_names"]) for unique in inspect(sync).get_unique_constraints(name)}
                for name in metadata.tables
            }
        )

    for name, columns in found.items():
        expected = {tuple(index) for index in _indexed(metadata.tables[name])} - {("id",)}
        assert columns == expected, name


NASTY = ["p@ss:w/o%r?d#", "%40", "a b+c&d=e", "ünï♥", "'\"\\;--", "@", ":", "/", "%", "[::1]", "x" * 200]


@pytest.mark.parametrize("password", NASTY)
def test_acceptance_24_a_password_with_any_characters_works(password: str) -> None:
    config = DatabaseConfig(
        use_sqlite=False, url=None, host="db.acme.example", user="c@i:x", password=password, name="a/b"
    )
    for address in (config.address, make_url(config.database_url), make_url(config.sync_database_url)):
        assert (address.username, address.password, address.host, address.database) == (
            "c@i:x",
            password,
            "db.acme.example",
            "a/b",
        )
    assert make_url(config.database_url).drivername == "postgresql+psycopg"
