"""Step 2: which project and repository an event belongs to, and at which commit."""

from dataclasses import dataclass
from uuid import UUID

from contexten_core.db import utc_now
from contexten_core.events.finish import Ignored
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.steps import StepRecord
from contexten_core.projects import store
from contexten_core.projects.models import ProjectModel, ProjectStatus, RepositoryModel, RepositoryProvider

# A commit of a fork can be in these too, but then they say so; in others it may be without a sign of it.
_SAYING_WHOSE = frozenset(
    {
        "push",
        "pull_request",
        "pull_request_review",
        "pull_request_review_comment",
        "pull_request_review_thread",
        "workflow_run",
    }
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a run works on: one commit of one repository of one project."""

    project_id: UUID
    project_slug: str
    project_name: str
    repository_id: UUID
    repository: str
    clone_url: str
    default_branch: str
    commit: str
    ref: str | None
    allow_local: bool
    api_url: str | None


async def resolve(record: StepRecord, event: NormalisedEvent) -> Target | Ignored:
    """Find the target of an event, and note on the run which project it is for."""
    async with record.runtime.database.transaction() as session:
        repository = project = None
        if event.repository:
            repository = await store.repository(session, provider=RepositoryProvider.GITHUB, full_name=event.repository)
        if repository:
            project = await store.get(session, repository.project_id)
        if repository is None or project is None:
            return await record.complete(session, Ignored(_unknown(event)))
        run = await record.model(session)
        run.project_id, run.repository_id, run.commit_sha = project.id, repository.id, event.commit
        if reason := _nothing_to_do(event, project, repository):
            return await record.complete(session, Ignored(reason))
        assert event.commit is not None
        assert repository.clone_url is not None
        project.last_activity_at = utc_now()
        settings = record.runtime.settings
        config = await store.config(
            session, project.id, vault=record.runtime.vault, environment=settings.environment.value
        )
        target = Target(
            project_id=project.id,
            project_slug=project.slug,
            project_name=project.name,
            repository_id=repository.id,
            repository=repository.full_name,
            clone_url=repository.clone_url,
            default_branch=repository.default_branch,
            commit=event.commit,
            ref=_ref(event),
            allow_local=config.get(("git", "allow_local")) is True,
            api_url=config.get(("github", "api_url")),
        )
        return await record.complete(session, target)


def _unknown(event: NormalisedEvent) -> str:
    if not event.repository:
        return f"the {event.type} event names no repository"
    return f"no project has the repository {event.repository}; `contexten projects add` adds one"


def _nothing_to_do(event: NormalisedEvent, project: ProjectModel, repository: RepositoryModel) -> str | None:
    if project.status is not ProjectStatus.ACTIVE:
        return f"the project {project.slug} is {project.status.value}"
    if event.deleted:
        return f"the branch {event.branch} was deleted" if event.branch else "the branch or tag was deleted"
    if event.commit is None:
        return f"the {event.type} event names no commit to work on"
    if repository.clone_url is None:
        return f"the repository {repository.full_name} has no clone address"
    return _untrusted(event)


def _untrusted(event: NormalisedEvent) -> str | None:
    if event.type not in _SAYING_WHOSE:
        return f"the {event.type} event does not say whether its commit is the repository's own"
    if event.from_fork:
        return "the pull request comes from a fork, and nothing from outside the repository is run"
    return None


def _ref(event: NormalisedEvent) -> str | None:
    if event.type.startswith("pull_request") and event.number is not None:
        return f"refs/pull/{event.number}/head"
    return f"refs/heads/{event.branch}" if event.branch else None
