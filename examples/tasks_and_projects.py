"""Create a project and a task, start the task, and finish it."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

from contexten import ContextenApp


async def main() -> None:
    app = ContextenApp(name="tasks-and-projects")
    await app.initialize()
    try:
        project = await app.orchestrator.create_project(
            {"name": "My Project", "description": "What it is about", "slug": f"my-project-{uuid4().hex[:8]}"}
        )
        task = await app.orchestrator.create_task(
            {
                "name": "Implement Feature X",
                "description": "Implement the new feature X",
                "title": "Feature X Implementation",
                "task_type": "feature_implementation",
                "priority": "high",
                "project_id": str(project.id),
            }
        )
        await app.orchestrator.update_task(str(task.id), {"status": "in_progress", "started_at": datetime.now(UTC)})
        done = await app.orchestrator.update_task(str(task.id), {"status": "completed", "result": {"merged": True}})
        print(done.to_dict() if done else "the task is gone")
    finally:
        await app.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
