"""The functions that this process has registered for events, whoever they come from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contexten_core.events.models import EventProvider

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Handler:
    """A function for some events of one provider.

    Attributes:
        name: tells it apart from every other handler of the process, and is the same in the next process.
        matches: whether it is meant for an event of this type and payload; never raises.
        call: given the payload; sync (then run in a thread) or async. What it returns is the answer.
    """

    name: str
    provider: EventProvider
    matches: Callable[[str, Payload], bool]
    call: Callable[[Payload], Any]


class HandlerRegistry:
    """Handlers in the order in which they were registered."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._handlers)

    def free_name(self, wanted: str) -> str:
        """Return `wanted`, or the same with a number where that is taken."""
        number, name = 1, wanted
        while name in self._handlers:
            number += 1
            name = f"{wanted}#{number}"
        return name

    def add(self, handler: Handler) -> None:
        if handler.name in self._handlers:
            raise ValueError(f"there is a handler {handler.name!r} already")
        self._handlers[handler.name] = handler

    def remove(self, name: str) -> None:
        self._handlers.pop(name, None)

    def remove_all(self, provider: EventProvider) -> None:
        self._handlers = {name: found for name, found in self._handlers.items() if found.provider is not provider}

    def get(self, name: str) -> Handler | None:
        return self._handlers.get(name)

    def matching(self, provider: EventProvider, event_type: str, payload: Payload) -> list[Handler]:
        return [
            handler
            for handler in self._handlers.values()
            if handler.provider is provider and handler.matches(event_type, payload)
        ]
