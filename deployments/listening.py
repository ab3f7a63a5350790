"""The socket that webhooks, API and pages come in by, which outlives the web processes that serve it.

The supervisor of a stack listens and hands the socket on: a web process that is replaced, or has died, leaves its
connections waiting for the next one instead of having them refused.
"""

import os
import socket

from contexten_core.errors import StackError

LISTEN_FD_VARIABLE = "CONTEXTEN_LISTEN_FD"

_BACKLOG = 2048


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Listen on an address.

    Args:
        shared: let other processes that say the same listen there too; the system spreads connections over them.

    Raises:
        StackError: the address is taken or not this machine's.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=shared)
    except OSError as error:
        raise StackError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="set API_PORT to a free port, or API_HOST to an address of this machine",
        ) from error


def handed_socket() -> socket.socket | None:
    """Return the socket that the supervisor handed to this process, once; None when it handed none."""
    descriptor = os.environ.pop(LISTEN_FD_VARIABLE, None)
    if descriptor is None:
        return None
    listener = socket.socket(fileno=int(descriptor))
    listener.set_inheritable(False)
    return listener
