"""Why a command failed, read from its log."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.learning.failure import Failure, FailureKind, explain_failure


def explain(output: str, *, exit_code: int | None = 1, ended: str = "exited") -> Failure:
    return explain_failure(output, exit_code=exit_code, ended=ended)


def test_one_failing_test_is_the_headline() -> None:
    failure = explain(
        ">       assert add(1, 2) == 3\n"
        "E       assert -1 == 3\n"
        "=========================== short test summary info ============================\n"
        "FAILED tests/test_calc.py::test_adds - assert -1 == 3\n"
        "========================= 1 failed, 7 passed in 0.12s ==========================\n"
    )

    assert failure.headline == "1 test failed: tests/test_calc.py::test_adds"
    assert failure.failed_tests == ("tests/test_calc.py::test_adds",)
    assert failure.kind is FailureKind.TEST
    assert failure.line == 4
    assert "E       assert -1 == 3" in failure.excerpt


def test_more_failing_tests_are_counted() -> None:
    failure = explain("FAILED a.py::test_x\nFAILED a.py::test_y\nFAILED a.py::test_x\n")

    assert failure.headline == "2 tests failed: a.py::test_x and 1 more"


def test_a_long_name_is_kept_whole_before_the_count_of_the_others() -> None:
    name = f"tests/{'deep/' * 18}test_calc.py::test_a"

    failure = explain(f"FAILED {name}\nFAILED other.py::test_b\n")

    assert failure.headline == f"2 tests failed: {name}"


@pytest.mark.parametrize(
    ("output", "kind", "told"),
    [
        ("src/calc.c:3:5: error: expected ';' before '}' token\nmake: *** [calc.o] Error 1", "compilation", "expected"),
        ("src/app.ts(3,5): error TS2322: Type 'x' is not assignable", "compilation", "TS2322"),
        (
            "error[E0308]: mismatched types\n --> src/lib.rs:3:5\nerror: could not compile `calc`",
            "compilation",
            "E0308",
        ),
        ("./calc.go:3:5: undefined: add", "compilation", "undefined: add"),
        (
            "  File 'calc.py', line 3\n    def (\n        ^\nSyntaxError: invalid syntax",
            "compilation",
            "invalid syntax",
        ),
        ("ModuleNotFoundError: No module named 'yaml'", "dependency", "yaml"),
        ("ERROR: Could not find a version that satisfies the requirement calc==9", "dependency", "calc==9"),
        ("npm error code ERESOLVE\nnpm error ERESOLVE could not resolve", "dependency", "ERESOLVE"),
        ("calc.py:3:1: F401 'os' imported but unused\nFound 1 error.", "lint", "F401"),
        (
            "calc.py:3: error: Incompatible return value type\nFound 1 error in 1 file (checked 2)",
            "lint",
            "Incompatible",
        ),
        ("a.c:3: warning: unused 'x'\ncc1: all warnings being treated as errors", "lint", "warnings being treated"),
        ("FAIL Required test coverage of 80% not reached. Total coverage: 71%", "policy", "coverage of 80%"),
        ("running\nSegmentation fault (core dumped)", "crash", "Segmentation fault"),
        ("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "crash", "heap"),
        ("cp: cannot create 'x': No space left on device", "environment", "No space left"),
        ("/bin/sh: 1: mvn: not found", "environment", "mvn"),
        ("curl: (6) Could not resolve host: example.com", "environment", "example.com"),
        ("##[error]The action 'Test' has timed out after 360 minutes.", "timeout", "360 minutes"),
        ("##[error]The operation was canceled.", "cancelled", "canceled"),
        ("Traceback (most recent call last):\n  File 'x.py', line 1\nValueError: too odd", "unknown", "too odd"),
    ],
)
def test_kinds_of_failure(output: str, kind: str, told: str) -> None:
    failure = explain(output)

    assert failure.kind == kind
    assert told in failure.headline
    assert told in failure.excerpt


def test_the_verdict_of_the_build_tool_outweighs_what_was_logged_on_the_way() -> None:
    failure = explain(
        "Connection refused, retrying\n"
        "[ERROR] COMPILATION ERROR : \n"
        "[ERROR] /build/src/main/java/Calc.java:[65,13] cannot find symbol\n"
        "  symbol:   method add(int)\n"
        "  location: class Calc\n"
        "[ERROR] Failed to execute goal org.apache.maven.plugins:maven-compiler-plugin:3.10.1:compile (default-compile)"
        " on project calc: Compilation failure\n"
        "[ERROR] Re-run Maven using the -X switch to enable full debug logging.\n"
    )

    assert failure.kind is FailureKind.COMPILATION
    assert failure.line == 3
    assert failure.cause.splitlines() == [
        "/build/src/main/java/Calc.java:[65,13] cannot find symbol",
        "symbol:   method add(int)",
        "location: class Calc",
    ]


@pytest.mark.parametrize(
    ("exit_code", "ended", "kind"),
    [
        (None, "timed_out", FailureKind.TIMEOUT),
        (None, "cancelled", FailureKind.CANCELLED),
        (-9, "exited", FailureKind.CRASH),
        (139, "exited", FailureKind.CRASH),
        (143, "exited", FailureKind.CANCELLED),
        (124, "exited", FailureKind.TIMEOUT),
        (127, "exited", FailureKind.ENVIRONMENT),
        (2, "in a way nobody foresaw", FailureKind.UNKNOWN),
    ],
)
def test_how_it_ended_says_what_the_log_does_not(exit_code: int | None, ended: str, kind: FailureKind) -> None:
    assert explain("working\n", exit_code=exit_code, ended=ended).kind is kind


def test_a_test_that_failed_before_the_time_ran_out_is_named() -> None:
    failure = explain("FAILED a.py::test_x\nFAILED a.py::test_y\n", exit_code=None, ended="timed_out")

    assert failure.headline == "Timed out; 2 tests failed: a.py::test_x and 1 more"


def test_without_any_sign_the_last_line_is_told() -> None:
    failure = explain("one\ntwo\n\n", exit_code=3)

    assert failure.headline == "Failed with exit code 3: two"
    assert failure.line == 2
    assert failure.excerpt == "one\ntwo"


def test_an_empty_log() -> None:
    assert explain("", exit_code=3) == Failure(
        headline="Failed with exit code 3", excerpt="", failed_tests=(), kind=FailureKind.UNKNOWN, line=None
    )


def test_colours_times_and_progress_bars_do_not_hide_the_line() -> None:
    failure = explain(
        "2026-07-30T10:39:20.7140484Z collecting 10%\rcollecting 100%\n"
        "2026-07-30T10:39:21.7140484Z \x1b[31mFAILED\x1b[0m tests/test_calc.py::\x1b[1mtest_adds\x1b[0m - assert\r\n"
    )

    assert failure.headline == "1 test failed: tests/test_calc.py::test_adds"
    assert failure.excerpt == "collecting 100%\nFAILED tests/test_calc.py::test_adds - assert"


def test_the_excerpt_is_bounded_and_shows_where_something_was_left_out() -> None:
    noise = "downloading a part\n" * 5_000

    failure = explain(f"{noise}error: the first\n{noise}FAILED a.py::test_x - boom\n{noise}")

    assert len(failure.excerpt) <= 4_000
    assert "FAILED a.py::test_x - boom" in failure.excerpt
    assert "error: the first" in failure.excerpt
    assert "\n…\n" in failure.excerpt


hostile_pieces = st.sampled_from(
    [
        "FAILED ",
        "ERROR ",
        "a.py::t",
        "[",
        "]",
        " - ",
        "\x1b[",
        "\x1b]0;",
        "\r",
        "\n",
        "\0",
        "\ud800",
        "  1 failing\n  1) ",
        "--- FAIL: T/x\n",
        "FAIL\tpackage\t0s\n",
        "FAIL a.test.js\n  ● ",
        "error",
        ": ",
        "/a/b",
        "aaaa",
        "9",
        "●",
        "Failed tests:\n  ",
    ]
)


@given(
    st.lists(st.text() | hostile_pieces, max_size=40).map("".join),
    st.none() | st.integers(-300, 300),
    st.sampled_from(["exited", "timed_out", "cancelled", ""]),
)
def test_any_text_is_explained(output: str, exit_code: int | None, ended: str) -> None:
    failure = explain_failure(output, exit_code=exit_code, ended=ended)

    assert 0 < len(failure.headline) <= 140
    assert "\n" not in failure.headline
    assert len(failure.excerpt) <= 4_000
    assert len(failure.failed_tests) <= 200
    assert failure.line is None or 1 <= failure.line <= output.count("\n") + 1
    "".join((failure.headline, failure.excerpt, failure.cause, *failure.failed_tests)).encode()
    assert "\0" not in failure.excerpt + failure.cause


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8) | hostile_pieces, min_size=1, max_size=4).map("".join))
def test_a_megabyte_of_anything_is_read_in_linear_time(unit: str) -> None:
    output = unit * (1_000_000 // len(unit))

    started = time.process_time()
    explain(output)

    assert time.process_time() - started < 10
