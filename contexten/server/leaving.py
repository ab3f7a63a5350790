"""Whether this process was told to end: it answers what comes, but nothing more should be sent to it."""

from fastapi import FastAPI


def set_leaving(app: FastAPI, *, leaving: bool) -> None:
    """Have readiness say from now on whether this process ends."""
    app.state.is_leaving = leaving


def is_leaving(app: FastAPI) -> bool:
    return bool(getattr(app.state, "is_leaving", False))
