"""Access tokens: what proves to API and pages who asks. Only digests are stored, so a token is shown once."""

import logging
import re
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Annotated

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.errors import ConflictError, InvalidInputError
from contexten_core.inputs import Input, Moment, Name, checked
from contexten_core.security import store
from contexten_core.security.models import AccessTokenModel

logger = logging.getLogger(__name__)


class TokenRole(StrEnum):
    """What a token may do: everything, or everything but make tokens and move protected labels of prompts."""

    ADMIN = "admin"
    EDITOR = "editor"


ADMIN = TokenRole.ADMIN.value
_PREFIX = "ctx_"
_BYTES = 32
_FORM = re.compile(r"ctx_[A-Za-z0-9_-]{43}")
_NOTE_USE_EVERY = timedelta(minutes=1)


class TokenCreate(Input):
    """Who or what a token is for, what it may do, and until when it works; without `expires_at` until it is revoked."""

    name: Annotated[Name, Field(max_length=200)]
    role: TokenRole = TokenRole.ADMIN
    expires_at: Moment | None = None


async def ensure_admin_token(session: AsyncSession) -> str | None:
    """Make the first token, named `admin`, once ever.

    Returns its text to the one caller that made it, of however many processes, and None to everybody else; also when
    that token has been revoked.
    """
    return await _insert(session, name=ADMIN, role=ADMIN, expires_at=None)


async def create_token(session: AsyncSession, name: str, role: str = ADMIN, expires_at: datetime | None = None) -> str:
    """Make a token and return its text, which nobody can read again.

    Raises:
        InvalidInputError: the name or the role is not one, or `expires_at` has passed.
        ConflictError: there is a token of that name, in use or revoked.
    """
    given = checked(TokenCreate, {"name": name, "role": role, "expires_at": expires_at})
    if given.expires_at is not None and given.expires_at <= utc_now():
        raise InvalidInputError("expires_at: has passed", fields={"expires_at": "has passed"})
    text = await _insert(session, name=given.name, role=given.role.value, expires_at=given.expires_at)
    if text is None:
        raise ConflictError(
            f"there is a token named {given.name!r} already",
            hint="take another name; those of revoked tokens stay taken",
        )
    return text


async def revoke_token(session: AsyncSession, name: str) -> bool:
    """Make a token useless from the next request on; return False when there is none of that name."""
    return await store.revoke(session, name, now=utc_now())


async def verify_token(session: AsyncSession, text: str) -> AccessTokenModel | None:
    """Return the token that this text is, or None; why it is none is told to the log alone."""
    token = await store.by_digest(session, _digest(text)) if _FORM.fullmatch(text) else None
    if token is None:
        logger.warning("access refused: an unknown token")
    elif token.revoked_at is not None:
        logger.warning("access refused: the token %r was revoked", token.name)
    elif token.expires_at is not None and token.expires_at <= utc_now():
        logger.warning("access refused: the token %r has expired", token.name)
    else:
        return token
    return None


def is_use_to_be_noted(token: AccessTokenModel) -> bool:
    """Tell whether the last noted use of a token is older than a minute; more often is not worth a write."""
    return token.last_used_at is None or token.last_used_at < utc_now() - _NOTE_USE_EVERY


async def note_use(session: AsyncSession, token: AccessTokenModel) -> None:
    """Remember that a token was used now, at most once a minute among all processes."""
    now = utc_now()
    await store.mark_used(session, token.id, now=now, unless_since=now - _NOTE_USE_EVERY)


async def _insert(session: AsyncSession, *, name: str, role: str, expires_at: datetime | None) -> str | None:
    text = _PREFIX + secrets.token_urlsafe(_BYTES)
    token = await store.add(session, name=name, digest=_digest(text), role=role, expires_at=expires_at)
    return None if token is None else text


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
