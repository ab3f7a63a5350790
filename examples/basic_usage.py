"""Build an application, initialize it, and serve it until Ctrl-C.

Usage: python examples/basic_usage.py [REPOSITORY [PORT]]
REPOSITORY is owner/name at GitHub, or a folder of this machine; without one, no code is looked at.
"""

import asyncio
import sys

from contexten import ContextenApp


async def main(repository: str | None = None, port: int = 8000) -> None:
    app = ContextenApp(name="my-cicd-system", repo=repository, enable_monitoring=True, enable_learning=True)
    await app.initialize()
    if repository is not None:
        codebase = app.get_codebase()
        print(f"{codebase.name} at {codebase.commit[:10]}: {codebase.facts.files} files, {codebase.primary_language}")

    # At the end of a coroutine `run` serves from a thread of its own; elsewhere in one it is `await app.serve(...)`.
    app.run(host="127.0.0.1", port=port)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if sys.argv[1:] else None, int(sys.argv[2]) if sys.argv[2:] else 8000))
