"""Tables of errors: each one for a while, and how many of each kind for good."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import Date, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from contexten_core.db import BaseModel, EnumText
from contexten_core.errors.kinds import ErrorCategory, ErrorSeverity


class ErrorModel(BaseModel):
    """One error as it was handled; `name` is its type."""

    __tablename__ = "errors"
    __table_args__ = (UniqueConstraint("error_id"), Index(None, "created_at"))

    error_id: Mapped[str]
    category: Mapped[ErrorCategory] = mapped_column(EnumText(ErrorCategory))
    severity: Mapped[ErrorSeverity] = mapped_column(EnumText(ErrorSeverity))
    error_type: Mapped[str]
    message: Mapped[str]
    code: Mapped[str | None]
    traceback: Mapped[str | None]
    context: Mapped[dict[str, Any] | None]
    component: Mapped[str | None]
    recoverable: Mapped[bool]
    recovery_attempted: Mapped[bool] = mapped_column(default=False)
    recovery_successful: Mapped[bool] = mapped_column(default=False)
    recovery_details: Mapped[dict[str, Any] | None]
    occurred_at: Mapped[datetime]


class ErrorCountModel(BaseModel):
    """How many errors of one kind there were on one day (UTC). Statistics are read from here."""

    __tablename__ = "error_counts"
    __table_args__ = (UniqueConstraint("day", "category", "severity", "error_type", "recoverable"),)

    day: Mapped[date] = mapped_column(Date)
    category: Mapped[ErrorCategory] = mapped_column(EnumText(ErrorCategory))
    severity: Mapped[ErrorSeverity] = mapped_column(EnumText(ErrorSeverity))
    error_type: Mapped[str]
    recoverable: Mapped[bool]
    count: Mapped[int] = mapped_column(default=0)
