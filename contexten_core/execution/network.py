"""Which hosts a sandboxed command may reach."""

from collections.abc import Iterable
from dataclasses import dataclass

PORTS = frozenset({80, 443})


@dataclass(frozen=True, slots=True)
class NetworkAccess:
    """What a command may reach over the network, through our proxy; by default nothing.

    Attributes:
        hosts: names such as `pypi.org`, or `*.pythonhosted.org` for every name that ends so.
        connections: how many it may have at once.
        total_bytes: how much may pass in both directions together.
        seconds: how long one connection may last.
        idle_seconds: how long nothing may pass on one.
    """

    hosts: tuple[str, ...] = ()
    connections: int = 64
    total_bytes: int = 4 * 1024**3
    seconds: float = 900
    idle_seconds: float = 60

    def allows(self, host: str, port: int) -> bool:
        """Tell whether a host may be asked for; where its name leads is another question."""
        return port in PORTS and any(_matches(normal_host(host), pattern) for pattern in normal_hosts(self.hosts))


NO_NETWORK = NetworkAccess()


def normal_host(host: str) -> str:
    """Return a name in the form in which names are compared."""
    return host.lower().removesuffix(".")


def normal_hosts(hosts: Iterable[str]) -> list[str]:
    return [normal_host(host) for host in hosts]


def _matches(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern
