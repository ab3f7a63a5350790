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


class Hide:
    """Hides one word, however it is split."""

    def __init__(self, word: str) -> None:
        self._word = word
        self._held = ""

    def feed(self, text: str) -> str:
        text = (self._held + text).replace(self._word, "***")
        keep = max((n for n in range(len(self._word)) if text.endswith(self._word[:n])), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self) -> str:
        held, self._held = self._held, ""
        return held


SECRET = "canary-zyxwvuqpjk"


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 40), st.integers(1, 30))
def test_a_secret_is_hidden_wherever_pieces_and_limits_cut_it(before: int, after: int, limit: int, piece: int) -> None:
    data = ("a" * before + SECRET + "b" * after).encode()
    output = BoundedOutput(limit=limit, redact=Hide(SECRET))
    live = ""
    for start in range(0, len(data), piece):
        output.add(data[start : start + piece])
        live += output.take_fresh()
    output.finish()
    live += output.take_fresh()

    for shown in (live, output.text()):
        # Not even a part of it, but for a letter that the text around it has too.
        assert not any(SECRET[start : start + 3] in shown for start in range(len(SECRET) - 2))
    assert output.truncated == (len(data) > limit)


def test_output_without_secrets_is_the_same_with_and_without_a_redactor() -> None:
    for text in (b"", b"one\ntwo\n", b"0123456789abcdefghijklmnopqrst", b"\xc3\xbc" * 40):
        plain, redacted = BoundedOutput(limit=10), BoundedOutput(limit=10, redact=Hide(SECRET))
        for output in (plain, redacted):
            output.add(text)
            output.finish()

        assert redacted.total == plain.total
        if not plain.truncated:
            assert redacted.text() == plain.text() == redacted.take_fresh()


def test_a_flood_is_not_redacted_as_a_whole() -> None:
    class Count(Hide):
        seen = 0

        def feed(self, text: str) -> str:
            self.seen += len(text)
            return super().feed(text)

    redact = Count(SECRET)
    output = BoundedOutput(limit=1000, redact=redact)
    for _ in range(200):
        output.add(b"x" * 10_000)
    output.add(SECRET.encode())
    output.finish()

    assert redact.seen < 30_000
    assert output.text().endswith("x***")
