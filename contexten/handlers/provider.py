"""What GitHub, Linear and Slack have in common: registering functions for events, and calling them."""

import asyncio
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from contexten.handlers.arguments import Arguments
from contexten_core.errors import ConfigurationError
from contexten_core.events.functions import Returned
from contexten_core.events.handlers import Handler, HandlerRegistry
from contexten_core.events.models import EventProvider
from contexten_core.settings import IntegrationsConfig

F = TypeVar("F", bound=Callable[..., Any])
ANY_EVENT = "*"
_LONGEST_NAME = 200
_LONGEST_MESSAGE = 500

_request: ContextVar[Any] = ContextVar("request", default=None)


class ProviderHandlers(ABC):
    """The functions registered for the events of one provider, in the registry of the whole application."""

    provider: ClassVar[EventProvider]
    unhandled: ClassVar[str] = "Event handled successfully"

    def __init__(self, registry: HandlerRegistry, settings: IntegrationsConfig) -> None:
        self._registry = registry
        self._settings = settings

    def event(self, name: str) -> Callable[[F], F]:
        """Register the decorated function, sync or async, for events of this name; `*` stands for all of them.

        Its parameter named `event`, or its first, is given the payload: as the pydantic model that it is annotated
        with, or as a dict. One named `request` is given the HTTP request, or None. What it returns is the answer.

        Raises:
            ConfigurationError: the name is no name, or the function cannot be given what it asks for.
        """
        return self._registering(name, lambda event_type, payload: self._is_for(name, event_type, payload))

    async def handle(self, payload: Mapping[str, Any], request: Any = None, *, event_type: str | None = None) -> Any:
        """Call every function that is registered for this event, all at once, and return what the function returned.

        Where several are registered, all run whatever the others do, and the answer is a list of what they returned.
        Where none is, it is a message that says so.

        Args:
            payload: the payload as its sender sends it.
            request: handed to functions that ask for it.
            event_type: the event's name, where payload and request do not say it or say it wrongly.

        Raises:
            Exception: what the function raised; an ExceptionGroup where several did.
        """
        named, complete = self.named(payload, event_type)
        handlers = self._registry.matching(self.provider, named, complete) if named else []
        token = _request.set(request)
        try:
            returned = await asyncio.gather(*(_returned(handler, complete) for handler in handlers))
        finally:
            _request.reset(token)
        return self.answer(returned)

    def answer(self, returned: Sequence[Returned]) -> Any:
        """Return the answer to an event from what each function for it came to, or raise; see `handle`."""
        errors = [each.error for each in returned if each.error is not None]
        if len(errors) > 1:
            names = ", ".join(each.handler.name for each in returned if each.error is not None)
            raise ExceptionGroup(f"{len(errors)} handlers failed: {names}"[:_LONGEST_MESSAGE], errors)
        if errors:
            raise errors[0]
        values = [each.value for each in returned]
        if not values:
            return {"message": self.unhandled}
        return values[0] if len(values) == 1 else values

    def unsubscribe_all_handlers(self) -> None:
        """Forget every function that was registered for this provider."""
        self._registry.remove_all(self.provider)

    def _registering(
        self, name: str, matches: Callable[[str, Mapping[str, Any]], bool], *, guard: Callable[..., Any] | None = None
    ) -> Callable[[F], F]:
        if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
            raise ConfigurationError(
                f"{name!r:.100} is not the name of an event", hint='write @app.github.event("push"), with the name'
            )

        def register(function: F) -> F:
            arguments = Arguments.of(function, sys._getframe(1).f_locals)  # noqa: SLF001 - models may be local to it
            wanted = f"{self.provider.value}:{name}:{_module(function)}.{_qualified(function)}"
            self._registry.add(
                Handler(
                    name=self._registry.free_name(wanted),
                    provider=self.provider,
                    matches=matches,
                    call=self._caller(function, arguments, guard),
                )
            )
            return function

        return register

    def _caller(
        self, function: Callable[..., Any], arguments: Arguments, guard: Callable[..., Any] | None
    ) -> Callable[[Mapping[str, Any]], Any]:
        def bind(payload: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            return arguments.bind(self._given(payload), _request.get())

        async def call_async(payload: Mapping[str, Any]) -> Any:
            if guard is not None and not await asyncio.to_thread(guard, payload):
                return None
            positional, named = bind(payload)
            return await function(*positional, **named)

        def call_sync(payload: Mapping[str, Any]) -> Any:
            if guard is not None and not guard(payload):
                return None
            positional, named = bind(payload)
            return function(*positional, **named)

        return call_async if is_async(function) else call_sync

    def _given(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the part of the payload that functions are given."""
        return payload

    def _is_for(self, name: str, event_type: str, payload: Mapping[str, Any]) -> bool:
        """Tell whether functions registered under `name`, which may end in an action, are meant for such an event."""
        event, action = split_name(name)
        given, given_action = split_name(event_type)
        return name == ANY_EVENT or (event == given and action in (None, given_action or payload.get("action")))

    @abstractmethod
    def named(self, payload: Mapping[str, Any], event_type: str | None) -> tuple[str | None, Mapping[str, Any]]:
        """Return the event's type, and the payload saying the same of itself."""


async def _returned(handler: Handler, payload: Mapping[str, Any]) -> Returned:
    try:
        return Returned(handler, await _call(handler, payload))
    except Exception as error:  # noqa: BLE001 - raised by `answer`, once every function has run
        return Returned(handler, error=error)


async def _call(handler: Handler, payload: Mapping[str, Any]) -> Any:
    if inspect.iscoroutinefunction(handler.call):
        return await handler.call(payload)
    result = await asyncio.to_thread(handler.call, payload)
    return await result if inspect.isawaitable(result) else result


def is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - an object whose __call__ is async is meant


def split_name(name: str) -> tuple[str, str | None]:
    """Split `pull_request:labeled` into the event and its action."""
    event, _, action = name.partition(":")
    return event, action or None


def _module(function: Callable[..., Any]) -> str:
    """Return the name of the function's module, the same whether it was imported or is what was started."""
    name = getattr(function, "__module__", None) or "unknown"
    if name != "__main__":
        return name
    main = sys.modules["__main__"]
    if main.__spec__ is not None:
        return main.__spec__.name
    return Path(getattr(main, "__file__", None) or name).stem


def _qualified(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__
