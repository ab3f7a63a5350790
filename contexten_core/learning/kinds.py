"""What sort of failure it was."""

from enum import IntEnum, StrEnum


class FailureKind(StrEnum):
    TEST = "test"
    COMPILATION = "compilation"
    DEPENDENCY = "dependency"
    """Something that the code needs could not be resolved, fetched or imported."""
    LINT = "lint"
    """A linter, a type checker, or a warning that the build treats as an error."""
    POLICY = "policy"
    """A rule that the build sets for itself: coverage, licences, enforced versions, commit messages."""
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    CRASH = "crash"
    """A process died: by a signal, out of memory, or by a panic."""
    ENVIRONMENT = "environment"
    """The machine, the network or a credential; not the code."""
    UNKNOWN = "unknown"


class Tier(IntEnum):
    """How much a line says about why the command failed."""

    ECHO = 0
    """Only that something failed, which was known."""
    WEAK = 1
    """Mentions an error somewhere."""
    GENERIC = 2
    """Is an error message, of a sort nobody listed."""
    SPECIFIC = 3
    """Is an error message of a known sort."""
    VERDICT = 4
    """The tool itself says what stopped it."""
