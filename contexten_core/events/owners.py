"""Who holds a lease: one process, by a text of its own that nobody else ever has."""

import os
import secrets
import socket

from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute


def new_owner(name: str | None = None) -> str:
    """Return an owner for this process: its host, its number there, something random, and the name if it has one.

    Args:
        name: one that processes have after each other, never two at the same time.
    """
    return ":".join([socket.gethostname(), str(os.getpid()), secrets.token_hex(4), *([name] if name else [])])


def precedes(column: InstrumentedAttribute[str | None], *, name: str, heir: str) -> ColumnElement[bool]:
    """Return the condition that a row is held by another owner of that name than the heir: one that is gone."""
    return column.endswith(f":{name}", autoescape=True) & (column != heir)
