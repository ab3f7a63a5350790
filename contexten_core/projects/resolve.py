"""Step 2: which project and repository an event belongs to, and at which commit."""

import asyncio
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import utc_now
from contexten_core.events import verbs
from contexten_core.events.ignored import Ignored
from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.normalise_known import unknown
from contexten_core.events.steps import StepRecord
from contexten_core.events.verbs_parse import verb_of
from contexten_core.execution.git_token import token_for
from contexten_core.projects import store
from contexten_core.projects.models import ProjectModel, ProjectStatus, RepositoryModel, RepositoryProvider
from contexten_core.projects.target import Target
from contexten_core.runtime import Runtime

__all__ = ["Target", "resolve"]

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
_PLACES = {
    EventProvider.LINEAR: ("linear", "team", "Linear team"),
    EventProvider.SLACK: ("slack", "channel", "Slack channel"),
    EventProvider.DEPLOYMENT: ("deployment", "source", "deployment source"),
}
"""The setting of a project that says which place is its own, for those who name no repository."""

_ABOUT_NO_CODE = frozenset({"issues", "issue_comment", "discussion", "discussion_comment"})
"""GitHub's events that people write something with: they are about the newest commit of the default branch."""

_MOST_NAMES = 5


@dataclass(frozen=True, slots=True)
class _Place:
    project: ProjectModel
    repository: RepositoryModel


async def resolve(record: StepRecord, event: NormalisedEvent) -> Target | Ignored:
    """Find the target of an event, and note on the run which project it is for.

    What somebody asks of us in a comment or message, `/contexten rerun` say, is done instead.

    An event that brings no code, from Linear, Slack or a deployment, or an issue's, is about the newest commit of the
    branch or tag that it names, else of the default branch, which the repository is asked for.

    Raises:
        GitError: it cannot be asked, or has no such branch.
    """
    if (said := await verbs.handle(record, event)) is not None:
        return said
    runtime = record.runtime
    async with runtime.database.transaction() as session:
        place = await _find(session, runtime, event)
        if isinstance(place, Ignored):
            return await record.complete(session, place)
        found = _nothing_to_do(event, place) or await _target(session, runtime, event, place)
        if isinstance(found, Ignored) or found.commit:
            return await _settle(session, record, event, place, found)
    head = await asyncio.to_thread(_head, runtime, found)
    async with runtime.database.transaction() as session:
        return await _settle(session, record, event, place, replace(found, commit=head))


def asks_nobody(event: NormalisedEvent) -> bool:
    """Tell whether all that `resolve` needs to know of an event is in the database."""
    return event.commit is not None and verb_of(event) is None


async def _settle(
    session: AsyncSession, record: StepRecord, event: NormalisedEvent, place: _Place, found: Target | Ignored
) -> Target | Ignored:
    run = await record.model(session)
    run.project_id, run.repository_id, run.commit_sha = place.project.id, place.repository.id, event.commit
    if isinstance(found, Target):
        run.commit_sha = found.commit
        await store.count(session, found.project_id, now=utc_now())
    return await record.complete(session, found)


async def _find(session: AsyncSession, runtime: Runtime, event: NormalisedEvent) -> _Place | Ignored:
    if not event.repository:
        return await _at_its_place(session, runtime, event)
    repository = await store.repository(session, provider=RepositoryProvider.GITHUB, full_name=event.repository)
    project = await store.get(session, repository.project_id) if repository else None
    if repository is None or project is None:
        return _no(event, f"no project has the repository {event.repository}; `contexten projects add` adds one")
    return _Place(project, repository)


async def _at_its_place(session: AsyncSession, runtime: Runtime, event: NormalisedEvent) -> _Place | Ignored:
    """Find the one repository of the one project that an event's team, channel or source belongs to."""
    if event.provider not in _PLACES:
        return _no(event, f"the {event.type} event names no repository")
    config_type, key, what = _PLACES[event.provider]
    if event.place is None:
        return _no(event, f"the {event.type} event names no {what}")
    environment = runtime.settings.environment.value
    projects = await store.projects_with(
        session, config_type=config_type, key=key, value=event.place, environment=environment
    )
    if len(projects) > 1:
        names = _listed([project.slug for project in projects])
        return _no(event, f"the {what} {event.place} is that of more than one project: {names}")
    if not projects:
        how = f"set {key} of {config_type} with PUT /api/projects/ID/config"
        return _no(event, f"no project has the {what} {event.place}; {how}")
    repositories = await store.repositories_of(session, projects[0].id)
    if len(repositories) != 1:
        names = _listed([repository.full_name for repository in repositories])
        return _no(event, f"the project {projects[0].slug} has not one repository but {names or 'none'}")
    return _Place(projects[0], repositories[0])


async def _target(session: AsyncSession, runtime: Runtime, event: NormalisedEvent, place: _Place) -> Target:
    """Return the target of an event; its commit is empty where the event names none."""
    project, repository = place.project, place.repository
    environment = runtime.settings.environment.value
    config = await store.config(session, project.id, vault=runtime.vault, environment=environment)
    assert repository.clone_url is not None
    return Target(
        project_id=project.id,
        project_slug=project.slug,
        project_name=project.name,
        repository_id=repository.id,
        repository=repository.full_name,
        clone_url=repository.clone_url,
        default_branch=repository.default_branch,
        commit=event.commit or "",
        ref=_ref(event, repository),
        allow_local=config.get(("git", "allow_local")) is True,
        api_url=config.get(("github", "api_url")),
        commit_status=event.commit is not None,
    )


def _head(runtime: Runtime, target: Target) -> str:
    token = token_for(runtime.settings, target.clone_url)
    mirror = runtime.mirrors.open(target.clone_url, token, allow_local=target.allow_local)
    return mirror.head(target.ref or "HEAD")


def _nothing_to_do(event: NormalisedEvent, place: _Place) -> Ignored | None:
    project, repository = place.project, place.repository
    if event.own:
        return Ignored(f"it was done by ourselves ({event.actor or 'without a name'})")
    if project.status is not ProjectStatus.ACTIVE:
        return Ignored(f"the project {project.slug} is {project.status.value}")
    if event.deleted:
        return Ignored(_deleted(event))
    if event.commit is None and not _brings_no_code(event):
        return _no(event, f"the {event.type} event names no commit to work on")
    if repository.clone_url is None:
        return Ignored(f"the repository {repository.full_name} has no clone address")
    return _untrusted(event)


def _brings_no_code(event: NormalisedEvent) -> bool:
    return event.provider in _PLACES or (event.type in _ABOUT_NO_CODE and event.commit is None)


def _deleted(event: NormalisedEvent) -> str:
    if event.provider is not EventProvider.GITHUB:
        return f"what the {event.type} event is about was deleted"
    return f"the branch {event.branch} was deleted" if event.branch else "the branch or tag was deleted"


def _untrusted(event: NormalisedEvent) -> Ignored | None:
    """Return why the code of an event is never run; Linear and Slack bring none, and whoever deploys it trusts it.

    A fork's pull request goes on: it may be approved.
    """
    if _brings_no_code(event):
        return None
    if event.type not in _SAYING_WHOSE:
        return _no(event, f"the {event.type} event does not say whether its commit is the repository's own")
    if event.from_fork and not event.type.startswith("pull_request"):
        return Ignored("its commit is that of a fork, and only a fork's pull request can be approved")
    return None


def _no(event: NormalisedEvent, reason: str) -> Ignored:
    new = unknown(event.provider, event.type, event.action)
    return Ignored(f"{reason}; {new}" if new else reason)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")


def _ref(event: NormalisedEvent, repository: RepositoryModel) -> str | None:
    if event.type.startswith("pull_request") and event.number is not None:
        return f"refs/pull/{event.number}/head"
    if event.branch:
        return f"refs/heads/{event.branch}"
    if not _brings_no_code(event):
        return None
    if event.tag:
        return f"refs/tags/{event.tag}"
    return f"refs/heads/{repository.default_branch}" if event.commit is None else None
