"""Nothing is lost and nothing happens twice when parts of a stack die, stand still or go away.

tests/soak/test_outages.py has the long forms.
"""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.functional.stacks import GitHubProgram, Household, ServedStack
from tests.functional.test_two_workers import FurtherWorker
from tests.soak.outages import Endurance, figures, killed_workers, prefect_away, restarted_database, stopped_worker

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("e2e")]

KILLS = 3
SEED = 8_150_030


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHubProgram]:
    with closing(GitHubProgram(tmp_path_factory.mktemp("github"))) as program:
        yield program


@pytest.fixture(scope="module")
def endurance(
    github: GitHubProgram,
    household: Household,
    make_stack: Callable[..., ServedStack],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Endurance]:
    """A stack whose worker is missed soon."""
    stack = make_stack(GITHUB_API_URL=github.url, LEASE_SECONDS="8", HEARTBEAT_SECONDS="1", DRAIN_SECONDS="1")
    stack.start()
    assert not stack.has_ended, stack.explain()
    yield Endurance(stack, github, tmp_path_factory.mktemp("repositories"))
    assert stack.end() == 0, stack.explain()
    assert household.described() == []


def test_a_worker_that_is_stopped_beyond_its_lease_writes_nothing_more(
    endurance: Endurance, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = FurtherWorker(endurance.stack, tmp_path_factory.mktemp("another-machine"))
    try:
        stopped_worker(endurance, workers=[pid for pid in (endurance.pid("worker"), other.process.pid) if pid])
    finally:
        other.end()


def test_the_database_is_restarted_in_the_midst(endurance: Endurance) -> None:
    restarted_database(endurance, events=10, restarts=[0.5], pause=0.1)


def test_prefect_is_away_for_a_while(endurance: Endurance) -> None:
    events, _ = prefect_away(endurance, events=20, pause=0.1)
    endurance.all_done_once(events, within=60)


def test_kill_9_of_the_worker_loses_and_doubles_nothing(endurance: Endurance) -> None:
    print(figures(killed_workers(endurance, kills=KILLS, seed=SEED)))
