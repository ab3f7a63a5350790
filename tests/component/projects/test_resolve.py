import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from contexten.emulators.repositories import DemoRepository, make_demo_repositories
from contexten.emulators.sender import NO_COMMIT, GitHubDelivery, pull_request_payload
from contexten_core.errors import GitError
from contexten_core.events import keep
from contexten_core.events.claim import RunRef, claim_events
from contexten_core.events.delivery import Delivery
from contexten_core.events.finish import Ignored
from contexten_core.events.models import EventModel, EventProvider
from contexten_core.events.normalise_slack import slack_event_type
from contexten_core.events.receive_deployment import SOURCE_HEADER
from contexten_core.projects import store
from contexten_core.projects.models import ProjectModel, ProjectStatus, RepositoryModel
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice

if TYPE_CHECKING:
    from tests.component.conftest import OpenWorker, Push, Worker

COMMIT = "4d1c2b3a" * 5
PAYLOADS = Path(__file__).parents[4] / "shared/data/webhooks"


@pytest.fixture(scope="session")
def cashbox(tmp_path_factory: pytest.TempPathFactory) -> DemoRepository:
    return make_demo_repositories(tmp_path_factory.mktemp("repositories")).cashbox


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
async def test_a_pull_request_from_a_fork_is_about_its_head_too(worker: "Worker", head_repository: str | None) -> None:
    await worker.add_project("acme/cashbox")
    target = await _resolve(worker, _pull_request(head_repository=head_repository))

    assert isinstance(target, Target)
    assert (target.commit, target.ref) == (COMMIT, "refs/pull/12/head")
    assert target.clone_url == "https://github.com/acme/cashbox.git"


async def test_another_event_about_a_forks_commit(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    run = {"head_sha": COMMIT, "head_branch": "main", "head_repository": {"full_name": "mallory/cashbox"}}
    payload = {"action": "completed", "workflow_run": run, "repository": {"full_name": "acme/cashbox"}}
    reason = await _reason(worker, GitHubDelivery(event="workflow_run", payload=payload))

    assert reason == "its commit is that of a fork, and only a fork's pull request can be approved"


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
        "action": "published",
        "release": {"id": 1, "name": "First"},
        "repository": {"full_name": "acme/cashbox"},
    }
    reason = await _reason(worker, GitHubDelivery(event="release", payload=payload))

    assert reason == "the release event names no commit to work on"


async def test_an_issue_is_about_the_newest_commit_of_the_default_branch(
    worker: "Worker", cashbox: DemoRepository
) -> None:
    await worker.add_project("acme/cashbox", clone_url=str(cashbox.path))
    payload: dict[str, Any] = {
        "action": "opened",
        "issue": {"number": 1, "title": "It crashes"},
        "repository": {"full_name": "acme/cashbox"},
    }
    target = await _resolve(worker, GitHubDelivery(event="issues", payload=payload))

    assert isinstance(target, Target)
    assert (target.commit, target.ref, target.commit_status) == (cashbox.head, "refs/heads/main", False)


async def test_a_repository_without_an_address(worker: "Worker", push: "Push") -> None:
    await worker.add_project("acme/cashbox")
    async with worker.database.transaction() as session:
        await session.execute(update(RepositoryModel).values(clone_url=None))

    assert await _reason(worker, push()) == "the repository acme/cashbox has no clone address"


async def test_what_we_did_ourselves_is_left_alone(open_worker: "OpenWorker", push: "Push") -> None:
    async with open_worker(github_bot_logins=("jonas",)) as worker:
        await worker.add_project("acme/cashbox")
        run = await worker.take_on(push())
        found = await worker.resolve(run, await worker.ingest(run))
        history = await worker.history(run)

    assert found == Ignored("it was done by ourselves (jonas)")
    assert history.run.project_id is not None


@pytest.mark.parametrize("event", [{}, {"sha": COMMIT}])
async def test_an_event_that_github_is_not_known_to_have(worker: "Worker", event: dict[str, Any]) -> None:
    await worker.add_project("acme/cashbox")
    payload = {"action": "begun", "repository": {"full_name": "acme/cashbox"}, **event}
    reason = await _reason(worker, GitHubDelivery(event="teleport", payload=payload))

    assert reason.startswith("the teleport event ")
    assert reason.endswith("; unknown event type teleport: nothing is done for it yet")


def _linear(identifier: str = "ENG-12", **data: Any) -> Delivery:
    return _from_outside(EventProvider.LINEAR, "Issue", {"type": "Issue", "data": {"identifier": identifier, **data}})


def _slack(channel: str | None = "C1", **event: Any) -> Delivery:
    return _from_outside(EventProvider.SLACK, "message", {"event": {"type": "message", "channel": channel, **event}})


def _deployment(source: str | None = "ci", **payload: Any) -> Delivery:
    headers = {SOURCE_HEADER: source} if source else {}
    return _from_outside(EventProvider.DEPLOYMENT, "deployment", payload, headers=headers)


def _from_outside(
    provider: EventProvider, event_type: str, payload: dict[str, Any], *, headers: dict[str, str] | None = None
) -> Delivery:
    body = json.dumps(payload).encode()
    return Delivery(provider, event_type, payload, headers or {}, "application/json", body, body)


async def _resolve_other(worker: "Worker", delivery: Delivery) -> tuple[RunRef, Target | Ignored]:
    await keep.write(worker.database, [delivery])
    run = await worker.claim()
    return run, await worker.resolve(run, await worker.ingest(run))


async def _set(worker: "Worker", config_type: str, key: str, value: Any, **given: Any) -> None:
    """Set one setting of every project."""
    async with worker.database.transaction() as session:
        for project in await store.newest(session, limit=10):
            await store.set_config(
                session, project_id=project.id, config_type=config_type, key=key, value=value, **given
            )


async def test_who_brings_no_code_is_about_the_newest_commit_of_the_branch(
    worker: "Worker", cashbox: DemoRepository
) -> None:
    await worker.add_project("acme/cashbox", clone_url=str(cashbox.path))
    await _set(worker, "linear", "team", ["OPS", "eng"])
    await _set(worker, "slack", "channel", "C1")
    await _set(worker, "deployment", "source", ["ci"])
    for delivery in (_linear(), _slack(), _deployment(), _deployment(branch=cashbox.branch)):
        named = delivery.payload.get("branch")
        run, found = await _resolve_other(worker, delivery)
        history = await worker.history(run)

        assert isinstance(found, Target)
        assert found.commit == history.run.commit_sha == (cashbox.branch_head if named else cashbox.head)
        assert (found.repository, found.ref) == ("acme/cashbox", f"refs/heads/{named or 'main'}")
        assert history.run.project_id == found.project_id
        assert not found.commit_status


async def test_a_deployment_that_names_its_repository_and_commit_needs_no_setting(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    _, found = await _resolve_other(worker, _deployment(repository="Acme/Cashbox", sha=COMMIT))

    assert isinstance(found, Target)
    assert (found.repository, found.commit, found.ref, found.commit_status) == ("acme/cashbox", COMMIT, None, True)


async def test_a_place_that_is_nobodys(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    await _set(worker, "linear", "team", ["ENG", 7, None])
    how = "with PUT /api/projects/ID/config"
    for delivery, reason in (
        (_linear("OPS-1"), f"no project has the Linear team OPS; set team of linear {how}"),
        (_slack(None), "the message event names no Slack channel"),
        (_deployment(None), "the deployment event names no deployment source"),
        (_deployment("cd", id=1), f"no project has the deployment source cd; set source of deployment {how}"),
    ):
        assert (await _resolve_other(worker, delivery))[1] == Ignored(reason)


async def test_a_place_of_two_projects(worker: "Worker") -> None:
    for name in ("acme/cashbox", "acme/thermometer"):
        await worker.add_project(name)
    await _set(worker, "linear", "team", "ENG")
    _, found = await _resolve_other(worker, _linear())

    assert found == Ignored("the Linear team ENG is that of more than one project: acme-cashbox, acme-thermometer")


async def test_a_project_of_two_repositories(worker: "Worker") -> None:
    for name in ("acme/cashbox", "acme/thermometer"):
        await worker.add_project(name)
    await _set(worker, "linear", "team", "ENG", environment="production")
    async with worker.database.transaction() as session:
        kept, other = await store.newest(session, limit=2)
        await session.execute(update(RepositoryModel).values(project_id=kept.id))
        await store.set_config(session, project_id=kept.id, config_type="linear", key="team", value="ENG")
        slug = kept.slug
    _, found = await _resolve_other(worker, _linear())

    assert found == Ignored(f"the project {slug} has not one repository but acme/cashbox, acme/thermometer")
    assert other.slug not in found.reason.split()


async def test_what_is_set_for_another_environment_or_switched_off_leads_nowhere(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    await _set(worker, "slack", "channel", "C1", environment="production")
    await _set(worker, "slack", "channel", "C2")
    await _set(worker, "slack", "channel", "C3", environment=worker.runtime.settings.environment.value)
    for channel in ("C1", "C2"):
        _, found = await _resolve_other(worker, _slack(channel))
        assert isinstance(found, Ignored)

    async with worker.database.reading() as session:
        found_projects = await store.projects_with(
            session, config_type="slack", key="channel", value="c3", environment="development"
        )
    assert [project.slug for project in found_projects] == ["acme-cashbox"]


async def test_what_was_deleted_is_left_alone(worker: "Worker") -> None:
    await worker.add_project("acme/cashbox")
    await _set(worker, "slack", "channel", "C1")
    _, found = await _resolve_other(worker, _slack(subtype="message_deleted"))

    assert found == Ignored("what the message event is about was deleted")


async def test_a_repository_that_cannot_be_asked_for_its_newest_commit(worker: "Worker", tmp_path: Path) -> None:
    await worker.add_project("acme/cashbox", clone_url=str(tmp_path / "gone.git"))
    await _set(worker, "linear", "team", "ENG")
    with pytest.raises(GitError, match="does not appear to be a git repository"):
        await _resolve_other(worker, _linear())


def _known_payloads() -> Iterator[Delivery]:
    for path in sorted(PAYLOADS.glob("github/*/*.json")):
        yield _from_outside(EventProvider.GITHUB, path.parent.name, json.loads(path.read_bytes()))
    for path in sorted(PAYLOADS.glob("linear/**/*.json")):
        payload = json.loads(path.read_bytes())
        yield _from_outside(EventProvider.LINEAR, payload["type"], payload)
    for path in sorted(PAYLOADS.glob("slack/*.json")):
        payload = json.loads(path.read_bytes())["payload"]
        yield _from_outside(EventProvider.SLACK, slack_event_type(payload) or "unknown", payload)


@pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is not there")
@pytest.mark.parametrize("database_config", ["postgresql"], indirect=True)
async def test_every_known_payload_is_routed(worker: "Worker", cashbox: DemoRepository) -> None:
    await worker.add_project("Codertocat/Hello-World", clone_url=str(cashbox.path))
    await _set(worker, "linear", "team", ["CEE", "KOR"])
    await _set(worker, "slack", "channel", "C04T3ACM40K")
    deliveries = {delivery.digest: delivery for delivery in _known_payloads()}
    await keep.write(worker.database, list(deliveries.values()))
    async with worker.database.transaction() as session:
        # In no lanes: none gives way to another, or waits for it.
        outside = EventModel.provider != EventProvider.SYSTEM
        await session.execute(update(EventModel).where(outside).values(rank_at=EventModel.created_at))
    runs = await claim_events(worker.runtime, limit=1_000)
    ends: dict[tuple[type, str], int] = {}
    for run in runs:
        event = await worker.ingest(run)
        found = await worker.resolve(run, event)
        end = found if isinstance(found, Ignored) else await worker.select(run, event, found)
        if isinstance(end, Ignored):
            assert end.reason, event
        key = (type(end), event.provider if isinstance(found, Target) else "unrouted")
        ends[key] = ends.get(key, 0) + 1

    assert len(runs) == len(deliveries) > 200
    assert set(ends) == {
        (Ignored, "unrouted"),
        (Ignored, EventProvider.GITHUB),
        (Ignored, EventProvider.LINEAR),
        (Ignored, EventProvider.SLACK),
        (Choice, EventProvider.GITHUB),
    }
