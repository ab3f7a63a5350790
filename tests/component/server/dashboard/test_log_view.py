from contexten.server.dashboard.log import view_log
from contexten_core.learning.failure import explain_failure

NUMBERED = "".join(f"line {number}\n" for number in range(1, 101))


def texts(log: str) -> list[str]:
    return [line.text for line in view_log(log).lines]


def test_colours_are_gone_and_a_redrawn_line_is_as_last_drawn() -> None:
    assert texts("\x1b[31mred\x1b[0m\n10 %\r50 %\r100 %\r\n\tindented\n") == ["red", "100 %", "\tindented"]


def test_no_line_break_at_the_end_is_no_line_less() -> None:
    assert texts("one\ntwo") == texts("one\ntwo\n") == ["one", "two"]
    assert texts("") == []


def test_a_line_is_cut_where_nobody_would_read_on() -> None:
    assert texts("x" * 5_000) == ["x" * 1_999 + "…"]


def test_lines_are_numbered_as_the_explanation_of_the_failure_numbers_them() -> None:
    log = "\x1b[1mcollected\x1b[0m\n\nE   boom\nFAILED tests/test_a.py::test_b - boom\n"
    failure = explain_failure(log, exit_code=1, ended="exited")
    view = view_log(log, {"line": failure.line, "cause": failure.cause})
    assert view.failing == failure.line == 4
    assert [line.number for line in view.lines if line.telling] == [4]


def test_every_line_of_the_cause_is_marked() -> None:
    view = view_log(NUMBERED, {"line": 12, "cause": "line 12\nline 13"})
    assert [line.number for line in view.lines if line.telling] == [12, 13]


def test_of_a_long_log_the_end_is_shown() -> None:
    view = view_log(NUMBERED, limit=10)
    assert (view.lines[0].number, view.lines[-1].number, view.total, view.is_whole) == (91, 100, 100, False)


def test_of_a_long_log_that_failed_early_the_failure_is_shown() -> None:
    view = view_log(NUMBERED, {"line": 3, "cause": "line 3"}, limit=10)
    assert [line.number for line in view.lines if line.telling] == [3]
    assert len(view.lines) == 10
    assert view_log(NUMBERED, {"line": 90, "cause": ""}, limit=10).lines[0].number == 81


def test_a_line_that_the_log_does_not_have_is_no_failing_line() -> None:
    for line in (0, 101, None, "3"):
        assert view_log(NUMBERED, {"line": line}).failing is None
