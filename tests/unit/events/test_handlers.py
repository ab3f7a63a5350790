"""What is registered for events."""

from typing import Any

import pytest

from contexten_core.events.handlers import Handler, HandlerRegistry
from contexten_core.events.models import EventProvider


def handler(name: str, *, provider: EventProvider = EventProvider.GITHUB, event_type: str = "push") -> Handler:
    def call(payload: Any) -> str:
        return name

    return Handler(name, provider, lambda found, _: found == event_type, call)


@pytest.fixture
def registry() -> HandlerRegistry:
    registry = HandlerRegistry()
    for name, event_type in (("one", "push"), ("two", "push"), ("three", "issues")):
        registry.add(handler(name, event_type=event_type))
    registry.add(handler("four", provider=EventProvider.SLACK))
    return registry


def test_those_that_match_come_in_the_order_in_which_they_were_added(registry: HandlerRegistry) -> None:
    assert [found.name for found in registry.matching(EventProvider.GITHUB, "push", {})] == ["one", "two"]
    assert [found.name for found in registry.matching(EventProvider.SLACK, "push", {})] == ["four"]
    assert registry.matching(EventProvider.LINEAR, "push", {}) == []


def test_a_name_is_given_once(registry: HandlerRegistry) -> None:
    with pytest.raises(ValueError, match="'one'"):
        registry.add(handler("one"))


def test_a_free_name_is_the_wanted_one_or_the_same_with_a_number(registry: HandlerRegistry) -> None:
    assert registry.free_name("five") == "five"
    assert registry.free_name("one") == "one#2"
    registry.add(handler("one#2"))
    assert registry.free_name("one") == "one#3"


def test_what_is_removed_is_not_found_any_more(registry: HandlerRegistry) -> None:
    registry.remove("one")
    registry.remove("one")

    assert registry.get("one") is None
    assert registry.names == {"two", "three", "four"}


def test_all_of_one_provider_are_removed_together(registry: HandlerRegistry) -> None:
    registry.remove_all(EventProvider.GITHUB)

    assert registry.names == {"four"}
