"""What a deployment, or an event of any other sender, says, in our words: pure, and never raising.

There is no one shape: these are the names that deployment tools and CI systems commonly use, at the top or one level
below it. https://www.standardwebhooks.com has `type`, `timestamp` and `data`.
"""

import re
from collections.abc import Mapping
from itertools import product
from typing import Any

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import (
    BODY_LIMIT,
    NormalisedEvent,
    branch_of,
    commit_of,
    dig,
    first_commit,
    first_line,
    first_link,
    first_text,
    links_of,
    tag_of,
)
from contexten_core.security.text import one_line


def _anywhere(*names: str) -> tuple[str, ...]:
    """Return the paths of these names: each in every place before the next."""
    holders = ("", "data.", "deployment.", "payload.", "event.", "build.", "deploy.", "data.deployment.")
    return tuple(f"{holder}{name}" for name, holder in product(names, holders))


_REPOSITORIES = _anywhere(
    *("repository.full_name", "repository_full_name", "repo_full_name", "repository.name_with_owner", "repository"),
    *("repo.full_name", "repo", "repository.url", "repository_url", "repo_url", "git.repository", "source.repository"),
)
_COMMITS = _anywhere(
    *("sha", "commit", "commit.sha", "commit.id", "commit_sha", "commit_id", "head_sha", "revision", "git_commit"),
    *("git_sha", "git.commit", "git.sha", "source.commit", "meta.githubCommitSha", "version"),
)
_REFS = _anywhere("ref", "git_ref", "git.ref", "source.ref")
_BRANCHES = _anywhere("branch", "branch.name", "git_branch", "head_branch", "git.branch", "meta.githubCommitRef")
_TAGS = _anywhere("tag", "tag_name", "git_tag", "git.tag")
_ENVIRONMENTS = _anywhere("environment", "environment.name", "env", "environment_name", "target", "stage")
_STATES = _anywhere("status", "state", "conclusion", "result", "outcome", "status.state", "phase")
_SERVICES = _anywhere(
    *("service", "service.name", "application", "application.name", "app", "app.name", "project.name", "project"),
    *("component", "name"),
)
_TITLES = _anywhere("title", "message", "summary", "subject", "commit.message", "commit_message")
_TEXTS = _anywhere("description", "message", "text", "body", "details", "summary", "log", "error", "error.message")
_ACTORS = _anywhere(
    *("actor", "actor.login", "actor.name", "actor.username", "user", "user.login", "user.name", "user.username"),
    *("user.email", "sender.login", "sender", "deployer", "creator.login", "creator", "author.name", "author"),
    *("triggered_by", "deployed_by", "user_id"),
)
_LINKS = _anywhere(
    *("url", "html_url", "target_url", "web_url", "link", "log_url", "logs_url", "build_url", "deployment_url"),
    *("environment_url", "dashboard_url", "details_url", "links.self", "links.html"),
)
_IDS = _anywhere("deployment_id", "build_id", "id")
_REPOSITORY = re.compile(
    r"(?:(?:https?|ssh)://(?:[\w.-]{1,100}@)?github\.com/|git@github\.com:)?"
    r"([A-Za-z0-9][A-Za-z0-9-]{0,99}/[A-Za-z0-9._-]{1,100}?)(?:\.git)?/?"
)


def normalise_deployment(event_type: str, payload: Mapping[str, Any], *, source: str | None = None) -> NormalisedEvent:
    """Read what such a payload commonly says; whatever is missing or of another type is left out.

    The subject is the environment of the repository or the service that is deployed, else the source.

    Args:
        source: the name that the settings give to the sender.
    """
    repository = _repository(payload)
    branch, tag = _refs(payload)
    environment, state = first_line(payload, _ENVIRONMENTS, limit=100), first_line(payload, _STATES, limit=100)
    service = first_line(payload, _SERVICES, limit=100)
    kind = one_line(event_type[:300], 100) or "event"
    where = repository or service or source or "deployment"
    thing = environment or branch or tag or first_line(payload, _IDS, limit=100)
    what = " ".join(filter(None, (service, environment, state)))
    url = first_link(payload, _LINKS)
    actor = first_line(payload, _ACTORS, limit=200)
    return NormalisedEvent(
        provider=EventProvider.DEPLOYMENT,
        type=event_type,
        name=one_line(f"{where} {environment or branch or tag or ''} {kind} {state or ''}", 300),
        action=first_line(payload, ("action",)) or state,
        actor=actor,
        repository=repository,
        subject=one_line(f"{where}!deployment/{thing}" if thing else f"{where}!deployment", 300),
        branch=branch,
        commit=first_commit(payload, _COMMITS),
        title=first_line(payload, _TITLES) or one_line(what or kind, 300),
        text=first_text(payload, _TEXTS, limit=BODY_LIMIT),
        url=url,
        deleted=payload.get("deleted") is True,
        tag=tag,
        place=source,
        links=links_of(url, *(dig(payload, path) for path in _LINKS)),
        from_bot=(actor or "").endswith("[bot]"),
        conclusion=state,
    )


def _repository(payload: Mapping[str, Any]) -> str | None:
    """Return the repository of GitHub's that a payload names, or its address."""
    for path in _REPOSITORIES:
        value = dig(payload, path)
        if isinstance(value, str) and (found := _REPOSITORY.fullmatch(value[:500])):
            return found[1]
    return None


def _refs(payload: Mapping[str, Any]) -> tuple[str | None, str | None]:
    ref = first_text(payload, _REFS)
    branch = branch_of(ref) or first_text(payload, _BRANCHES)
    tag = tag_of(ref) or first_text(payload, _TAGS)
    if branch is None and tag is None and ref and not ref.startswith("refs/") and commit_of(ref) is None:
        branch = ref
    return branch_of(branch) or branch, tag
