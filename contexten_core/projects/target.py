"""What a run works on. Of its own, so that what reports about one needs nothing that finds one."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Target:
    """What a run works on: one commit of one repository of one project.

    Attributes:
        commit_status: whether the run tells how it stands on the commit: only where the event itself named it.
    """

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
    commit_status: bool = True
