from typing import Any

import pytest

from contexten.handlers import Linear
from contexten.handlers.types import LinearEvent
from contexten_core.errors import ConfigurationError
from contexten_core.events.handlers import HandlerRegistry
from contexten_core.events.models import EventProvider

ISSUE: dict[str, Any] = {"type": "Issue", "action": "create", "data": {"title": "Totals are off by a cent"}}


@pytest.mark.parametrize(
    ("name", "handled"),
    [
        ("Issue", True),
        ("Issue:create", True),
        ("Issue:update", False),
        ("Comment", False),
        ("issue", False),
        ("*", True),
    ],
)
async def test_names_are_the_type_with_or_without_the_action(linear: Linear, name: str, handled: bool) -> None:
    @linear.event(name)
    def handle(event: LinearEvent) -> Any:
        return event.action, event.type, event.data.title

    answer = await linear.handle(ISSUE)
    nothing = {"message": "Event handled successfully"}
    assert answer == (("create", "Issue", "Totals are off by a cent") if handled else nothing)


async def test_the_type_may_be_given_where_the_payload_does_not_say_it(linear: Linear) -> None:
    @linear.event("Issue:create")
    def handle(event: LinearEvent) -> Any:
        return event.type, event.action

    assert await linear.handle({"data": {}}, event_type="Issue:create") == ("Issue", "create")
    assert await linear.handle({"data": {}}) == {"message": "Event handled successfully"}


async def test_the_older_form_asks_should_handle_with_the_raw_payload(linear: Linear) -> None:
    @linear.event("Issue", should_handle=lambda payload: payload["action"] == "create")
    async def handle(event: LinearEvent) -> str | None:
        return event.action

    assert await linear.handle(ISSUE) == "create"
    assert await linear.handle({**ISSUE, "action": "update"}) == {"message": "Event handled successfully"}


async def test_should_handle_is_not_asked_about_other_events(linear: Linear, registry: HandlerRegistry) -> None:
    linear.event("Issue", should_handle=lambda payload: payload["nothing"])(lambda event: event)

    assert registry.matching(EventProvider.LINEAR, "Comment", {}) == []


async def test_a_should_handle_that_raises_is_an_error_of_the_call(linear: Linear, registry: HandlerRegistry) -> None:
    ran = []

    @linear.event("Issue", should_handle=lambda payload: payload["nothing"])
    def handle(event: LinearEvent) -> None:
        ran.append(event)

    (_,) = registry.matching(EventProvider.LINEAR, "Issue", ISSUE)
    with pytest.raises(KeyError, match="nothing"):
        await linear.handle(ISSUE)
    assert ran == []


async def test_a_should_handle_that_changes_its_mind_is_heeded(linear: Linear, registry: HandlerRegistry) -> None:
    answers = iter([True, False])
    linear.event("Issue", should_handle=lambda payload: next(answers))(lambda event: "ran")

    assert await linear.handle(ISSUE) is None


def test_an_async_should_handle_is_refused(linear: Linear) -> None:
    async def should_handle(payload: dict[str, Any]) -> bool:
        return True

    with pytest.raises(ConfigurationError, match="async"):
        linear.event("Issue", should_handle=should_handle)
