import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from contexten.emulators.sender import NO_COMMIT, GitHubDelivery, pull_request_payload
from contexten_core.events.finish import Ignored
from contexten_core.projects import store
from contexten_core.projects.models import ProjectModel, ProjectStatus, RepositoryModel
from contexten_core.projects.resolve import Target

if TYPE_CHECKING:
    from tests.component.conftest import Push, Worker

COMMIT = "4d1c2b3a" * 5
PAYLOADS = Path(__file__).parents[4] / "shared/data/webhooks/github"


def _pull_request(*, head_repository: str | None = "acme/cashbox") -> GitHubDelivery:
    payload = pull_request_payload(
        "acme/cashbox",
        12,
        action="synchronize",
        head_sha=COMMIT,
        base_sha="0a1b2c3d" * 5,
        head_ref="add-tax",
        title="Add tax",
        sender="jonas",
    )
    head = payload["pull_request"]["head"]
    head["repo"] = None if head_repository is None else {**head["repo"], "full_name": head_repository}
    return GitHubDelivery(event="pull_request", payload=payload)


async def _resolve(worker: "Worker", delivery: GitHubDelivery) -> Target | Ignored:
    run = await worker.take_on(delivery)
    return await worker.resolve(run, await worker.ingest(run))


async def _reason(worker: "Worker", delivery: GitHubDelivery) -> str:
    found = await _resolve(worker, delivery)
    assert isinstance(found, Ignored)
    return found.reason


async def test_a_push_is_about_its_commit_on_its_branch(worker: "Worker", push: "Push") -> None:
    await worker.add_project("Acme/Cashbox", clone_url="/srv/git/cashbox.git", api_url="http://127.0.0.1:8080")
    run = await worker.take_on(push("acme/cashbox"))
    target = await worker.resolve(run, await worker.ingest(run))
    history = await worker.history(run)

    assert isinstance(target, Target)
    assert (target.project_slug, target.project_name) == ("acme-cashbox", "Acme/Cashbox")
    assert (target.repository, target.clone_url) == ("Acme/Cashbox", "/srv/git/cashbox.git")
    assert (target.commit, target.ref) == (COMMIT, "refs/heads/main")
    assert (target.default_branch, target.allow_local, target.api_url) == ("main", True, "http://127.0.0.1:8080")
    assert (history.run.project_id, history.run.repository_id) == (target.project_id, target.repository_id)
    assert history.run.commit_sha == COMMIT
    async with worker.database.reading() as session:
        project = await store.get(session, target.project_id)
    assert project is not None
    assert project.last_activity_at is not None


async def test_a_pull_request_is_about_its_head(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    target = await _resolve(worker, _pull_request())

    assert isinstance(target, Target)
    assert (target.commit, target.ref) == (COMMIT, "refs/pull/12/head")
    assert (target.clone_url, target.allow_local) == ("https://github.com/acme/cashbox.git", False)
    assert target.api_url is None


async def test_a_repository_that_nobody_added(worker: "Worker", push: "Push") -> None:
    reason = await _reason(worker, push("acme/unknown"))

    assert reason == "no project has the repository acme/unknown; `contexten projects add` adds one"


async def test_an_event_that_names_no_repository(worker: "Worker") -> None:
    reason = await _reason(worker, GitHubDelivery(event="ping", payload={"zen": "Keep it simple.", "hook_id": 7}))

    assert reason == "the ping event names no repository"


async def test_a_branch_that_was_deleted(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox")

    assert await _reason(worker, push(commit=NO_COMMIT, branch="old")) == "the branch old was deleted"


async def test_a_tag_that_was_deleted(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox")
    payload = {**push(commit=NO_COMMIT).payload, "ref": "refs/tags/v1"}
    reason = await _reason(worker, GitHubDelivery(event="push", payload=payload))

    assert reason.endswith("was deleted")
    assert "None" not in reason


@pytest.mark.parametrize("head_repository", ["mallory/cashbox", None])
async def test_a_pull_request_from_a_fork(worker: "Worker", head_repository: str | None) -> None:
    await worker.add_project("acme/cashbox")
    reason = await _reason(worker, _pull_request(head_repository=head_repository))

    assert reason == "the pull request comes from a fork, and nothing from outside the repository is run"


@pytest.mark.parametrize("status", [ProjectStatus.INACTIVE, ProjectStatus.ARCHIVED, ProjectStatus.MAINTENANCE])
async def test_a_project_that_is_not_active(worker: "Worker", push: "Push", status: ProjectStatus) -> None:
    await worker.add_project("acme/cashbox")
    async with worker.database.transaction() as session:
        await session.execute(update(ProjectModel).values(status=status))
    run = await worker.take_on(push())
    found = await worker.resolve(run, await worker.ingest(run))

    assert found == Ignored(f"the project acme-cashbox is {status.value}")
    assert (await worker.history(run)).run.project_id is not None


async def test_an_event_without_a_commit(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    payload: dict[str, Any] = {
        "action": "created",
        "issue": {"number": 1, "title": "It crashes"},
        "repository": {"full_name": "acme/cashbox"},
    }
    reason = await _reason(worker, GitHubDelivery(event="issue_comment", payload=payload))

    assert reason == "the issue_comment event names no commit to work on"


async def test_a_repository_without_an_address(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox")
    async with worker.database.transaction() as session:
        await session.execute(update(RepositoryModel).values(clone_url=None))

    assert await _reason(worker, push()) == "the repository acme/cashbox has no clone address"


@pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is not there")
async def test_every_known_payload_leads_somewhere(worker: "Worker") -> None:
    await worker.add_project("Codertocat/Hello-World")
    ends = set()
    for path in sorted(PAYLOADS.glob("*/*.json"))[::7]:
        delivery = GitHubDelivery(event=path.parent.name, payload=json.loads(path.read_bytes()))
        found = await _resolve(worker, delivery)
        ends.add(type(found))
        assert isinstance(found, Target) or found.reason

    assert ends == {Target, Ignored}
