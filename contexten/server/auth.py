"""Who may see what. One place, to grow.

Webhooks are guarded by their signatures and health by nothing. Everything else asks for an access token. In
development, reading from this machine needs none: a request that came through a proxy or under a foreign host name did
not come from this machine, whatever its address says (that also stops DNS rebinding).
"""

import ipaddress
import logging

from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError

from contexten_core.db import Database
from contexten_core.errors import ContextenError
from contexten_core.security.models import AccessTokenModel
from contexten_core.security.tokens import is_use_to_be_noted, note_use, verify_token
from contexten_core.settings import Environment, Settings

logger = logging.getLogger(__name__)

_FORWARDING_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
_READING = frozenset({"GET", "HEAD"})


class AccessDeniedError(ContextenError):
    code = "access_denied"
    status = 401

    def __init__(self, message: str) -> None:
        super().__init__(
            message, hint="send `Authorization: Bearer TOKEN`; `contexten tokens create NAME` makes a token"
        )


async def require_access(request: Request) -> None:
    """Let a request through or refuse it.

    Raises:
        AccessDeniedError: its token is not valid, or it has none and needs one.
    """
    text = _bearer(request)
    if text is not None:
        await _verify(request.app.state.database, text)
        return
    settings: Settings = request.app.state.settings
    if settings.environment is not Environment.DEVELOPMENT:
        raise AccessDeniedError(f"API and pages are closed in {settings.environment.value} without an access token")
    if not _is_local(request):
        raise AccessDeniedError("without an access token, API and pages answer to this machine only")
    if request.method not in _READING:
        raise AccessDeniedError("changing anything needs an access token, on this machine too")


def _bearer(request: Request) -> str | None:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


async def _verify(database: Database, text: str) -> None:
    async with database.reading() as session:
        token = await verify_token(session, text)
    if token is None:
        raise AccessDeniedError("the access token is not valid")
    if is_use_to_be_noted(token):
        await _note_use(database, token)


async def _note_use(database: Database, token: AccessTokenModel) -> None:
    try:
        async with database.transaction() as session:
            await note_use(session, token)
    except SQLAlchemyError as error:
        logger.warning("the use of the token %r could not be noted: %s", token.name, error)


def _is_local(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in _FORWARDING_HEADERS):
        return False
    if (request.url.hostname or "").lower() not in _LOCAL_NAMES:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
