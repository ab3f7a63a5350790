"""What is kept of a command's output."""

from hypothesis import given
from hypothesis import strategies as st

from contexten_core.execution.output import BoundedOutput


def _filled(pieces: list[bytes], *, limit: int) -> BoundedOutput:
    output = BoundedOutput(limit=limit)
    for piece in pieces:
        output.add(piece)
    output.finish()
    return output


def test_a_character_may_come_in_two_pieces() -> None:
    output = BoundedOutput(limit=100)

    output.add("ü".encode()[:1])
    first = output.take_fresh()
    output.add("ü".encode()[1:])

    assert (first, output.take_fresh(), output.text()) == ("", "ü", "ü")


def test_what_a_database_refuses_is_replaced() -> None:
    output = _filled([b"a\x00b\xffc\x1b[31m\td\r\n\xe2\x82"], limit=100)

    assert output.text() == output.take_fresh() == "a�b�c\x1b[31m\td\r\n�"


def test_beginning_and_end_are_kept() -> None:
    output = _filled([b"0123456789", b"abcdefghij", b"klmnopqrst"], limit=10)

    assert output.text() == "01234\n... 20 bytes left out ...\npqrst"
    assert (output.total, output.truncated) == (30, True)


def test_exactly_the_limit_is_not_too_much() -> None:
    output = _filled([b"01234", b"56789"], limit=10)

    assert output.text() == output.take_fresh() == "0123456789"
    assert not output.truncated


def test_the_live_view_stops_at_the_limit_and_says_so_once() -> None:
    output = BoundedOutput(limit=10)
    live = ""
    for _ in range(100):
        output.add(b"abc")
        live += output.take_fresh()

    assert live.startswith("abcabcabca\n... more than 10 bytes")
    assert live.count("...") == 2


def test_nothing_may_be_kept_at_all() -> None:
    assert _filled([b"abc"], limit=0).text() == "\n... 3 bytes left out ...\n"


@given(st.lists(st.binary(max_size=50)), st.integers(0, 60))
def test_however_it_is_cut_into_pieces_the_text_is_the_same(pieces: list[bytes], limit: int) -> None:
    whole = b"".join(pieces)
    output, at_once = _filled(pieces, limit=limit), _filled([whole], limit=limit)

    assert output.text() == at_once.text()
    assert output.take_fresh() == at_once.take_fresh()
    assert output.total == len(whole)
    assert len(output._head) + len(output._tail) <= 2 * limit + 1


@given(st.binary(max_size=200))
def test_within_the_limit_nothing_is_lost(data: bytes) -> None:
    assert _filled([data], limit=200).text() == data.decode("utf-8", "replace").replace("\x00", "�")
