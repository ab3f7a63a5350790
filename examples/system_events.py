"""Register functions for events of your own and for those of the system, and cause both."""

import asyncio
from typing import Any

from contexten import ContextenApp


async def custom_handler(data: dict[str, Any]) -> None:
    print(f"Custom event received: {data}")


def on_task_completed(data: dict[str, Any]) -> None:
    print(f"Task completed: {data['task_data']['title']}")


async def main() -> None:
    app = ContextenApp(name="system-events")
    app.orchestrator.register_event_handler("custom_event", custom_handler)
    app.orchestrator.register_event_handler("task_completed", on_task_completed)
    await app.initialize()
    try:
        await app.orchestrator.emit_event("custom_event", {"message": "Hello World"})

        task = await app.orchestrator.create_task({"name": "Say hello", "task_type": "documentation"})
        for status in ("in_progress", "completed"):
            await app.orchestrator.update_task(str(task.id), {"status": status})
    finally:
        await app.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
