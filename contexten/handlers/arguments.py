"""What a registered function asks to be given: read from its signature once, when it is registered."""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from types import SimpleNamespace
from typing import Any, Self, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from contexten_core.errors import ConfigurationError
from contexten_core.inputs import invalid

_EVENT = "event"
_REQUEST = "request"
_COLLECTING = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Arguments:
    """Which parameter takes the event, whether one takes the request, and what the event has to become first."""

    event: Parameter | None
    request: Parameter | None
    model: TypeAdapter[Any] | None

    @classmethod
    def of(cls, function: Callable[..., Any], scope: Mapping[str, Any]) -> Self:
        """Read the signature of a function; `scope` has the names that are local to where it was defined.

        Raises:
            ConfigurationError: it needs something else, or is annotated with what cannot be made of a payload.
        """
        parameters = inspect.signature(function).parameters
        request = parameters.get(_REQUEST)
        others = [
            each for each in parameters.values() if each is not request and each.kind is not Parameter.VAR_KEYWORD
        ]
        event = parameters.get(_EVENT, others[0] if others else None)
        for each in others:
            if each is not event and each.default is Parameter.empty and each.kind not in _COLLECTING:
                raise ConfigurationError(
                    f"{_named(function)} needs {each.name!r}, which an event handler is not given",
                    hint="a handler takes the event and, if it likes, `request`",
                )
        annotation = _annotation(function, event, scope) if event is not None else Parameter.empty
        return cls(event, request, None if _is_raw(annotation) else _adapter(function, annotation))

    def bind(self, payload: Mapping[str, Any], request: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what to call the function with. Each gets a payload of its own, to change as it likes.

        Raises:
            InvalidInputError: the payload is not what the function's model promises; names the fields.
        """
        named: dict[str, Any] = {}
        positional: tuple[Any, ...] = ()
        if self.event is not None:
            own = copy.deepcopy(dict(payload))
            event = own if self.model is None else _validated(self.model, own)
            if self.event.kind in (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL):
                positional = (event,)
            else:
                named[self.event.name] = event
        if self.request is not None:
            if self.request.kind is Parameter.POSITIONAL_ONLY:
                positional = (*positional, request)
            else:
                named[self.request.name] = request
        return positional, named


def _validated(model: TypeAdapter[Any], payload: dict[str, Any]) -> Any:
    try:
        return model.validate_python(payload)
    except ValidationError as error:
        raise invalid(error) from None


def _annotation(function: Callable[..., Any], parameter: Parameter, scope: Mapping[str, Any]) -> Any:
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    inner = inspect.unwrap(function)
    holder: Any = SimpleNamespace(__annotations__={_EVENT: parameter.annotation})
    try:
        return get_type_hints(holder, globalns=getattr(inner, "__globals__", {}), localns=dict(scope))[_EVENT]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise ConfigurationError(
            f"the annotation {parameter.annotation!r:.100} of {_named(function)} cannot be read: {error}",
            hint="import its type outside `if TYPE_CHECKING`, or annotate with dict",
        ) from error


def _is_raw(annotation: Any) -> bool:
    plain = get_origin(annotation) or annotation
    return plain in (Parameter.empty, Any, object, None) or (isinstance(plain, type) and issubclass(plain, Mapping))


def _adapter(function: Callable[..., Any], annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
        raise ConfigurationError(
            f"{_named(function)} is annotated with {annotation!r:.100}, which no payload can become",
            hint="annotate with a pydantic model, or with dict",
        ) from error


def _named(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or repr(function)[:100]
