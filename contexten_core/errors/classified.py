"""Errors that say themselves what they are about, for the code of users and handlers."""

from typing import Any

from contexten_core.errors.base import ContextenError
from contexten_core.errors.kinds import ErrorCategory, ErrorSeverity


class SystemError(ContextenError):  # noqa: A001 - the documented name
    """An error that carries its own category and severity.

    Attributes:
        context: what was being done, as JSON-ready values.
        recoverable: whether a recovery strategy may be tried.
    """

    code = "system"

    def __init__(
        self,
        message: str,
        category: ErrorCategory = ErrorCategory.SYSTEM,
        severity: ErrorSeverity = ErrorSeverity.MEDIUM,
        context: dict[str, Any] | None = None,
        recoverable: bool = True,
    ) -> None:
        super().__init__(message)
        self.category = category
        self.severity = severity
        self.context = context or {}
        self.recoverable = recoverable


class RecoverableError(SystemError):
    """An error that names the recovery strategy which may help (`recovery_action`)."""

    code = "recoverable"

    def __init__(self, message: str, recovery_action: str | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.recovery_action = recovery_action
