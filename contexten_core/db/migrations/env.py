"""Alembic's entry: runs the migrations on the connection that `contexten_core.db.migrate` hands over."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from contexten_core.db.models import metadata
from contexten_core.db.types import CleanText, EnumText, JSONValue, TZDateTime

_PLAIN = {
    TZDateTime: "sa.DateTime(timezone=True)",
    CleanText: "sa.Text()",
    EnumText: "sa.String(length=64)",
    JSONValue: "sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')",
}


def render_plainly(kind: str, value: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write our column types into a migration as what they are in the database, so that it never changes with them."""
    if kind != "type":
        return False
    for ours, plain in _PLAIN.items():
        if isinstance(value, ours):
            if ours is JSONValue:
                autogen.imports.add("from sqlalchemy.dialects import postgresql")
            return plain
    return False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    render_item=render_plainly,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
