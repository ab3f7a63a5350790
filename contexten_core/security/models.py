"""Table of access tokens. Only a token's digest is kept, so that nobody who reads the table can use one."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from contexten_core.db import BaseModel


class AccessTokenModel(BaseModel):
    """A bearer token of somebody or something; `name` tells people apart which."""

    __tablename__ = "access_tokens"
    __table_args__ = (UniqueConstraint("digest"), UniqueConstraint("name"), Index(None, "created_at"))

    digest: Mapped[str]
    role: Mapped[str] = mapped_column(default="admin")
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
