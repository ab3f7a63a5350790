"""Register functions for what GitHub, Linear and Slack send, and try them without any of the three.

Served (`app.run()`), the same functions are called for the deliveries that arrive at /github/events, /linear/events
and /slack/events, after each has been verified and stored.
"""

import asyncio
from typing import Any

from contexten import ContextenApp
from contexten.handlers.types import LinearEvent, PullRequestLabeledEvent, SlackEvent

app = ContextenApp(name="provider-handlers")


@app.github.event("pull_request:labeled")
def labeled(event: PullRequestLabeledEvent) -> dict[str, Any]:
    return {"labeled": event.label.name, "pull_request": event.pull_request.number}


@app.slack.event("app_mention")
async def mentioned(event: SlackEvent) -> dict[str, Any]:
    return {"channel": event.channel, "text": event.text}


@app.linear.event("Issue")
def issue(event: LinearEvent) -> dict[str, Any]:
    return {"action": event.action, "title": event.data.get("title")}


async def main() -> None:
    await app.initialize()
    try:
        print(
            await app.simulate_event(
                "github",
                "pull_request:labeled",
                {"number": 7, "pull_request": {"number": 7, "title": "Add tax"}, "label": {"name": "ready"}},
            )
        )
        print(await app.simulate_event("slack", "app_mention", {"channel": "C1", "text": "is main broken?", "ts": "1"}))
        print(
            await app.simulate_event(
                "linear", "Issue", {"action": "create", "type": "Issue", "data": {"title": "Totals are off by a cent"}}
            )
        )
    finally:
        await app.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
