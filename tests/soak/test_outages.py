"""The long forms of tests/e2e/test_worker_kills.py, which run under `make soak` alone."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.e2e.conftest import household, make_stack  # noqa: F401 - fixtures
from tests.functional.stacks import GitHubProgram, Household, ServedStack
from tests.functional.test_two_workers import FurtherWorker
from tests.soak.outages import (
    COMMAND,
    Endurance,
    figures,
    killed_workers,
    prefect_away,
    restarted_database,
    stopped_worker,
)

pytestmark = [
    pytest.mark.stack,
    pytest.mark.xdist_group("e2e"),
    pytest.mark.skipif("CONTEXTEN_SOAK_SECONDS" not in os.environ, reason="takes an hour"),
]

KILLS = int(os.environ.get("CONTEXTEN_SOAK_KILLS", "200"))
STOPS = int(os.environ.get("CONTEXTEN_SOAK_STOPS", "50"))
EVENTS = int(os.environ.get("CONTEXTEN_SOAK_EVENTS", "1000"))
AWAY_SECONDS = float(os.environ.get("CONTEXTEN_SOAK_AWAY_SECONDS", "120"))
SEED = 8_150_031
RECOVERED_SECONDS, RECOVERED_SECONDS_MEAN = 30.0, 15.0
BACK_SECONDS = 60.0

MakeEndurance = Callable[..., Endurance]


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHubProgram]:
    with closing(GitHubProgram(tmp_path_factory.mktemp("github"))) as program:
        yield program


@pytest.fixture
def endure(
    github: GitHubProgram,
    household: Household,  # noqa: F811 - the fixture
    make_stack: Callable[..., ServedStack],  # noqa: F811 - the fixture
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MakeEndurance]:
    """Start a stack with settings of its own."""
    started: list[ServedStack] = []

    def start(*, command: str = COMMAND, **settings: str) -> Endurance:
        stack = make_stack(GITHUB_API_URL=github.url, DRAIN_SECONDS="1", **settings)
        started.append(stack)
        stack.start()
        assert not stack.has_ended, stack.explain()
        return Endurance(stack, github, tmp_path_factory.mktemp("repositories"), command=command)

    yield start
    for stack in started:
        assert stack.end() == 0, stack.explain()
    assert household.described() == []


def test_work_goes_on_soon_after_each_of_many_kills(endure: MakeEndurance) -> None:
    recovered = killed_workers(endure(), kills=KILLS, seed=SEED)
    print(f"work went on after a kill {figures(recovered)}")
    assert sum(recovered) / len(recovered) <= RECOVERED_SECONDS_MEAN
    assert max(recovered) <= RECOVERED_SECONDS


def test_workers_that_are_stopped_beyond_their_leases_write_nothing_more(
    endure: MakeEndurance, tmp_path_factory: pytest.TempPathFactory
) -> None:
    endurance = endure(LEASE_SECONDS="8", HEARTBEAT_SECONDS="1")
    other = FurtherWorker(endurance.stack, tmp_path_factory.mktemp("another-machine"))
    try:
        for _ in range(STOPS):
            stopped_worker(endurance, workers=[pid for pid in (endurance.pid("worker"), other.process.pid) if pid])
    finally:
        other.end()


def test_the_database_is_restarted_again_and_again(endure: MakeEndurance) -> None:
    chance = random.Random(SEED)
    restarts = [chance.uniform(5, 40) for _ in range(EVENTS)]
    restarted_database(endure(command="true"), events=EVENTS, restarts=restarts, pause=0.25)


def test_prefect_is_away_for_long(endure: MakeEndurance) -> None:
    endurance = endure(command="true")
    events, seconds = prefect_away(endurance, events=int(AWAY_SECONDS * 10), pause=0.1)
    print(f"all was done {seconds:.0f} s after Prefect's return")
    endurance.all_done_once(events, within=60 + len(events))
    assert seconds <= BACK_SECONDS
