"""Where names lead, and which of those places a command may reach."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_EMBEDDING = (
    # The well-known and the local-use prefix of translation, and the ones that tunnels put IPv4 into.
    ipaddress.IPv6Network("64:ff9b::/96"),
    ipaddress.IPv6Network("64:ff9b:1::/48"),
    ipaddress.IPv6Network("::/96"),
)
# Answers with credentials on some clouds, and looks like any public address.
_METADATA = frozenset(map(ipaddress.ip_address, ("168.63.129.16", "100.100.100.200", "fd00:ec2::254")))


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, the best one first.

    Raises:
        OSError: it has none.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Tell whether an address is one of the internet's: not of this machine, this network, or this cloud."""
    try:
        parsed: _Address = ipaddress.ip_address(address)
    except ValueError:
        # Such as one with a zone, which is of this network.
        return False
    candidates = [parsed]
    if isinstance(parsed, ipaddress.IPv6Address):
        tunnelled = [parsed.ipv4_mapped, parsed.sixtofour, *(parsed.teredo or ())]
        candidates += [inner for inner in tunnelled if inner is not None]
        candidates += [ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF) for network in _EMBEDDING if parsed in network]
    return all(_is_public(candidate) for candidate in candidates)


def _is_public(address: _Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in _METADATA
