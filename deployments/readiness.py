"""How a child tells its supervisor that it is ready: one line of JSON on an inherited pipe."""

import json
import os
from collections.abc import Mapping
from typing import Any

READY_FD_VARIABLE = "CONTEXTEN_READY_FD"


def report_ready(message: Mapping[str, Any] | None = None) -> bool:
    """Tell the supervisor, once, that this process is ready; called in the child.

    Closes the pipe and removes its variable from the environment, so that grandchildren do not inherit it.

    Args:
        message: what the supervisor should know, such as the address listened on.

    Returns:
        False when no supervisor waits: this process was started by hand, has reported before, or is orphaned.
    """
    descriptor = os.environ.pop(READY_FD_VARIABLE, None)
    if descriptor is None:
        return False
    try:
        with os.fdopen(int(descriptor), "wb") as pipe:
            pipe.write(json.dumps(dict(message or {})).encode() + b"\n")
    except BrokenPipeError:
        return False
    return True
