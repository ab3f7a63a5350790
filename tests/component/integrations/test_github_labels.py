"""Labels over real HTTP to the emulator."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.recorder import Fault
from contexten_core.db import Database
from contexten_core.errors import OutboundError
from contexten_core.integrations.github_labels import GitHubLabels
from contexten_core.settings import Settings


@pytest.fixture
async def github() -> AsyncIterator[RunningEmulator]:
    async with run_emulator() as running:
        yield running


@pytest.fixture
def labels(github: RunningEmulator) -> GitHubLabels:
    return GitHubLabels(Settings(github_api_url=github.url, github_token=None, api_timeout_seconds=5), Database())


def _change(github: RunningEmulator, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"api_url": github.url, "repository": "acme/cashbox", "number": 12, "add": add, "remove": remove}


def _labels(github: RunningEmulator) -> list[str]:
    return [name for issue in github.recorder.labels for name in issue["names"]]


async def test_labels_are_put_on_and_taken_off(github: RunningEmulator, labels: GitHubLabels) -> None:
    await labels.post(_change(github, add=("triage", "area/till: rounding")), key="a", maybe_done=False)
    await labels.post(
        _change(github, add=("bug",), remove=("area/till: rounding", "never there")), key="b", maybe_done=False
    )
    assert _labels(github) == ["triage", "bug"]


async def test_doing_it_again_after_a_lost_reply_changes_nothing(github: RunningEmulator, labels: GitHubLabels) -> None:
    await labels.post(_change(github, add=("triage",)), key="a", maybe_done=False)
    for method in ("POST", "DELETE"):
        github.recorder.queue_fault(Fault(method=method, drop_after=True))
        with pytest.raises(OutboundError):
            await labels.post(_change(github, add=("bug",), remove=("triage",)), key="b", maybe_done=False)
    await labels.post(_change(github, add=("bug",), remove=("triage",)), key="b", maybe_done=True)

    assert _labels(github) == ["bug"]


async def test_an_issue_that_is_not_there_is_no_success(github: RunningEmulator, labels: GitHubLabels) -> None:
    github.recorder.queue_fault(Fault(method="DELETE", status=404))
    with pytest.raises(OutboundError, match="GitHub answered 404"):
        await labels.post(_change(github, remove=("triage",)), key="a", maybe_done=False)


def test_a_name_that_would_mean_something_else_in_an_address_is_withheld(
    github: RunningEmulator, labels: GitHubLabels
) -> None:
    for name in ("", " ", ".", "..", "x" * 51):
        assert "is not the name of a label" in str(labels.unable(_change(github, remove=(name,))))
        assert "is not the name of a label" in str(labels.unable(_change(github, add=(name,))))


async def test_a_name_stays_one_part_of_the_address(github: RunningEmulator, labels: GitHubLabels) -> None:
    await labels.post(_change(github, add=("keep",)), key="a", maybe_done=False)
    await labels.post(_change(github, remove=("../labels", "x?y=1#z", "a%2Fb")), key="b", maybe_done=False)
    assert _labels(github) == ["keep"]
