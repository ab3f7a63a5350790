"""Who may see what. One place, to grow.

Webhooks are guarded by their signatures and health by nothing. Everything else asks for an access token. In
development, reading from this machine needs none: a request that came through a proxy or under a foreign host name did
not come from this machine, whatever its address says (that also stops DNS rebinding).

What a token may do is its role's: an `admin` everything, an `editor` all but make tokens and move protected labels.
"""

import ipaddress
import logging
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError

from contexten_core.db import Database
from contexten_core.errors import ContextenError
from contexten_core.security.models import AccessTokenModel
from contexten_core.security.tokens import TokenRole, is_use_to_be_noted, note_use, verify_token
from contexten_core.settings import Environment, Settings

logger = logging.getLogger(__name__)

_FORWARDING_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
_READING = frozenset({"GET", "HEAD"})
_ADMINS_ONLY = "/api/tokens"
LOCAL = "local"


class AccessDeniedError(ContextenError):
    code = "access_denied"
    status = 401

    def __init__(self, message: str) -> None:
        super().__init__(
            message, hint="send `Authorization: Bearer TOKEN`; `contexten tokens create NAME` makes a token"
        )


class NotPermittedError(ContextenError):
    code = "not_permitted"
    status = 403


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name of the token that came with the request, or `local`, and what they may do."""

    name: str
    role: str

    @property
    def is_admin(self) -> bool:
        return self.role == TokenRole.ADMIN


async def require_access(request: Request) -> None:
    """Let a request through or refuse it; leaves who asks at `request.state.token`.

    Raises:
        AccessDeniedError: its token is not valid, or it has none and needs one.
        NotPermittedError: its token's role does not allow that.
    """
    text = _bearer(request)
    if text is not None:
        token = await _verify(request.app.state.database, text)
        request.state.token = caller = Caller(token.name, token.role)
        if not caller.is_admin and request.method not in _READING and _ADMINS_ONLY in request.scope["path"]:
            raise NotPermittedError(
                f"a token of the role {caller.role!r} cannot make or revoke tokens",
                hint="`contexten tokens create NAME` on the server's machine makes one, or a token of the role `admin`",
            )
        return
    request.state.token = Caller(LOCAL, TokenRole.ADMIN.value)
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


async def _verify(database: Database, text: str) -> AccessTokenModel:
    async with database.reading() as session:
        token = await verify_token(session, text)
    if token is None:
        raise AccessDeniedError("the access token is not valid")
    if is_use_to_be_noted(token):
        await _note_use(database, token)
    return token


async def caller_of(request: Request) -> Caller:
    """Return who asks, once they were let through."""
    caller: Caller = request.state.token
    return caller


CallerOf = Annotated[Caller, Depends(caller_of)]


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
