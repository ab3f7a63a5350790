"""Resource limits of a process that has just been started."""

import resource


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
