from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexten.server.addresses import client_address, limited_as
from contexten_core.settings.ingress import networks

PROXIES = networks(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7", "10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.3,10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["nonsense, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("fd00::1%eth0", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1, " * 100 + "10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1, " + "10.0.0.2, " * 100 + "10.0.0.3"], "10.0.0.2"),
    ],
)
def test_only_a_trusted_proxy_says_for_whom_it_speaks(peer: str, forwarded: list[str], found: str) -> None:
    assert client_address(peer, forwarded, trusted=PROXIES) == ip_address(found)


@pytest.mark.parametrize("peer", [None, "", "testclient", "/run/web.sock"])
def test_a_peer_without_an_address_is_nobody_whatever_it_says(peer: str | None) -> None:
    assert client_address(peer, ["198.51.100.7"], trusted=PROXIES) is None


@given(st.lists(st.text(max_size=40), max_size=5))
def test_nothing_in_the_header_raises(forwarded: list[str]) -> None:
    assert client_address("10.0.0.1", forwarded, trusted=PROXIES) is not None


def test_ipv6_senders_are_counted_by_their_network() -> None:
    assert limited_as(ip_address("2001:db8:1:2:aaaa::1")) == limited_as(ip_address("2001:db8:1:2::9"))
    assert limited_as(ip_address("2001:db8:1:2::1")) != limited_as(ip_address("2001:db8:1:3::1"))
    assert limited_as(ip_address("192.0.2.1")) != limited_as(ip_address("192.0.2.2"))
