"""The same failure is recognised wherever and whenever it happens again."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexten_core.learning import fingerprint as module
from contexten_core.learning.failure import Failure, FailureKind, explain_failure
from contexten_core.learning.fingerprint import fingerprint, normalise


def digest(output: str) -> str:
    return fingerprint(explain_failure(output, exit_code=1, ended="exited")).digest


def failed(test: str, *, message: str = "assert 3 == 4", seconds: str = "0.12") -> str:
    return f"E       {message}\nFAILED {test} - {message}\n==== 1 failed in {seconds}s ====\n"


@pytest.mark.parametrize(
    ("once", "again"),
    [
        pytest.param(
            failed("tests/test_calc.py::test_adds"),
            "rootdir: /tmp/other\n" + failed("tests/test_calc.py::test_adds", message="took 9s", seconds="31.50"),
            id="time-and-message",
        ),
        pytest.param(
            failed("/srv/checkout-1/test_calc.py::test_adds"),
            failed("/home/ci/b/test_calc.py::test_adds"),
            id="checkout-folder-of-a-test",
        ),
        pytest.param(
            "FAILED a.py::test_x\nFAILED a.py::test_y\n",
            "FAILED a.py::test_y\nFAILED a.py::test_x\n",
            id="order-of-tests",
        ),
        pytest.param("rspec ./calc_spec.rb:5 # adds", "rspec ./calc_spec.rb:77 # adds", id="line-of-a-test"),
        pytest.param(
            "/tmp/tmpab12cd34/co/src/calc.c:3:5: error: expected ';'",
            "2026-07-30T10:39:20.7140484Z \x1b[1m/home/ci/project/src/calc.c:41:17: error: expected ';'",
            id="checkout-folder-and-line",
        ),
        pytest.param(
            "error: commit 050ce9e1226b95d6b5938bdd5e245491f7219fd8 took 3.1 s on port 41327",
            "error: commit 1bdd5e245491f7219fd8050ce9e1226b95d6b593 took 950ms on port 8080",
            id="commit-duration-port",
        ),
        pytest.param(
            "error: no calc 1.2.3 at 0x7f00aa12 on 2026-01-02 03:04:05",
            "error: no calc 1.3.0 at 0x7f11bb34 on 2026-11-12 13:14:15",
            id="version-address-date",
        ),
    ],
)
def test_the_same_failure(once: str, again: str) -> None:
    assert digest(once) == digest(again)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (failed("tests/test_calc.py::test_adds"), failed("tests/test_calc.py::test_takes")),
        (failed("tests/test_calc.py::test_adds[1]"), failed("tests/test_calc.py::test_adds[2]")),
        (failed("tests/unit/test_calc.py::test_adds"), failed("tests/e2e/test_calc.py::test_adds")),
        ("error TS2322: wrong type", "error TS2345: wrong type"),
        ("error: exit code 1", "error: exit code 137"),
        ("ModuleNotFoundError: No module named 'yaml'", "ModuleNotFoundError: No module named 'toml'"),
    ],
)
def test_different_failures(one: str, other: str) -> None:
    assert digest(one) != digest(other)


def test_the_scheme_is_part_of_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest("error: no")

    monkeypatch.setattr(module, "FINGERPRINT_VERSION", module.FINGERPRINT_VERSION + 1)

    assert digest("error: no") != before
    assert len(before) == 32


def test_the_title_is_the_headline() -> None:
    failure = explain_failure(failed("tests/test_calc.py::test_adds"), exit_code=1, ended="exited")

    mark = fingerprint(failure)

    assert mark.title == "1 test failed: tests/test_calc.py::test_adds"
    assert mark.normalised == "FAILED tests/test_calc.py::test_adds - assert <n> == <n>"


def test_a_failure_without_its_cause_is_known_by_its_headline() -> None:
    failure = Failure(headline="Failed: 3 times", excerpt="", failed_tests=(), kind=FailureKind.UNKNOWN, line=None)

    assert fingerprint(failure).normalised == "Failed: <n> times"
    assert fingerprint(dataclasses.replace(failure, kind=FailureKind.CRASH)).digest != fingerprint(failure).digest


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("\x1b[31merror\x1b[0m:   two", "error: two"),
        ("at 2026-07-30T10:39:20.714Z", "at <time>"),
        ("Mon, 02 Jan 2006 15:04:05 GMT: gone", "<time>: gone"),
        ("Jan  2 15:04:05 host died", "<time> host died"),
        ("took 1m 3s (0:01:03)", "took <duration> (<time>)"),
        ("took 12 seconds, used 4.39 GiB", "took <duration>, used <size>"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id <id>"),
        ("sha256:9f86d081884c7d65 and Foo@1b2c3d4e", "<id> and Foo@<id>"),
        ("cannot read /tmp/tmpab12cd34/x/calc.py", "cannot read <path>/calc.py"),
        ("rootdir: /home/ci/co-a1", "rootdir: <path>"),
        ("../../other/calc.py failed", "<path>/calc.py failed"),
        (r"C:\Users\ci\calc.cs(12,5): error CS0103", "<path>/calc.cs(<n>): error CS0103"),
        ("src/calc.py:12:5: bad", "src/calc.py:<n>:<n>: bad"),
        ("/usr/bin/mvn: not found", "/usr/bin/mvn: not found"),
        ("GET https://example.com/a/b returned HTTP 404", "GET https://example.com/a/b returned HTTP 404"),
        ("calc 1.2.3-SNAPSHOT on Python 3.12", "calc <n>-SNAPSHOT on Python <n>"),
        ("connect 127.0.0.1:54321", "connect <n>:<n>"),
        ("utf8 and sha1 stay words", "utf8 and sha1 stay words"),
    ],
)
def test_what_varies_is_replaced(text: str, normal: str) -> None:
    assert normalise(text) == normal


@given(st.text() | st.text(alphabet="0123456789abcdef:/.-x Tt<>ms@\n"))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise(text)

    assert normalise(once) == once
