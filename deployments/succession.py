"""One worker after the other: by the name that its supervisor gives them all, the next one knows whom it succeeds."""

import os
from secrets import token_hex

WORKER_NAME_VARIABLE = "CONTEXTEN_WORKER_NAME"


def new_worker_name() -> str:
    """Return a name for the workers of one supervisor, of which no two run at the same time."""
    return token_hex(8)


def worker_name() -> str | None:
    """Return, once, the name that this worker was given; one that was started by hand has none."""
    return os.environ.pop(WORKER_NAME_VARIABLE, None)
