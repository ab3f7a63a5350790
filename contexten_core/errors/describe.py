"""What is kept of one error."""

import secrets
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pydantic
from sqlalchemy.exc import StatementError

from contexten_core.errors.base import ContextenError
from contexten_core.errors.classification import Classification
from contexten_core.errors.classified import SystemError  # noqa: A004 - the documented name
from contexten_core.errors.kinds import ErrorCategory, ErrorSeverity
from contexten_core.errors.redact import safe_context, safe_str, safe_text
from contexten_core.security.text import one_line

_LONGEST_MESSAGE = 4_000
_LONGEST_TRACEBACK = 16_000
_LONGEST_NAME = 200
_MOST_FRAMES = 30
_DEEPEST_CHAIN = 5
_ID_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """One error as it is kept, in memory and in the database; safe to show.

    Attributes:
        code: the stable name that our own errors have.
        recovery_details: what came of the recovery, without the result of the operation.
    """

    error_id: str
    category: ErrorCategory
    severity: ErrorSeverity
    error_type: str
    message: str
    code: str | None
    traceback: str
    context: dict[str, Any]
    component: str | None
    recoverable: bool
    occurred_at: datetime
    recovery_attempted: bool = False
    recovery_successful: bool = False
    recovery_details: dict[str, Any] | None = None

    @property
    def pattern(self) -> str:
        return f"{self.category}:{self.error_type}"

    def summary(self) -> dict[str, Any]:
        """Return what lists of errors show, JSON-ready."""
        return {
            "error_id": self.error_id,
            "category": self.category.value,
            "severity": self.severity.value,
            "error_type": self.error_type,
            "message": self.message,
            "component": self.component,
            "recoverable": self.recoverable,
            "recovery_attempted": self.recovery_attempted,
            "recovery_successful": self.recovery_successful,
            "recovery_details": self.recovery_details,
            "timestamp": self.occurred_at.isoformat(),
        }


def describe(
    error: BaseException,
    context: Mapping[str, Any],
    *,
    classification: Classification,
    component: str | None,
    now: datetime,
) -> ErrorRecord:
    own = error.context if isinstance(error, SystemError) else {}
    return ErrorRecord(
        error_id=f"err_{now:%Y%m%d_%H%M%S}_{secrets.randbelow(10**_ID_DIGITS):0{_ID_DIGITS}}",
        category=classification.category,
        severity=classification.severity,
        error_type=type_of(error),
        message=message_of(error),
        code=error.code if isinstance(error, ContextenError) else None,
        traceback=_traceback(error),
        context=safe_context({**own, **context}),
        component=None if component is None else one_line(safe_text(component, _LONGEST_NAME), _LONGEST_NAME),
        recoverable=classification.recoverable,
        occurred_at=now,
    )


def message_of(error: BaseException) -> str:
    """Return what the error says, in bounds and without the values that libraries put into their messages."""
    if isinstance(error, pydantic.ValidationError):
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, problem['loc'])) or 'input'}: {problem['msg']}" for problem in problems)
        return safe_text(said, _LONGEST_MESSAGE)
    # SQLAlchemy's own text repeats the statement with its parameters, which are people's data.
    told = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    return safe_str(told, _LONGEST_MESSAGE) or type_of(error)


def type_of(error: BaseException) -> str:
    return one_line(type(error).__name__, _LONGEST_NAME)


def _traceback(error: BaseException) -> str:
    """Return the last frames of the error and of what it came from, the first cause first."""
    parts = [
        "".join(traceback.format_tb(part.__traceback__, limit=-_MOST_FRAMES)) + f"{type_of(part)}: {message_of(part)}\n"
        for part in reversed(list(_chain(error)))
    ]
    return safe_text("\nwhich led to:\n\n".join(parts)[-_LONGEST_TRACEBACK:], _LONGEST_TRACEBACK)


def _chain(error: BaseException) -> Iterator[BaseException]:
    part: BaseException | None = error
    for _ in range(_DEEPEST_CHAIN):
        if part is None:
            return
        yield part
        part = part.__cause__ or (None if part.__suppress_context__ else part.__context__)
