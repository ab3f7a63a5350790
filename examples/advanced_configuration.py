"""Change settings in Python, add several repositories, and try a handler with a push that did not happen.

Usage: python examples/advanced_configuration.py REPOSITORY...
"""

import asyncio
import sys
import tempfile

from contexten import ContextenApp
from contexten.config import get_settings
from contexten.handlers.types import PushEvent


async def main(*repositories: str) -> None:
    settings = get_settings()
    settings.max_concurrent_operations = 2000
    settings.response_timeout_seconds = 1.5

    with tempfile.TemporaryDirectory() as folder:
        app = ContextenApp(
            name="advanced-cicd-system", tmp_dir=f"{folder}/contexten", enable_monitoring=True, enable_learning=True
        )

        @app.github.event("push")
        async def note(event: PushEvent) -> str:
            messages = [commit.message for commit in event.commits]
            return f"{event.repository.full_name if event.repository else 'somewhere'}: {messages}"

        try:
            for repository in repositories:
                await app.add_repo(repository)
                print(f"{repository}: {app.get_codebase(repository).facts.lines} lines")
            answer = await app.simulate_event(
                "github",
                "push",
                {"repository": {"full_name": "owner/repo1"}, "commits": [{"message": "feat: new feature"}]},
            )
            print(answer)
        finally:
            await app.shutdown()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
