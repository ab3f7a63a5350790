"""A step's answer that an event calls for nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ignored:
    """A step's answer that there is nothing to do for this event, and why.

    Attributes:
        refused: whether somebody expects an answer all the same, and is told the reason where they are looking: what
            they asked for may not be done, or not yet.
    """

    reason: str
    refused: bool = False


def is_ignored(result: Mapping[str, Any]) -> bool:
    """Tell whether the stored result of a step is such an answer."""
    return "reason" in result and result.keys() <= {"reason", "refused"}
