"""What is made of an error: which of the 8 categories, which of the 4 severities, and whether trying again can help."""

from dataclasses import dataclass, replace

from contexten_core.errors.kinds import ErrorCategory, ErrorSeverity


@dataclass(frozen=True, slots=True)
class Classification:
    """The judgement on an error. `recoverable`: the same operation may succeed later, or after a recovery strategy."""

    category: ErrorCategory
    severity: ErrorSeverity
    recoverable: bool = False

    def but(self, *, recoverable: bool) -> "Classification":
        return replace(self, recoverable=recoverable)


def _kind(category: ErrorCategory, severity: ErrorSeverity, *, recoverable: bool = False) -> Classification:
    return Classification(category, severity, recoverable)


UNKNOWN = _kind(ErrorCategory.SYSTEM, ErrorSeverity.MEDIUM)
STOPPED = _kind(ErrorCategory.SYSTEM, ErrorSeverity.LOW)
BUG = _kind(ErrorCategory.SYSTEM, ErrorSeverity.HIGH)
MACHINE = _kind(ErrorCategory.SYSTEM, ErrorSeverity.CRITICAL)
BUSY_MACHINE = _kind(ErrorCategory.SYSTEM, ErrorSeverity.HIGH, recoverable=True)

DATABASE_DOWN = _kind(ErrorCategory.DATABASE, ErrorSeverity.CRITICAL, recoverable=True)
DATABASE_BROKEN = _kind(ErrorCategory.DATABASE, ErrorSeverity.CRITICAL)
DATABASE_BUSY = _kind(ErrorCategory.DATABASE, ErrorSeverity.MEDIUM, recoverable=True)
DATABASE_EXHAUSTED = _kind(ErrorCategory.DATABASE, ErrorSeverity.HIGH, recoverable=True)
DATABASE_STATEMENT = _kind(ErrorCategory.DATABASE, ErrorSeverity.HIGH)
DATABASE_DATA = _kind(ErrorCategory.DATABASE, ErrorSeverity.MEDIUM)

SERVICE_AWAY = _kind(ErrorCategory.EXTERNAL_SERVICE, ErrorSeverity.MEDIUM, recoverable=True)
SERVICE_WRONG = _kind(ErrorCategory.EXTERNAL_SERVICE, ErrorSeverity.MEDIUM)
INTEGRATION = _kind(ErrorCategory.INTEGRATION, ErrorSeverity.MEDIUM)
NOT_SET_UP = _kind(ErrorCategory.INTEGRATION, ErrorSeverity.LOW)

SECURITY = _kind(ErrorCategory.SECURITY, ErrorSeverity.HIGH)
VALIDATION = _kind(ErrorCategory.VALIDATION, ErrorSeverity.LOW)
USER_INPUT = _kind(ErrorCategory.USER_INPUT, ErrorSeverity.LOW)

TOO_SLOW = _kind(ErrorCategory.PERFORMANCE, ErrorSeverity.MEDIUM, recoverable=True)
COMMAND_TOO_SLOW = _kind(ErrorCategory.PERFORMANCE, ErrorSeverity.MEDIUM)
OVERLOADED = _kind(ErrorCategory.PERFORMANCE, ErrorSeverity.HIGH, recoverable=True)
OUT_OF_MEMORY = _kind(ErrorCategory.PERFORMANCE, ErrorSeverity.CRITICAL, recoverable=True)
