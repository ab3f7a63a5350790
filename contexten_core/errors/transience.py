"""Whether trying again later can help: the one question that retries ask of an error."""

import sys

from contexten_core.errors.base import ContextenError

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


def is_transient(error: BaseException) -> bool:
    """Tell whether the same operation may succeed later without anybody changing anything.

    Decided by type and structure, never by the text of the message.
    """
    if isinstance(error, ContextenError):
        return error.transient
    # An error of a library that was never imported cannot come here, and importing both takes as long as a command.
    if "sqlalchemy.exc" in sys.modules:
        from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

        if isinstance(error, DBAPIError):
            return isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    if "httpx" in sys.modules:
        import httpx

        if isinstance(error, httpx.HTTPStatusError):
            status = error.response.status_code
            return status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR
        if isinstance(error, httpx.TransportError):
            return True
    return isinstance(error, TimeoutError | ConnectionError)
