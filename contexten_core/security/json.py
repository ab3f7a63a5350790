"""Parse JSON from outside strictly, with one kind of error for everything that can be wrong with it."""

import json
import math
from typing import Any, NoReturn

from contexten_core.errors import MalformedPayloadError

MAXIMUM_DEPTH = 100


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`.

    Raises:
        MalformedPayloadError: not UTF-8, not JSON, not an object, NaN or Infinity, a number that is too long, or nested
            deeper than `MAXIMUM_DEPTH`.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise MalformedPayloadError(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise MalformedPayloadError(f"the body is not JSON: {_reason(error)}") from error
    if not isinstance(value, dict):
        raise MalformedPayloadError(f"the body is a JSON {type(value).__name__}, not an object")
    if _deeper_than(value, MAXIMUM_DEPTH):
        raise MalformedPayloadError(f"the body is nested more than {MAXIMUM_DEPTH} levels deep")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    """Refuse what Python would read as infinity, and no database would store."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def _reason(error: ValueError | RecursionError) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:200]


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
