"""`python -m contexten.contexten_app` serves the whole system."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.programs import Program, assert_home_is_free
from tests.functional.stacks import Household, ServedStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("e2e")]


@pytest.mark.parametrize("kind", ["sqlite", "embedded"])
def test_it_serves_until_sigterm(
    make_stack: Callable[..., ServedStack], household: Household, tmp_path: Path, kind: str
) -> None:
    settings = {"DB_USE_SQLITE": "true", "DB_SQLITE_PATH": str(tmp_path / "x.db")} if kind == "sqlite" else {}
    stack = make_stack(**settings)
    program = Program(stack, [sys.executable, "-m", "contexten.contexten_app"])
    with program.running():
        assert program.health()["status"] == "healthy"
        program.deliver_ping_and_wait()
        assert program.end() == 0, program.said()
    assert_home_is_free(stack, household)
