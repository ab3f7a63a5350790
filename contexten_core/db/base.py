"""What every table has."""

from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from contexten_core.db.types import CleanText, JSONValue, TZDateTime

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def utc_now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: TZDateTime,
        str: CleanText,
        dict[str, Any]: JSONValue,
        list[Any]: JSONValue,
        list[str]: JSONValue,
    }


class UUIDMixin:
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4, sort_order=-100)


class TimestampMixin:
    created_at: Mapped[datetime] = mapped_column(default=utc_now, sort_order=90)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now, sort_order=91)


class MetadataMixin:
    """`metadata` is SQLAlchemy's own word on a model, so the attribute is `metadata_`; the column is `metadata`."""

    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONValue, sort_order=92)
    tags: Mapped[list[str] | None] = mapped_column(JSONValue, sort_order=93)


class BaseModel(Base, UUIDMixin, TimestampMixin, MetadataMixin):
    """A row with an id, a name, its times, and room for more."""

    __abstract__ = True

    name: Mapped[str] = mapped_column(CleanText, sort_order=-99)
    description: Mapped[str | None] = mapped_column(CleanText, sort_order=-98)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON-ready values under its column names: enums as values, times as ISO 8601 in UTC."""
        return {
            attribute.columns[0].name: _plain(getattr(self, attribute.key))
            for attribute in self.__mapper__.column_attrs
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name!r}>"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value
