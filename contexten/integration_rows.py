"""The rows that the integration test makes, looks at and removes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Delete, delete, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.analytics.change import create_analytics, create_analytics_event, create_analytics_metric
from contexten_core.analytics.inputs import AnalyticsCreate, AnalyticsEventCreate, AnalyticsMetricCreate
from contexten_core.analytics.models import AnalyticsModel
from contexten_core.codebase.change import create_codebase, create_codebase_metadata, update_codebase
from contexten_core.codebase.inputs import CodebaseCreate, CodebaseMetadataCreate, CodebaseUpdate
from contexten_core.codebase.models import CodebaseModel
from contexten_core.db import BaseModel, Database
from contexten_core.events.inputs import EventLog
from contexten_core.events.log import log_event
from contexten_core.events.models import EventModel, EventStatus
from contexten_core.inputs import checked
from contexten_core.learning.change import create_learning, create_learning_feedback
from contexten_core.learning.inputs import LearningCreate, LearningFeedbackCreate
from contexten_core.learning.models import LearningModel
from contexten_core.projects.change import create_project, create_repository, update_project
from contexten_core.projects.inputs import ProjectCreate, ProjectUpdate, RepositoryCreate
from contexten_core.projects.models import ProjectModel
from contexten_core.prompts.change import (
    create_prompt,
    create_prompt_condition,
    create_prompt_template,
    delete_prompt,
)
from contexten_core.prompts.inputs import PromptConditionCreate, PromptCreate, PromptTemplateCreate
from contexten_core.prompts.models import PromptChangeModel, PromptModel
from contexten_core.tasks.change import create_task, delete_task, update_task
from contexten_core.tasks.inputs import TaskCreate, TaskUpdate
from contexten_core.tasks.models import TaskModel

_REMOVED: tuple[type[BaseModel], ...] = (
    LearningModel,
    AnalyticsModel,
    EventModel,
    CodebaseModel,
    PromptModel,
    TaskModel,
    ProjectModel,
)


class Rows:
    """Makes rows in every module, all named after one mark, by which they are found and removed again."""

    def __init__(self, database: Database, *, mark: str) -> None:
        self._database = database
        self._mark = mark
        self._event_types: list[str] = []
        self._caused: list[UUID] = []

    async def exercise_every_module(self) -> list[str]:
        """Create, read, change and remove a row in each of the seven modules.

        Returns:
            The modules.

        Raises:
            AssertionError: what was read is not what was written, or what was removed is still there.
        """
        async with self._database.transaction() as session:
            made = await self._create(session)
        async with self._database.transaction() as session:
            for row in made:
                found = await session.get(type(row), row.id)
                if found is None or found.name != row.name:
                    raise AssertionError(f"{row.__tablename__}: what was written is not what is read")
            await self._change(session, made)
        async with self._database.transaction() as session:
            for row in reversed(made):
                if isinstance(row, TaskModel):
                    await delete_task(session, row.id)
                elif isinstance(row, PromptModel):
                    await delete_prompt(session, row.id, author=self._mark)
                else:
                    await session.execute(delete(type(row)).where(type(row).id == row.id))
        async with self._database.reading() as session:
            left = [row.__tablename__ for row in made if await session.get(type(row), row.id) is not None]
        if left:
            raise AssertionError(f"still there after they were removed: {', '.join(left)}")
        return sorted({row.__module__.split(".")[1] for row in made})

    async def _create(self, session: AsyncSession) -> list[BaseModel]:
        name = self._mark
        slug = f"{name.replace(' ', '-')}-{uuid4().hex[:6]}"
        project, told = await create_project(session, checked(ProjectCreate, {"name": name, "slug": slug}))
        repository = {"project_id": project.id, "provider": "local", "full_name": f"integration-test/{slug}"}
        task, events = await create_task(
            session, checked(TaskCreate, {"name": name, "task_type": "testing", "project_id": project.id})
        )
        prompt = await create_prompt(
            session,
            checked(PromptCreate, {"name": name, "slug": slug, "prompt_type": "testing", "template": "Test it."}),
            author=name,
        )
        template = {"prompt_id": prompt.id, "template_name": "python", "content": "Test it with pytest."}
        condition = {
            "prompt_id": prompt.id,
            "condition_name": name,
            "field_name": "event.type",
            "operator": "equals",
            "expected_value": "never",
        }
        url = f"https://contexten.invalid/{slug}.git"
        codebase = await create_codebase(
            session, checked(CodebaseCreate, {"name": name, "repository_url": url, "commit_sha": uuid4().hex + "0" * 8})
        )
        element = {"codebase_id": codebase.id, "metadata_type": "function", "file_path": "a.py", "element_name": "main"}
        analytics = await create_analytics(
            session,
            checked(
                AnalyticsCreate,
                {
                    "name": name,
                    "event_type": "user_interaction",
                    "component": "integration_test",
                    "operation": "create",
                    "success": True,
                },
            ),
        )
        happened = {
            "analytics_id": analytics.id,
            "event_name": name,
            "event_category": "test",
            "event_action": "create",
        }
        measured = {"analytics_id": analytics.id, "metric_name": "rows", "metric_type": "counter", "value": 1}
        event = await log_event(
            session,
            checked(
                EventLog, {"name": name, "event_type": "integration_test", "status": "skipped", "payload": {"a": 1}}
            ),
        )
        learning = await create_learning(
            session,
            checked(
                LearningCreate,
                {
                    "name": name,
                    "learning_type": "system_improvement",
                    "data": {"test": True},
                    "source_component": "integration_test",
                },
            ),
        )
        self._settle(told, *events)
        return [
            project,
            await create_repository(session, checked(RepositoryCreate, repository)),
            task,
            prompt,
            await create_prompt_template(session, checked(PromptTemplateCreate, template), author=name),
            await create_prompt_condition(session, checked(PromptConditionCreate, condition), author=name),
            codebase,
            await create_codebase_metadata(session, checked(CodebaseMetadataCreate, element)),
            analytics,
            await create_analytics_event(session, checked(AnalyticsEventCreate, happened)),
            await create_analytics_metric(session, checked(AnalyticsMetricCreate, measured)),
            event,
            learning,
        ]

    async def _change(self, session: AsyncSession, made: Sequence[BaseModel]) -> None:
        for row in made:
            if isinstance(row, ProjectModel):
                await update_project(session, row.id, checked(ProjectUpdate, {"description": "changed"}))
            elif isinstance(row, TaskModel):
                updated = await update_task(session, row.id, checked(TaskUpdate, {"description": "changed"}))
                self._settle(*(updated[1] if updated is not None else ()))
            elif isinstance(row, CodebaseModel):
                await update_codebase(session, row.id, checked(CodebaseUpdate, {"description": "changed"}))

    def _settle(self, *events: EventModel) -> None:
        """Keep everybody from acting on rows that are gone in a moment."""
        for event in events:
            event.status = EventStatus.COMPLETED
            self._caused.append(event.id)

    async def newest_event(self, event_type: str) -> EventModel | None:
        self._event_types.append(event_type)
        async with self._database.reading() as session:
            statement = select(EventModel).where(EventModel.event_type == event_type)
            return (await session.execute(statement.order_by(EventModel.created_at.desc()).limit(1))).scalar()

    async def learning_of(self, task_id: UUID) -> Sequence[LearningModel]:
        async with self._database.reading() as session:
            statement = select(LearningModel).where(LearningModel.task_id == task_id)
            return (await session.execute(statement)).scalars().all()

    async def give_feedback(self, learning_id: UUID, task_id: UUID) -> UUID:
        given: dict[str, Any] = {
            "name": self._mark,
            "learning_id": learning_id,
            "related_task_id": task_id,
            "feedback_type": "positive",
            "feedback_content": "It was learned.",
            "source_type": "integration_test",
            "rating": 5,
        }
        async with self._database.transaction() as session:
            return (await create_learning_feedback(session, checked(LearningFeedbackCreate, given))).id

    async def project_counts(self, project_id: UUID) -> tuple[int, int, int]:
        """Return how many tasks a project counts: all, completed, failed."""
        async with self._database.reading() as session:
            project = await session.get(ProjectModel, project_id)
            if project is None:
                raise AssertionError(f"the project {project_id} is gone")
            return project.total_tasks, project.completed_tasks, project.failed_tasks

    async def remove(self) -> None:
        """Remove everything that carries the mark, also what a failed test left, and as much as the database lets us.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: something could not be removed; the rest was.
        """
        if not self._database.is_open:
            return
        failures = []
        for statement in self._removals():
            try:
                async with self._database.transaction() as session:
                    await session.execute(statement)
            except SQLAlchemyError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _removals(self) -> list[Delete]:
        tasks = select(TaskModel.id).where(TaskModel.name == self._mark)
        projects = select(ProjectModel.id).where(ProjectModel.name == self._mark)
        caused = or_(
            EventModel.task_id.in_(tasks),
            EventModel.event_type.in_(self._event_types),
            EventModel.id.in_(self._caused),
            EventModel.project_id.in_(projects),
        )
        return [
            delete(LearningModel).where(LearningModel.task_id.in_(tasks)),
            delete(AnalyticsModel).where(AnalyticsModel.name.endswith(self._mark)),
            delete(EventModel).where(caused),
            delete(PromptChangeModel).where(PromptChangeModel.author == self._mark),
            *(delete(model).where(model.name == self._mark) for model in _REMOVED),
        ]
