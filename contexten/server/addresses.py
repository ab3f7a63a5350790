"""Whose request it is: the socket's peer, or whom a proxy that we trust names."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from contexten_core.settings.ingress import Network

Address = IPv4Address | IPv6Address

_MOST_PROXIES = 32
_SITE_PREFIX = 64


def client_address(peer: str | None, forwarded: Sequence[str], *, trusted: Sequence[Network]) -> Address | None:
    """Return the address that a request comes from; None when its peer has none, as on a Unix socket.

    Args:
        peer: the other end of the socket.
        forwarded: the `X-Forwarded-For` headers, in their order. Believed from a trusted peer only, from the right, as
            far as each address is a trusted proxy's. With anything else than addresses among them the peer counts.
        trusted: the networks of our own proxies.
    """
    nearest = read_address(peer or "")
    if nearest is None or not is_within(nearest, trusted):
        return nearest
    found = nearest
    for text in reversed(",".join(forwarded).rsplit(",", _MOST_PROXIES)[-_MOST_PROXIES:] if forwarded else []):
        address = read_address(_without_port(text.strip()))
        if address is None:
            return nearest
        found = address
        if not is_within(address, trusted):
            return found
    return found


def read_address(text: str) -> Address | None:
    """Return an address, an IPv4 one also where IPv6 wraps it; None for what is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def limited_as(address: Address | None) -> str:
    """Return what requests are counted under: an IPv6 sender has a whole /64 to send from."""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, _SITE_PREFIX), strict=False))
    return str(address)


def _without_port(text: str) -> str:
    """Return the address in what some proxies write: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, _, port = text.partition(":")
    return host if port.isdecimal() and "." in host else text
