"""Reviews over real HTTP to the emulator."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.recorder import Fault
from contexten_core.db import Database
from contexten_core.errors import OutboundError
from contexten_core.integrations.github_reviews import GitHubReviews
from contexten_core.settings import Settings

SHA = "4d1c2b3a" * 5
LINES = [{"path": "till.py", "line": 3, "body": "Rounds down."}, {"path": "tax.py", "line": 9, "body": "Unused."}]


@pytest.fixture
async def github() -> AsyncIterator[RunningEmulator]:
    async with run_emulator() as running:
        yield running


@pytest.fixture
def reviews(github: RunningEmulator) -> GitHubReviews:
    return GitHubReviews(Settings(github_api_url=github.url, github_token=None, api_timeout_seconds=5), Database())


def _review(github: RunningEmulator, **changed: Any) -> dict[str, Any]:
    about = {"api_url": github.url, "repository": "acme/cashbox", "number": 12, "commit": SHA}
    return {**about, "body": "Two remarks.", "comments": LINES, **changed}


async def test_a_review_neither_approves_nor_refuses(github: RunningEmulator, reviews: GitHubReviews) -> None:
    answer = await reviews.post(_review(github), key="r", maybe_done=False)
    (review,) = github.recorder.reviews

    assert answer["state"] == review["state"] == "COMMENTED"
    assert review["commit_id"] == SHA
    assert review["body"].endswith("-->\nTwo remarks.")
    lines = [(line["path"], line["line"], line["side"], line["body"]) for line in github.recorder.line_comments]
    assert lines == [("till.py", 3, "RIGHT", "Rounds down."), ("tax.py", 9, "RIGHT", "Unused.")]


async def test_a_review_whose_reply_was_lost_is_not_given_twice(
    github: RunningEmulator, reviews: GitHubReviews
) -> None:
    github.recorder.queue_fault(Fault(method="POST", drop_after=True))
    with pytest.raises(OutboundError):
        await reviews.post(_review(github), key="r", maybe_done=False)
    found = await reviews.post(_review(github), key="r", maybe_done=True)
    await reviews.post(_review(github), key="another", maybe_done=True)

    first, _ = github.recorder.reviews
    assert first["id"] == found["id"]


async def test_remarks_on_lines_that_github_does_not_take_are_made_in_the_text(
    github: RunningEmulator, reviews: GitHubReviews
) -> None:
    github.recorder.queue_fault(Fault(method="POST", status=422))
    await reviews.post(_review(github), key="r", maybe_done=False)
    (review,) = github.recorder.reviews

    _, text = review["body"].split("\n", 1)
    assert text == "Two remarks.\n\n`till.py:3`\n\nRounds down.\n\n`tax.py:9`\n\nUnused."
    assert len(github.recorder.line_comments) == 0


async def test_in_the_text_no_remark_is_cut(github: RunningEmulator, reviews: GitHubReviews) -> None:
    github.recorder.queue_fault(Fault(method="POST", status=422))
    many = [{"path": "till.py", "line": line, "body": "x" * 20_000} for line in range(1, 6)]
    await reviews.post(_review(github, comments=many), key="r", maybe_done=False)
    (review,) = github.recorder.reviews

    assert review["body"].count("x" * 20_000) == 3
    assert review["body"].endswith("2 comments on lines did not fit here.")


async def test_another_refusal_stays_one(github: RunningEmulator, reviews: GitHubReviews) -> None:
    github.recorder.queue_fault(Fault(method="POST", status=422))
    with pytest.raises(OutboundError, match="GitHub answered 422"):
        await reviews.post(_review(github, comments=[]), key="r", maybe_done=False)


def test_an_empty_review_is_withheld(github: RunningEmulator, reviews: GitHubReviews) -> None:
    assert reviews.unable(_review(github, body=" ", comments=[])) == "the review is empty"
    assert reviews.unable(_review(github, body=" ")) is None
