"""One running stack for all functional tests, with a GitHub to report to and three known repositories."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from tests.functional.stacks import (
    LARGEST_PAYLOAD,
    GitHubProgram,
    Household,
    Repositories,
    Runs,
    ServedStack,
    add_logs,
    starting_lock,
)

COMMAND = "python -m pytest -q"
_shared = ExitStack()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    add_logs(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """End the stack after the last functional test: a session's fixtures would keep it for all tests that follow."""
    yield
    if nextitem is None or not nextitem.path.is_relative_to(Path(__file__).parent):
        _shared.close()


@pytest.fixture(scope="session")
def github(tmp_path_factory: pytest.TempPathFactory) -> GitHubProgram:
    program = GitHubProgram(tmp_path_factory.mktemp("github"))
    _shared.callback(program.close)
    return program


@pytest.fixture(scope="session")
def stack(github: GitHubProgram, tmp_path_factory: pytest.TempPathFactory) -> ServedStack:
    household = Household()
    _shared.callback(household.close)
    stack = ServedStack(
        tmp_path_factory.mktemp("stack"),
        household=household,
        starting=starting_lock(tmp_path_factory.getbasetemp()),
        GITHUB_API_URL=github.url,
        MAX_PAYLOAD_BYTES=str(LARGEST_PAYLOAD),
    )
    _shared.callback(stack.discard)
    stack.start()
    assert not stack.has_ended, stack.explain()
    _shared.callback(_end, stack, household)
    return stack


def _end(stack: ServedStack, household: Household) -> None:
    assert stack.end() == 0, stack.explain()
    assert household.described() == []
    assert stack.state is None
    assert [*stack.account.rglob("*"), *stack.cwd.rglob("*"), *stack.temporary.rglob("*")] == []


@pytest.fixture(scope="session")
def repositories(stack: ServedStack, tmp_path_factory: pytest.TempPathFactory) -> Repositories:
    folder = tmp_path_factory.mktemp("repositories")
    made = make_demo_repositories(folder)
    found = Repositories(
        passing=replace(made.thermometer, full_name="octo/thermometer"),
        failing=replace(made.cashbox, full_name="octo/cashbox"),
        unreachable=replace(made.cashbox, full_name="octo/gone", path=folder / "gone.git"),
    )

    def add(repository: DemoRepository) -> Any:
        where = ("--clone-url", str(repository.path))
        return stack.contexten("projects", "add", repository.full_name, "--command", COMMAND, *where, "--json").json

    with ThreadPoolExecutor() as pool:
        added = list(pool.map(add, (found.passing, found.failing, found.unreachable)))
    assert [entry["repository"] for entry in added] == ["octo/thermometer", "octo/cashbox", "octo/gone"]
    return found


@pytest.fixture(scope="session")
def runs(stack: ServedStack, repositories: Repositories) -> Runs:
    events = (
        stack.pull_request(repositories.passing, 12, "synchronize"),
        stack.push(repositories.failing),
        stack.push(repositories.unreachable),
    )
    return Runs(*(stack.handled(event) for event in events))
