"""Resource limits of a process that has just been started."""

import platform
import resource
from functools import cache

_COUNTS_PER_NAMESPACE = (5, 14)


def lower_limit(pid: int, kind: int, value: int) -> None:
    """Bring one limit of a process and its later children down to `value`; an already lower one stays.

    `kind` is one of `resource.RLIMIT_*`. Only Linux can do this from outside the process; elsewhere nothing happens.
    """
    if not hasattr(resource, "prlimit"):
        return
    try:
        _, hard = resource.prlimit(pid, kind)
        if hard == resource.RLIM_INFINITY or hard > value:
            resource.prlimit(pid, kind, (value, value))
    except (ProcessLookupError, PermissionError):
        # It has ended, or it runs as another user through a set-user-id program and is out of reach.
        return


@cache
def counts_processes_per_namespace() -> bool:
    """Tell whether this kernel counts processes of a user namespace apart from its owner's other ones."""
    parts = platform.release().split(".")
    number = tuple(int(part) for part in parts[:2] if part.isdigit())
    return platform.system() == "Linux" and number >= _COUNTS_PER_NAMESPACE
