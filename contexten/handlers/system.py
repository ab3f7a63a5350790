"""What the application itself does about the system's own events: analytics and learning."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.analytics.change import create_analytics
from contexten_core.analytics.inputs import AnalyticsCreate
from contexten_core.analytics.models import AnalyticsEventType
from contexten_core.db.joined import JoinedDatabase
from contexten_core.db.kept import kept
from contexten_core.events.emit import PERFORMANCE_ALERT, PROJECT_CREATED, TASK_COMPLETED, TASK_CREATED, TASK_FAILED
from contexten_core.inputs import checked
from contexten_core.learning.change import create_learning, record_outcome_learning
from contexten_core.learning.inputs import LearningCreate
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.projects import store as project_store
from contexten_core.tasks import store as task_store

SOURCE = "contexten_app"


class SystemHandlers:
    """Handlers of the five events that every application listens to."""

    def __init__(self, orchestrator: SystemOrchestrator, *, learning: bool, analytics: bool) -> None:
        self._orchestrator = orchestrator
        self._learning = learning
        self._analytics = analytics
        self._session_id = uuid4().hex
        self._joined = JoinedDatabase(orchestrator.database)

    def register(self) -> None:
        for event_type, handler in (
            (TASK_CREATED, self.task_created),
            (TASK_COMPLETED, self.task_completed),
            (TASK_FAILED, self.task_failed),
            (PROJECT_CREATED, self.project_created),
            (PERFORMANCE_ALERT, self.performance_alert),
        ):
            self._orchestrator.register_event_handler(event_type, handler)

    async def task_created(self, data: Mapping[str, Any]) -> None:
        await self._note(AnalyticsEventType.USER_INTERACTION, TASK_CREATED, _task(data))

    async def task_completed(self, data: Mapping[str, Any]) -> None:
        await self._outcome(data, succeeded=True)

    async def task_failed(self, data: Mapping[str, Any]) -> None:
        await self._outcome(data, succeeded=False)

    async def project_created(self, data: Mapping[str, Any]) -> None:
        project = {"project_id": data.get("project_id"), "name": data.get("project_data", {}).get("name")}
        await self._note(AnalyticsEventType.USER_INTERACTION, PROJECT_CREATED, project)

    async def performance_alert(self, data: Mapping[str, Any]) -> None:
        """Keep what was measured as something to learn from."""
        if not self._learning:
            return
        async with self._orchestrator.database.transaction() as session:
            await create_learning(
                session,
                checked(
                    LearningCreate,
                    {
                        "name": f"performance alert: {data.get('kind', 'unknown')}"[:200],
                        "learning_type": "performance_optimization",
                        "data": dict(data),
                        "source_component": SOURCE,
                        "source_operation": PERFORMANCE_ALERT,
                    },
                ),
            )

    async def learn(self, task_data: Mapping[str, Any], *, succeeded: bool) -> None:
        """Store one observation of how a task ended, with a confidence computed from those before it."""
        async with self._orchestrator.database.transaction() as session:
            await record_outcome_learning(session, task=task_data, succeeded=succeeded, source=SOURCE)

    async def _outcome(self, data: Mapping[str, Any], *, succeeded: bool) -> None:
        if "run_id" in data:
            # A run of the lifecycle: its sixth and seventh steps have noted this one.
            return
        task = _task(data)
        kind = AnalyticsEventType.TASK_COMPLETED if succeeded else AnalyticsEventType.TASK_FAILED
        await self._note(kind, kind.value, task, succeeded=succeeded)
        if self._learning:
            await self.learn(task, succeeded=succeeded)

    async def _note(
        self, kind: AnalyticsEventType, operation: str, data: Mapping[str, Any], *, succeeded: bool = True
    ) -> None:
        if not self._analytics:
            return
        minutes = data.get("actual_duration_minutes")

        async def note(session: AsyncSession) -> None:
            values = {
                "name": f"{operation} {data.get('name') or ''}".strip()[:200],
                "session_id": self._session_id,
                "event_type": kind,
                "component": SOURCE,
                "operation": operation,
                "event_data": {key: data.get(key) for key in ("id", "task_type", "priority", "status", "name")},
                "duration_ms": None if minutes is None else float(minutes) * 60_000,
                "success": succeeded,
                "error_message": None if succeeded else data.get("error_message"),
                "environment": self._orchestrator.settings.environment.value,
                "task_id": await kept(session, task_store.keep, data.get("id")),
                "project_id": await kept(session, project_store.hold_project, data.get("project_id")),
            }
            await create_analytics(session, checked(AnalyticsCreate, values))

        await self._joined.transact(note)


def _task(data: Mapping[str, Any]) -> dict[str, Any]:
    return dict(data.get("task_data") or {}) | {"id": data.get("task_id")}
