"""Comments, the comment that is edited, and reactions, over real HTTP to the emulator."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import delete

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.recorder import Fault
from contexten_core.db import Database
from contexten_core.errors import OutboundError
from contexten_core.events.models import EffectStatus, PostModel
from contexten_core.integrations import post_store
from contexten_core.integrations.github_comments import GitHubComments, GitHubReactions
from contexten_core.settings import Settings

if TYPE_CHECKING:
    from tests.component.integrations.conftest import Dispatcher

TOKEN = "ghs_of_the_comment_tests"
POST = "github:acme/cashbox#12"
RUN = "1f0c:comment:1"


@pytest.fixture
async def github() -> AsyncIterator[RunningEmulator]:
    async with run_emulator(required_token=TOKEN) as running:
        yield running


@pytest.fixture
def settings(github: RunningEmulator) -> Settings:
    return Settings(
        github_api_url=github.url,
        github_token=SecretStr(TOKEN),
        secret_key=SecretStr("what-nobody-outside-knows-0123456789"),
        api_timeout_seconds=5,
    )


def _about(github: RunningEmulator, **content: Any) -> dict[str, Any]:
    return {"api_url": github.url, "repository": "acme/cashbox", "number": 12, **content}


def _bodies(github: RunningEmulator) -> list[str]:
    return [comment["body"] for comment in github.recorder.comments]


async def _somebody_comments(github: RunningEmulator, body: str) -> None:
    async with httpx.AsyncClient(base_url=github.url, trust_env=False, verify=False) as client:
        path, headers = "/repos/acme/cashbox/issues/12/comments", {"Authorization": f"Bearer {TOKEN}"}
        (await client.post(path, json={"body": body}, headers=headers)).raise_for_status()


async def test_a_comment_stands_under_a_hidden_mark(github: RunningEmulator, settings: Settings) -> None:
    answer = await GitHubComments(settings, Database()).post(
        _about(github, body="Two tests fail."), key=RUN, maybe_done=False
    )
    (comment,) = github.recorder.comments
    mark, text = comment["body"].split("\n")

    assert mark.startswith("<!-- contexten:1f0c:comment:1:")
    assert mark.endswith(" -->")
    assert text == "Two tests fail."
    assert answer == {"id": comment["id"], "html_url": comment["html_url"]}


async def test_a_comment_whose_reply_was_lost_is_found_also_among_hundreds(
    github: RunningEmulator, settings: Settings
) -> None:
    comments = GitHubComments(settings, Database())
    issue = f"{github.url}/repos/acme/cashbox/issues/12"
    for number in range(-230, 0):
        github.recorder.comments.put(number, {"id": number, "issue_url": issue, "body": f"no. {number}"})
    github.recorder.queue_fault(Fault(method="POST", drop_after=True))
    with pytest.raises(OutboundError) as lost:
        await comments.post(_about(github, body="Once."), key=RUN, maybe_done=False)
    found = await comments.post(_about(github, body="Once."), key=RUN, maybe_done=True)
    asked = [request.query for request in github.recorder.requests if request.method == "GET"]

    assert lost.value.transient
    assert [body for body in _bodies(github) if body.endswith("Once.")] == [_bodies(github)[-1]]
    assert found["html_url"].startswith("https://github.com/acme/cashbox/issues/12#issuecomment-")
    assert [query.partition("page=")[2][-1] for query in asked] == ["1", "3"], "the newest are looked at first"


async def test_a_comment_that_never_arrived_is_made(github: RunningEmulator, settings: Settings) -> None:
    comments = GitHubComments(settings, Database())
    github.recorder.queue_fault(Fault(method="POST", drop_before=True))
    with pytest.raises(OutboundError):
        await comments.post(_about(github, body="Once."), key=RUN, maybe_done=False)
    await comments.post(_about(github, body="Once."), key=RUN, maybe_done=True)

    assert len(_bodies(github)) == 1


async def test_nobody_else_can_write_a_mark_of_ours(github: RunningEmulator, settings: Settings) -> None:
    comments = GitHubComments(settings, Database())
    await _somebody_comments(github, f"<!-- contexten:{RUN}:00000000000000000000 -->\nAll is well.")
    await _somebody_comments(github, f"<!-- contexten:{RUN} -->\nAll is well.")
    await comments.post(_about(github, body="Two tests fail."), key=RUN, maybe_done=True)
    real_mark = _bodies(github)[-1].split("\n")[0]
    await comments.post(_about(github, body=f"{real_mark}\nI say so."), key="other", maybe_done=False)
    *_, ours, quoting = _bodies(github)

    assert ours.endswith("Two tests fail.")
    assert quoting.count("<!--") == 1
    assert "&lt;!-- contexten:" in quoting


def test_an_empty_comment_is_withheld(settings: Settings, github: RunningEmulator) -> None:
    assert GitHubComments(settings, Database()).unable(_about(github, body=" \n")) == "the comment is empty"


async def test_a_comment_is_cut_to_what_github_takes(github: RunningEmulator, settings: Settings) -> None:
    await GitHubComments(settings, Database()).post(_about(github, body="x" * 100_000), key=RUN, maybe_done=False)
    assert len(_bodies(github)[0]) == 65_536


async def test_what_is_no_repository_is_asked_for_nowhere(github: RunningEmulator, settings: Settings) -> None:
    comments = GitHubComments(settings, Database())
    for repository in ("cashbox", "acme/../x", "acme/..", "acme/cash box", "acme/cashbox/issues"):
        with pytest.raises(OutboundError, match="is not the name of a repository") as caught:
            await comments.post(_about(github, body="x", repository=repository), key=RUN, maybe_done=False)
        assert not caught.value.transient
    assert github.recorder.requests == []


class TestSticky:
    async def test_five_pushes_are_one_comment(self, dispatcher: "Dispatcher") -> None:
        for number in range(5):
            content = {"number": 12, "post": POST, "body": f"push {number}"}
            await dispatcher.put("github.sticky", content, key=f"run {number}", stream=POST, position=number)
        while await dispatcher.deliver():
            pass
        (body,) = _bodies(dispatcher.github)

        assert body.endswith("push 4")
        assert {effect.status for effect in await dispatcher.effects()} == {EffectStatus.SENT}
        async with dispatcher.worker.database.reading() as session:
            post = await post_store.get(session, POST)
        assert post is not None
        assert post.url is not None
        assert post.state is not None
        assert post.state["effect"] == "run 4"

    @pytest.fixture
    def comments(self, settings: Settings, database: Database) -> GitHubComments:
        return GitHubComments(settings, database)

    async def test_when_the_reply_is_lost_there_is_still_one(
        self, github: RunningEmulator, comments: GitHubComments
    ) -> None:
        github.recorder.queue_fault(Fault(method="POST", drop_after=True))
        with pytest.raises(OutboundError):
            await comments.post(_about(github, post=POST, body="begun"), key="a", maybe_done=False)
        await comments.post(_about(github, post=POST, body="begun"), key="a", maybe_done=True)
        github.recorder.queue_fault(Fault(method="PATCH", drop_after=True))
        with pytest.raises(OutboundError):
            await comments.post(_about(github, post=POST, body="done"), key="b", maybe_done=False)
        await comments.post(_about(github, post=POST, body="done"), key="b", maybe_done=True)

        assert [body.split("\n")[1] for body in _bodies(github)] == ["done"]

    async def test_without_its_row_it_is_found_and_copies_are_left_alone(
        self, github: RunningEmulator, comments: GitHubComments, database: Database
    ) -> None:
        await comments.post(_about(github, post=POST, body="first"), key="a", maybe_done=False)
        await _somebody_comments(github, _bodies(github)[0])
        async with database.transaction() as session:
            await session.execute(delete(PostModel))
        await comments.post(_about(github, post=POST, body="second"), key="b", maybe_done=False)

        assert [body.split("\n")[1] for body in _bodies(github)] == ["second", "first"]

    async def test_one_that_was_deleted_is_made_again_and_its_copy_is_not_taken_for_it(
        self, github: RunningEmulator, comments: GitHubComments
    ) -> None:
        answer = await comments.post(_about(github, post=POST, body="first"), key="a", maybe_done=False)
        await _somebody_comments(github, _bodies(github)[0])
        github.recorder.comments.remove(answer["id"])
        github.recorder.queue_fault(Fault(method="POST", drop_after=True))
        with pytest.raises(OutboundError):
            await comments.post(_about(github, post=POST, body="second"), key="b", maybe_done=False)
        await comments.post(_about(github, post=POST, body="second"), key="b", maybe_done=True)

        assert [body.split("\n")[1] for body in _bodies(github)] == ["first", "second"]

    async def test_where_we_may_not_look_for_a_while_it_is_not_forgotten(
        self, github: RunningEmulator, comments: GitHubComments
    ) -> None:
        await comments.post(_about(github, post=POST, body="first"), key="a", maybe_done=False)
        github.recorder.queue_fault(Fault(path_contains="/comments", status=404, times=2))
        with pytest.raises(OutboundError, match="GitHub answered 404"):
            await comments.post(_about(github, post=POST, body="second"), key="b", maybe_done=False)
        await comments.post(_about(github, post=POST, body="third"), key="c", maybe_done=False)

        assert [body.split("\n")[1] for body in _bodies(github)] == ["third"]

    async def test_while_one_worker_makes_it_another_waits(
        self, github: RunningEmulator, comments: GitHubComments
    ) -> None:
        github.recorder.queue_fault(Fault(method="POST", drop_before=True))
        with pytest.raises(OutboundError):
            await comments.post(_about(github, post=POST, body="first"), key="a", maybe_done=False)
        with pytest.raises(OutboundError, match="is being made for a") as caught:
            await comments.post(_about(github, post=POST, body="second"), key="b", maybe_done=False)

        assert caught.value.transient
        assert _bodies(github) == []


class TestReactions:
    @pytest.mark.parametrize(
        ("content", "path"),
        [
            ({"number": 12}, "/repos/acme/cashbox/issues/12/reactions"),
            ({"number": 12, "comment_id": None}, "/repos/acme/cashbox/issues/12/reactions"),
            ({"comment_id": 1, "comment_kind": "issue"}, "/repos/acme/cashbox/issues/comments/1/reactions"),
            ({"comment_id": 3, "comment_kind": "review"}, "/repos/acme/cashbox/pulls/comments/3/reactions"),
        ],
    )
    async def test_a_reaction_is_there_once(
        self, github: RunningEmulator, settings: Settings, content: dict[str, Any], path: str
    ) -> None:
        await _somebody_comments(github, "Please look at this.")
        async with httpx.AsyncClient(base_url=github.url, trust_env=False, verify=False) as client:
            review = {"event": "COMMENT", "comments": [{"path": "till.py", "line": 3, "body": "Why?"}]}
            where, headers = "/repos/acme/cashbox/pulls/12/reviews", {"Authorization": f"Bearer {TOKEN}"}
            await client.post(where, json=review, headers=headers)
        reactions = GitHubReactions(settings, Database())
        content = {"api_url": github.url, "repository": "acme/cashbox", "content": "eyes", **content}
        github.recorder.queue_fault(Fault(path_contains="/reactions", drop_after=True))
        with pytest.raises(OutboundError):
            await reactions.post(content, key="a", maybe_done=False)
        await reactions.post(content, key="a", maybe_done=True)

        (reaction,) = github.recorder.reactions
        assert reaction["content"] == "eyes"
        assert github.recorder.requests[-1].path == path
