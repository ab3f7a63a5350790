"""Every error a user can meet, with what happened, to what, and what to do about it."""

from contexten_core.errors.base import (
    ConfigurationError,
    ContextenError,
    ExecutionError,
    GitError,
    LeaseLostError,
    MalformedPayloadError,
    NotConfiguredError,
    NotFoundError,
    OutboundError,
    PayloadTooLargeError,
    SignatureError,
    StackError,
    UnavailableError,
    UnknownFlowError,
    UnsupportedContentTypeError,
)
from contexten_core.errors.transience import is_transient

__all__ = [
    "ConfigurationError",
    "ContextenError",
    "ExecutionError",
    "GitError",
    "LeaseLostError",
    "MalformedPayloadError",
    "NotConfiguredError",
    "NotFoundError",
    "OutboundError",
    "PayloadTooLargeError",
    "SignatureError",
    "StackError",
    "UnavailableError",
    "UnknownFlowError",
    "UnsupportedContentTypeError",
    "is_transient",
]
