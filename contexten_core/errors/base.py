"""The exception tree.

ContextenError
├── AddressNotAllowedError  a delivery from where its provider does not deliver
├── BackupError             a backup that cannot be read or written (in contexten_core.db.archive)
├── ConfigurationError      a setting is missing or wrong
├── ConflictError           what is asked for contradicts what is there
│   ├── DependencyError     a task that must wait, or a dependency that would close a circle
│   └── TransitionError     a task cannot go from its status to that one
├── ExecutionError          a command could not be started
├── GitError                git could not fetch, read or check out
├── InvalidInputError       a value that a field does not take; names the field
├── MalformedPayloadError   a body that is not what its sender promises
├── NotConfiguredError      a provider that nobody has set up
├── NotFoundError           an id or a name that nothing has
├── LeaseLostError          another worker has taken over what this one was doing
├── OperationTimeoutError   it took longer than RESPONSE_TIMEOUT_SECONDS; also a TimeoutError
├── OutboundError           a call to GitHub, Linear or Slack failed
├── OverloadedError         more at once than MAX_CONCURRENT_OPERATIONS
├── PayloadTooLargeError    a body over the limit
├── RateLimitedError        more from one address than it may send
├── SignatureError          a delivery that its sender did not sign, or not with a secret we know
├── StackError              a part of the embedded stack would not start or stop
├── SystemError             what a user's own code raises, with category and severity
│   └── RecoverableError    the same, naming the recovery strategy that may help
├── UnavailableError        something we need does not answer at the moment
├── UnknownFlowError        a flow that the catalogue does not have
└── UnsupportedContentTypeError
"""

from typing import ClassVar


class ContextenError(Exception):
    """Something went wrong that a person can understand and act on.

    Attributes:
        code: stable, machine-readable name of the failure.
        status: the HTTP status that this failure becomes at the API.
        hint: what the reader can do about it, or None.
        transient: whether trying the same again later can help.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str | None = None, transient: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.transient = transient

    def as_dict(self) -> dict[str, str | bool | None]:
        return {"code": self.code, "message": self.message, "hint": self.hint, "transient": self.transient}


class AddressNotAllowedError(ContextenError):
    code = "address_not_allowed"
    status = 403


class ConfigurationError(ContextenError):
    code = "configuration"


class ExecutionError(ContextenError):
    code = "execution"


class ConflictError(ContextenError):
    code = "conflict"
    status = 409


class DependencyError(ConflictError):
    code = "dependency"


class TransitionError(ConflictError):
    code = "transition"


class GitError(ContextenError):
    code = "git"
    status = 502


class InvalidInputError(ContextenError):
    """Something that was given is not what its field takes. Nothing was written.

    Attributes:
        fields: what is wrong with each field, by its name; parts inside a value are joined by dots.
    """

    code = "invalid"
    status = 422

    def __init__(self, message: str, *, fields: dict[str, str], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.fields = fields


class MalformedPayloadError(ContextenError):
    code = "malformed_payload"
    status = 400


class NotConfiguredError(ContextenError):
    code = "not_configured"
    status = 404


class NotFoundError(ContextenError):
    code = "not_found"
    status = 404


class LeaseLostError(ContextenError):
    code = "lease_lost"
    status = 409


class OperationTimeoutError(ContextenError, TimeoutError):
    code = "timeout"
    status = 504


class OverloadedError(ContextenError):
    code = "overloaded"
    status = 503


class OutboundError(ContextenError):
    """A call to an outside service failed.

    Attributes:
        retry_after: seconds that the service asked us to wait, or None.
        ambiguous: whether the call may have been carried out all the same, as when the answer was lost.
    """

    code = "outbound"
    status = 502

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        transient: bool = False,
        retry_after: float | None = None,
        ambiguous: bool = False,
    ) -> None:
        super().__init__(message, hint=hint, transient=transient)
        self.retry_after = retry_after
        self.ambiguous = ambiguous


class PayloadTooLargeError(ContextenError):
    code = "payload_too_large"
    status = 413


class RateLimitedError(ContextenError):
    """Somebody sends more than they may.

    Attributes:
        retry_after: seconds after which they may send again.
    """

    code = "rate_limited"
    status = 429

    def __init__(self, message: str, *, retry_after: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, transient=True)
        self.retry_after = retry_after


class SignatureError(ContextenError):
    code = "signature"
    status = 401


class StackError(ContextenError):
    code = "stack"


class UnavailableError(ContextenError):
    code = "unavailable"
    status = 503


class UnknownFlowError(ContextenError):
    code = "unknown_flow"
    status = 404


class UnsupportedContentTypeError(ContextenError):
    code = "unsupported_content_type"
    status = 415
