"""Whether trying again later can help: the one question that retries ask of an error."""

import httpx
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from contexten_core.errors.base import ContextenError

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


def is_transient(error: BaseException) -> bool:
    """Tell whether the same operation may succeed later without anybody changing anything.

    Decided by type and structure, never by the text of the message.
    """
    if isinstance(error, ContextenError):
        return error.transient
    if isinstance(error, DBAPIError):
        return isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == _TOO_MANY_REQUESTS or error.response.status_code >= _SERVER_ERROR
    return isinstance(error, httpx.TransportError | TimeoutError | ConnectionError)
