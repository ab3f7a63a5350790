# ruff: noqa: RUF001  (runners print these very characters)
"""Each runner names its failing tests in its own way."""

import pytest

from contexten_core.learning.failure import FailureKind, explain_failure

PYTEST = """\
tests/test_calc.py::test_adds FAILED                                     [ 50%]
=================================== FAILURES ===================================
__________________________________ test_adds ___________________________________
    def test_adds():
>       assert add(1, 2) == 3
E       assert -1 == 3
tests/test_calc.py:5: AssertionError
=========================== short test summary info ============================
FAILED tests/test_calc.py::test_adds - assert -1 == 3
FAILED tests/test_calc.py::test_adds[a - b] - assert [1] == [2]
FAILED [0.0021s] tests/test_calc.py::TestCalc::test_slow
ERROR tests/test_io.py::test_reads - OSError: gone
ERROR tests/test_broken.py - ModuleNotFoundError: No module named 'yaml'
========================= 3 failed, 2 errors in 0.12s ==========================
"""

XDIST = """\
[gw0] [ 50%] PASSED tests/test_calc.py::test_adds
[gw1] [100%] FAILED tests/test_calc.py::test_takes
"""

UNITTEST = """\
F.E
======================================================================
FAIL: test_adds (tests.test_calc.CalcTest.test_adds)
----------------------------------------------------------------------
AssertionError: -1 != 3
======================================================================
ERROR: test_takes (tests.test_calc.CalcTest)
======================================================================
ERROR: test_broken (unittest.loader._FailedTest.test_broken)
----------------------------------------------------------------------
FAILED (failures=1, errors=2)
"""

JEST = """\
FAIL src/calc.test.js (5.2 s)
  Calculator
    ✕ adds numbers (5 ms)

  ● Calculator › adds numbers

    expect(received).toBe(expected)

  ● Console

    console.log
PASS src/other.test.js
FAIL src/broken.test.js
  ● Test suite failed to run
Tests:       1 failed, 3 passed, 4 total
"""

VITEST = """\
 ❯ src/calc.test.ts (2 tests | 1 failed) 5ms
   × Calculator > adds 4ms
⎯⎯⎯⎯⎯⎯⎯ Failed Tests 1 ⎯⎯⎯⎯⎯⎯⎯
 FAIL  src/calc.test.ts > Calculator > adds
AssertionError: expected -1 to be 3
 Test Files  1 failed (1)
      Tests  1 failed | 1 passed (2)
"""

MOCHA = """\
  Calculator
    1) adds numbers
  1 passing (5ms)
  2 failing

  1) Calculator
       adds numbers:
     AssertionError: expected -1 to equal 3

  2) takes:
     Error: no
"""

NODE = """\
✖ adds (1.2ms)
ℹ fail 1
✖ failing tests:
test at calc.test.js:3:1
✖ adds (1.2ms)
"""

GO = """\
=== RUN   TestAdd
--- FAIL: TestAdd (0.00s)
    --- FAIL: TestAdd/negative (0.00s)
        calc_test.go:12: expected 3, got -1
FAIL
FAIL\texample.com/calc\t0.003s
--- FAIL: TestAdd (0.00s)
FAIL
FAIL\texample.com/other\t0.003s
"""

CARGO = """\
running 2 tests
test tests::takes ... ok
test tests::adds ... FAILED

---- tests::adds stdout ----
thread 'tests::adds' panicked at src/lib.rs:10:9:
test result: FAILED. 1 passed; 1 failed; 0 ignored
error: test failed, to rerun pass `--lib`
"""

SUREFIRE = """\
[ERROR] Tests run: 5, Failures: 1, Errors: 1, Skipped: 0, Time elapsed: 0.05 s <<< FAILURE! - in com.acme.CalcTest
[ERROR] testAdds(com.acme.CalcTest)  Time elapsed: 0.01 s  <<< FAILURE!
[ERROR] com.acme.CalcTest.reads(String, int)[2]  Time elapsed: 0.01 s  <<< ERROR!
[ERROR] com.acme.CalcTest.divides -- Time elapsed: 0.01 s <<< ERROR!
[ERROR] Failures:
[ERROR]   CalcTest.testAdds:12 expected:<3> but was:<-1>
[ERROR] Tests run: 5, Failures: 1, Errors: 2, Skipped: 0
"""

SUREFIRE_SUMMARY_ALONE = """\
Results :
Failed tests:   testAdds(com.acme.CalcTest): expected:<3> but was:<-1>
  CalcTest.testTakes:14 expected:<1> but was:<2>
Tests in error:
  testDivides(com.acme.CalcTest)
Tests run: 5, Failures: 2, Errors: 1, Skipped: 0
  CalcTest.testPasses:20 is not a failure
"""

PHPUNIT = """\
There was 1 failure:

1) Tests\\CalcTest::testAdds
Failed asserting that -1 is identical to 3.
--
There was 1 risky test:

1) Tests\\CalcTest::testNothing
FAILURES!
Tests: 2, Assertions: 1, Failures: 1, Risky: 1.
"""

PLAYWRIGHT = "  1) [chromium] › calc.spec.ts:3:1 › adds ──────────\n  1 failed\n"

RSPEC = """\
2 examples, 1 failure

Failed examples:

rspec ./spec/calc_spec.rb:5 # Calculator adds
"""

GOOGLETEST = """\
[ RUN      ] Calc.Adds
[  FAILED  ] Calc.Adds (0 ms)
[  FAILED  ] 1 test, listed below:
[  FAILED  ] Calc.Adds
"""

TAP = """\
ok 1 - takes
not ok 2 - adds
not ok 3 - divides # TODO later
"""


@pytest.mark.parametrize(
    ("output", "names"),
    [
        pytest.param(
            PYTEST,
            [
                "tests/test_calc.py::test_adds",
                "tests/test_calc.py::test_adds[a - b]",
                "tests/test_calc.py::TestCalc::test_slow",
                "tests/test_io.py::test_reads",
                "tests/test_broken.py",
            ],
            id="pytest",
        ),
        pytest.param(XDIST, ["tests/test_calc.py::test_takes"], id="pytest-xdist"),
        pytest.param(
            UNITTEST,
            ["tests.test_calc.CalcTest.test_adds", "tests.test_calc.CalcTest.test_takes", "test_broken"],
            id="unittest",
        ),
        pytest.param(JEST, ["src/calc.test.js › Calculator › adds numbers", "src/broken.test.js"], id="jest"),
        pytest.param(VITEST, ["src/calc.test.ts > Calculator > adds"], id="vitest"),
        pytest.param(MOCHA, ["Calculator adds numbers", "takes"], id="mocha"),
        pytest.param(NODE, ["adds"], id="node"),
        pytest.param(PLAYWRIGHT, ["[chromium] › calc.spec.ts:3:1 › adds"], id="playwright"),
        pytest.param(GO, ["example.com/calc.TestAdd/negative", "example.com/other.TestAdd"], id="go"),
        pytest.param(CARGO, ["tests::adds"], id="cargo"),
        pytest.param("        FAIL [   0.003s] calc tests::adds\n", ["calc tests::adds"], id="nextest"),
        pytest.param(
            SUREFIRE,
            ["com.acme.CalcTest.testAdds", "com.acme.CalcTest.reads(String, int)[2]", "com.acme.CalcTest.divides"],
            id="surefire",
        ),
        pytest.param(
            SUREFIRE_SUMMARY_ALONE,
            ["com.acme.CalcTest.testAdds", "CalcTest.testTakes", "com.acme.CalcTest.testDivides"],
            id="surefire-summary",
        ),
        pytest.param("CalcTest > adds() FAILED\n> Task :test FAILED\n", ["CalcTest > adds()"], id="gradle"),
        pytest.param("Failures (1):\n  JUnit Jupiter:CalcTest:adds()\n", ["CalcTest:adds()"], id="junit"),
        pytest.param(RSPEC, ["./spec/calc_spec.rb:5 # Calculator adds"], id="rspec"),
        pytest.param("Failure:\nCalcTest#test_adds [test/calc_test.rb:5]:\n", ["CalcTest#test_adds"], id="minitest"),
        pytest.param(PHPUNIT, ["Tests\\CalcTest::testAdds"], id="phpunit"),
        pytest.param("  1) test adds (CalcTest)\n", ["test adds (CalcTest)"], id="exunit"),
        pytest.param(GOOGLETEST, ["Calc.Adds"], id="googletest"),
        pytest.param("The following tests FAILED:\n\t  3 - adds (Failed)\n", ["adds"], id="ctest"),
        pytest.param("  Failed Acme.CalcTest.Adds [5 ms]\n", ["Acme.CalcTest.Adds"], id="dotnet"),
        pytest.param(
            "Test Case '-[Acme.CalcTest testAdds]' failed (0.1 s).\n", ["Acme.CalcTest testAdds"], id="xctest"
        ),
        pytest.param(TAP, ["adds"], id="tap"),
    ],
)
def test_names_of_failing_tests(output: str, names: list[str]) -> None:
    failure = explain_failure(output, exit_code=1, ended="exited")

    assert list(failure.failed_tests) == names
    assert failure.kind is FailureKind.TEST
    assert names[0] in failure.headline


@pytest.mark.parametrize(
    "line",
    [
        "ERROR    root:test_calc.py:5 logged by a passing test",
        "FAILED: src/calc.o",
        "  ● Build finished",
        "  1) first choose a colour",
        "> Task :test FAILED",
        "JUnit Jupiter:CalcTest:adds()",
        "not ok 3 - divides # SKIP no windows",
    ],
)
def test_lines_that_only_look_like_a_failing_test(line: str) -> None:
    assert explain_failure(line, exit_code=1, ended="exited").failed_tests == ()


def test_no_more_than_two_hundred_names_are_kept() -> None:
    output = "".join(f"FAILED tests/test_calc.py::test_{number}\n" for number in range(1_000))

    failure = explain_failure(output, exit_code=1, ended="exited")

    assert len(failure.failed_tests) == 200
    assert failure.headline == "200+ tests failed: tests/test_calc.py::test_0 and 199+ more"
