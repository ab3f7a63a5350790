import logging
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.relay import MAXIMUM_LINE_LENGTH, MAXIMUM_LINES, LogRelay

EXAMPLES = settings(deadline=None, derandomize=True, database=None)


class Listener(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _relay() -> tuple[LogRelay, Listener]:
    listener = Listener()
    logger = logging.Logger("relay", level=logging.INFO)  # noqa: LOG001 - one of its own, known to nobody else
    logger.addHandler(listener)
    return LogRelay(logger), listener


@pytest.fixture
def relayed() -> tuple[LogRelay, Listener]:
    return _relay()


def test_whole_lines_are_passed_on_and_the_rest_waits(relayed: tuple[LogRelay, Listener]) -> None:
    relay, listener = relayed
    relay.say("collected 2 it")
    assert listener.lines == []

    relay.say("ems\n\ntests/test_a.py .")
    assert listener.lines == ["collected 2 items", ""]

    relay.end("Succeeded in 0.1 s")
    assert listener.lines == ["collected 2 items", "", "tests/test_a.py .", "Succeeded in 0.1 s"]


def test_what_looks_like_a_format_is_not_one(relayed: tuple[LogRelay, Listener]) -> None:
    relay, listener = relayed
    relay.say("100%s of %d %(name)s {0}\n")
    relay.end("%s")

    assert listener.lines == ["100%s of %d %(name)s {0}", "%s"]


def test_a_long_line_is_cut(relayed: tuple[LogRelay, Listener]) -> None:
    relay, listener = relayed
    relay.say("x" * 5_000 + "\n")

    assert listener.lines == ["x" * MAXIMUM_LINE_LENGTH]


def test_a_line_that_never_ends_is_not_kept(relayed: tuple[LogRelay, Listener]) -> None:
    relay, listener = relayed
    for _ in range(100):
        relay.say("." * 1_000)
    relay.end("Succeeded")

    assert listener.lines == ["." * MAXIMUM_LINE_LENGTH, "Succeeded"]


def test_after_many_lines_it_says_once_that_there_are_more(relayed: tuple[LogRelay, Listener]) -> None:
    relay, listener = relayed
    for number in range(3 * MAXIMUM_LINES):
        relay.say(f"{number}\n")
    relay.say("the rest")
    relay.end("1 failed")

    assert listener.lines[:MAXIMUM_LINES] == [str(number) for number in range(MAXIMUM_LINES)]
    assert listener.lines[MAXIMUM_LINES:] == ["the log goes on; the run's page shows the rest", "1 failed"]


@EXAMPLES
@given(st.text("ab\n", max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_however_the_text_is_cut_the_lines_are_the_same(text: str, cuts: list[int]) -> None:
    relay, listener = _relay()
    bounds = [0, *sorted(cuts), len(text)]
    for begin, end in pairwise(bounds):
        relay.say(text[begin:end])
    relay.end("done")

    lines = text.split("\n")
    assert listener.lines == [*(lines if lines[-1] else lines[:-1]), "done"]
