"""Stacks that a test may start, end and kill as it likes."""

from collections.abc import Callable, Generator, Iterator

import pytest

from tests.functional.stacks import Household, ServedStack, add_logs, starting_lock


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    add_logs(report)
    return report


@pytest.fixture(scope="module")
def household() -> Iterator[Household]:
    """Everything that the tests of a module have started; nothing of it is left after them."""
    household = Household()
    yield household
    household.close()


@pytest.fixture(scope="module")
def make_stack(household: Household, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ServedStack]]:
    """Make stacks that have not been started, from their settings."""
    starting = starting_lock(tmp_path_factory.getbasetemp())
    made: list[ServedStack] = []

    def make(**settings: str) -> ServedStack:
        stack = ServedStack(tmp_path_factory.mktemp("stack"), household=household, starting=starting, **settings)
        made.append(stack)
        return stack

    yield make
    for stack in made:
        stack.discard()
