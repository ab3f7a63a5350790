"""Ports for the servers of a stack, kept from other stacks of this machine until the servers listen."""

import socket
import sys

from contexten_core.errors import StackError
from deployments.supervisor import free_port

_TRIES = 20


class Ports:
    """Free ports, each claimed until `close`, so that stacks that start together do not choose the same.

    A server listens seconds after its port was chosen. The claim is a name in Linux's abstract socket namespace, which
    belongs to the same network namespace as the port and vanishes with this process; elsewhere there is none.
    """

    def __init__(self) -> None:
        self._claims: list[socket.socket] = []

    def take(self, preferred: int, host: str = "127.0.0.1") -> int:
        """Return the preferred port when nobody has it, otherwise one that the system chooses.

        Raises:
            StackError: nothing can listen on that host.
        """
        for wanted in (preferred, *[0] * _TRIES):
            port = free_port(wanted, host)
            if self._claim(port):
                return port
        raise StackError(f"No port on {host} is free", hint="End some of the stacks that run on this machine.")

    def close(self) -> None:
        """Give up the claims."""
        while self._claims:
            self._claims.pop().close()

    def _claim(self, port: int) -> bool:
        if sys.platform != "linux":
            return True
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0contexten-port-{port}")
        except OSError:
            claim.close()
            return False
        self._claims.append(claim)
        return True
