"""One database, SQLite or PostgreSQL: engine, base classes, column types and migrations."""

from contexten_core.db.base import Base, BaseModel, MetadataMixin, TimestampMixin, UUIDMixin, utc_now
from contexten_core.db.engine import Database
from contexten_core.db.types import CleanText, EnumText, JSONValue, TZDateTime

__all__ = [
    "Base",
    "BaseModel",
    "CleanText",
    "Database",
    "EnumText",
    "JSONValue",
    "MetadataMixin",
    "TZDateTime",
    "TimestampMixin",
    "UUIDMixin",
    "utc_now",
]
