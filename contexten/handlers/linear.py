"""`app.linear`: handlers of Linear's webhooks."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from contexten.handlers.provider import F, ProviderHandlers, is_async, split_name
from contexten_core.errors import ConfigurationError
from contexten_core.events.models import EventProvider

logger = logging.getLogger(__name__)


class Linear(ProviderHandlers):
    """Events are named after what they are about: `Issue` (every action on it) or `Issue:create` (that action)."""

    provider: ClassVar[EventProvider] = EventProvider.LINEAR

    def event(self, name: str, should_handle: Callable[[dict[str, Any]], Any] | None = None) -> Callable[[F], F]:
        """Register the decorated function for events of this name; see `ProviderHandlers.event`.

        Args:
            name: such as `Issue` or `Issue:create`.
            should_handle: given the payload, tells whether this event is wanted. It is asked before the sender is
                answered, so it has to be quick. When it raises, the call of the function fails with that error.
        """
        if should_handle is None:
            return super().event(name)
        if is_async(should_handle):
            raise ConfigurationError("should_handle of a Linear handler is async", hint="write it with `def`")

        def wants(payload: Mapping[str, Any]) -> bool:
            return bool(should_handle(dict(payload)))

        def matches(event_type: str, payload: Mapping[str, Any]) -> bool:
            return self._is_for(name, event_type, payload) and _unless_it_raises(wants, payload)

        return self._registering(name, matches, guard=wants)

    def named(self, payload: Mapping[str, Any], event_type: str | None) -> tuple[str | None, Mapping[str, Any]]:
        if event_type is None:
            given = payload.get("type")
            return (given, payload) if isinstance(given, str) else (None, payload)
        event, action = split_name(event_type)
        return event, {**payload, "type": event, **({} if action is None else {"action": action})}


def _unless_it_raises(wants: Callable[[Mapping[str, Any]], bool], payload: Mapping[str, Any]) -> bool:
    """Ask whether an event is wanted. An error counts as yes: the call asks again, where it is recorded as its own."""
    try:
        return wants(payload)
    except Exception as error:  # noqa: BLE001 - the call meets the same error, and records it
        logger.debug("should_handle raised %r", error)
        return True
