"""How errors are told apart: by what they are about, and by how bad they are."""

from enum import StrEnum


class ErrorCategory(StrEnum):
    SYSTEM = "system"
    DATABASE = "database"
    INTEGRATION = "integration"
    VALIDATION = "validation"
    PERFORMANCE = "performance"
    SECURITY = "security"
    USER_INPUT = "user_input"
    EXTERNAL_SERVICE = "external_service"


class ErrorSeverity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"
