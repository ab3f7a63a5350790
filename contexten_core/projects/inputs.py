"""What projects, their repositories and their settings may be given."""

import re
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, Field

from contexten_core.errors import GitError
from contexten_core.execution.git_names import full_ref_names, parse_source
from contexten_core.inputs import Count, JSONAny, JSONList, Line, Moment, Name, RowInput, Slug, absent
from contexten_core.projects.models import ProjectStatus, RepositoryProvider

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_ADDRESSES = "is not https://host/path, http://, ssh://, git://, git@host:path or an absolute path"
_CREDENTIALS = "holds credentials, which belong into the settings of the integration"


def _address(value: str) -> str:
    """Refuse what is no address of a repository, and every credential: what is stored here is shown."""
    scheme = ""
    if "://" in value:
        scheme = _check_url(value)
    elif not value.startswith("/") and "@" in value.partition(":")[2]:
        raise ValueError(_CREDENTIALS)
    if scheme not in {"http", "git"}:
        try:
            parse_source(value, allow_local=True)
        except GitError:
            raise ValueError(_ADDRESSES) from None
    return value


def _check_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(_ADDRESSES) from None
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise ValueError(_CREDENTIALS)
    usable = host and not host.startswith("-") and parts.path.strip("/")
    if parts.scheme not in {"https", "http", "ssh", "git"} or not usable or _UNPRINTABLE.search(value):
        raise ValueError(_ADDRESSES)
    if parts.query or parts.fragment:
        raise ValueError("holds a query or a fragment, which no repository is found by")
    return parts.scheme


def _branch(value: str) -> str:
    try:
        full_ref_names(value)
    except GitError:
        raise ValueError("is not a name that git takes for a branch") from None
    return value


def _path(value: str) -> str:
    if any(part in {"", ".", ".."} for part in value.split("/")):
        raise ValueError("has an empty part, or one of dots alone")
    return value


Address = Annotated[Line, Field(min_length=1), AfterValidator(_address)]
Branch = Annotated[Line, Field(min_length=1, max_length=200), AfterValidator(_branch)]
_Words = Annotated[list[Line], Field(max_length=200)]
_Owner = Annotated[str, Field(max_length=300, pattern=r"^[A-Za-z0-9._~ /-]+$"), AfterValidator(_path)]
_RepositoryName = Annotated[str, Field(max_length=150, pattern=r"^[A-Za-z0-9._~ -]+$"), AfterValidator(_path)]
_FullName = Annotated[
    str, Field(max_length=450, pattern=r"^[A-Za-z0-9._~ -]+(/[A-Za-z0-9._~ -]+)+$"), AfterValidator(_path)
]
_Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]


class ProjectCreate(RowInput):
    """A project. Without a slug it gets one made of its name."""

    name: Name
    slug: Slug | None = None
    full_name: Line | None = None
    status: ProjectStatus = ProjectStatus.ACTIVE
    default_branch: Branch = "main"
    programming_languages: _Words | None = None
    frameworks: _Words | None = None
    auto_deploy_enabled: bool = False
    continuous_learning_enabled: bool = True
    analytics_enabled: bool = True
    owner_id: Line | None = None
    team_members: JSONList | None = None


class ProjectUpdate(RowInput):
    """Changes of a project; what is left out stays."""

    name: Name = Field(default_factory=absent)
    slug: Slug = Field(default_factory=absent)
    full_name: Line | None = None
    status: ProjectStatus = Field(default_factory=absent)
    default_branch: Branch = Field(default_factory=absent)
    programming_languages: _Words | None = None
    frameworks: _Words | None = None
    auto_deploy_enabled: bool = Field(default_factory=absent)
    continuous_learning_enabled: bool = Field(default_factory=absent)
    analytics_enabled: bool = Field(default_factory=absent)
    owner_id: Line | None = None
    team_members: JSONList | None = None


class _RepositoryFields(RowInput):
    owner: _Owner = Field(default_factory=absent)
    repo_name: _RepositoryName = Field(default_factory=absent)
    full_name: _FullName = Field(default_factory=absent)
    clone_url: Address | None = None
    ssh_url: Address | None = None
    language: Line | None = None
    topics: _Words | None = None
    license: Line | None = None
    last_synced_at: Moment | None = None
    last_commit_sha: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")] | None = None
    last_commit_at: Moment | None = None


class RepositoryCreate(_RepositoryFields):
    """A repository of a project, named by `full_name` (`owner/name`), or by `owner` and `repo_name`."""

    project_id: UUID
    provider: RepositoryProvider
    name: Name | None = None
    default_branch: Branch = "main"
    is_private: bool = False
    is_fork: bool = False
    is_archived: bool = False
    stars_count: Count = 0
    forks_count: Count = 0
    open_issues_count: Count = 0


class RepositoryUpdate(_RepositoryFields):
    """Changes of a repository; what is left out stays. Another name, owner or provider is a repository that moved."""

    project_id: UUID = Field(default_factory=absent)
    provider: RepositoryProvider = Field(default_factory=absent)
    name: Name = Field(default_factory=absent)
    default_branch: Branch = Field(default_factory=absent)
    is_private: bool = Field(default_factory=absent)
    is_fork: bool = Field(default_factory=absent)
    is_archived: bool = Field(default_factory=absent)
    stars_count: Count = Field(default_factory=absent)
    forks_count: Count = Field(default_factory=absent)
    open_issues_count: Count = Field(default_factory=absent)


class ProjectConfigSet(RowInput):
    """The value of one setting of a project, for one environment or for all. One that is encrypted stays so."""

    config_type: _Key
    config_key: _Key
    config_value: JSONAny
    environment: _Key | None = None
    name: Name = Field(default_factory=absent)
    is_active: bool = Field(default_factory=absent)
    is_encrypted: bool = Field(default_factory=absent)
