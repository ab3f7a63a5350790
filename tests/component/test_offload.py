import asyncio
import os
from functools import partial

import pytest

from contexten_core.learning.failure import explain_failure
from contexten_core.offload import offload, offloading


def die() -> int:
    """End the process, unless it is the one of the tests."""
    if os.environ.get("PYTEST_CURRENT_TEST") and os.getpid() == int(os.environ[HOME_VARIABLE]):
        return -1
    os._exit(1)


HOME_VARIABLE = "CONTEXTEN_TEST_HOME_PROCESS"


async def test_long_calls_are_made_in_another_process_as_long_as_there_is_one() -> None:
    assert await offload(os.getpid) == os.getpid()
    async with offloading():
        elsewhere, failure = await asyncio.gather(
            offload(os.getpid), offload(partial(explain_failure, exit_code=1, ended="exited"), "E   AssertionError")
        )
        assert elsewhere != os.getpid()
    assert await offload(os.getpid) == os.getpid()
    assert failure == explain_failure("E   AssertionError", exit_code=1, ended="exited")


async def test_what_a_function_raises_comes_back() -> None:
    async with offloading():
        with pytest.raises(ZeroDivisionError):
            await offload(divmod, 1, 0)


async def test_a_call_whose_process_dies_is_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(os.getpid()))
    async with offloading():
        assert await offload(die) == -1
        assert await offload(os.getpid) != os.getpid()
