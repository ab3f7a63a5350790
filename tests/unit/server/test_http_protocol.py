import h11
from hypothesis import given
from hypothesis import strategies as st

from contexten.server.http_protocol import MOST_HEAD_BYTES, _StrictConnection

PIECES = [
    b"GET / HTTP/1.1\r\n",
    b"POST /github/events HTTP/1.1\r\n",
    b"POST / HTTP/1.0\r\n",
    b"Host: x\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 3, 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"Connection: close\r\n",
    b" folded\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"abc",
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=12))
def test_no_bytes_raise_anything_but_what_becomes_a_refusal(pieces: list[bytes]) -> None:
    connection = _StrictConnection(h11.SERVER, MOST_HEAD_BYTES)
    lengths, codings = 0, 0
    try:
        for piece in pieces:
            connection.receive_data(piece) if piece else None
            while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.Request):
                    names = [name for name, _ in event.headers]
                    lengths, codings = names.count(b"content-length"), names.count(b"transfer-encoding")
    except h11.RemoteProtocolError:
        assert connection.fault is not None
        assert 400 <= connection.fault.status < 600
    assert lengths + codings <= 1 or connection.fault is not None
