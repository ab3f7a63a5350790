"""Hand errors to the error handler: it tells them apart, tries again where that can help, and counts them."""

import asyncio
import logging

from contexten import ContextenApp

# What Contexten does in detail; leave it out to see only what goes wrong.
logging.getLogger("contexten").setLevel(logging.DEBUG)


async def main() -> None:
    app = ContextenApp(name="errors")
    await app.initialize()
    try:
        handled = await app.error_handler.handle_error(
            TimeoutError("Connection timeout talking to api.github.com"),
            {"operation": lambda: "the second try worked"},
        )
        print(handled["error_id"], handled["category"].value, handled["severity"].value)
        print(f"recovered: {handled['recovery_successful']}")

        statistics = app.error_handler.get_error_statistics()
        print(f"{statistics['total_errors']} errors so far: {statistics['error_patterns']}")
    finally:
        await app.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
