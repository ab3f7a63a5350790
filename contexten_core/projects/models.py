"""Tables of the projects module: projects, their repositories and their settings."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from contexten_core.db import BaseModel, EnumText, JSONValue


class ProjectStatus(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"
    ARCHIVED = "archived"
    MAINTENANCE = "maintenance"


class RepositoryProvider(StrEnum):
    GITHUB = "github"
    GITLAB = "gitlab"
    BITBUCKET = "bitbucket"
    AZURE_DEVOPS = "azure_devops"
    LOCAL = "local"


class ProjectModel(BaseModel):
    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("slug"), Index(None, "created_at"))

    slug: Mapped[str]
    full_name: Mapped[str | None]
    status: Mapped[ProjectStatus] = mapped_column(EnumText(ProjectStatus), default=ProjectStatus.ACTIVE)
    default_branch: Mapped[str] = mapped_column(default="main")
    programming_languages: Mapped[list[str] | None]
    frameworks: Mapped[list[str] | None]
    auto_deploy_enabled: Mapped[bool] = mapped_column(default=False)
    continuous_learning_enabled: Mapped[bool] = mapped_column(default=True)
    analytics_enabled: Mapped[bool] = mapped_column(default=True)
    owner_id: Mapped[str | None]
    team_members: Mapped[list[Any] | None]
    total_tasks: Mapped[int] = mapped_column(default=0)
    completed_tasks: Mapped[int] = mapped_column(default=0)
    failed_tasks: Mapped[int] = mapped_column(default=0)
    last_activity_at: Mapped[datetime | None]


class RepositoryModel(BaseModel):
    __tablename__ = "repositories"
    __table_args__ = (
        UniqueConstraint("provider", "full_name"),
        Index(None, "project_id", "created_at"),
        Index(None, "created_at"),
    )

    provider: Mapped[RepositoryProvider] = mapped_column(EnumText(RepositoryProvider))
    owner: Mapped[str]
    repo_name: Mapped[str]
    full_name: Mapped[str]
    clone_url: Mapped[str | None]
    ssh_url: Mapped[str | None]
    default_branch: Mapped[str] = mapped_column(default="main")
    is_private: Mapped[bool] = mapped_column(default=False)
    is_fork: Mapped[bool] = mapped_column(default=False)
    is_archived: Mapped[bool] = mapped_column(default=False)
    language: Mapped[str | None]
    topics: Mapped[list[str] | None]
    license: Mapped[str | None]
    stars_count: Mapped[int] = mapped_column(default=0)
    forks_count: Mapped[int] = mapped_column(default=0)
    open_issues_count: Mapped[int] = mapped_column(default=0)
    last_synced_at: Mapped[datetime | None]
    last_commit_sha: Mapped[str | None]
    last_commit_at: Mapped[datetime | None]
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))


class ProjectConfigModel(BaseModel):
    """One setting of a project, such as (`github`, `api_url`) or (`git`, `allow_local`)."""

    __tablename__ = "project_configs"
    __table_args__ = (
        UniqueConstraint("project_id", "config_type", "config_key", "environment"),
        Index(None, "config_type", "config_key"),
    )

    config_type: Mapped[str]
    config_key: Mapped[str]
    config_value: Mapped[Any] = mapped_column(JSONValue(none_as_null=False))
    is_active: Mapped[bool] = mapped_column(default=True)
    is_encrypted: Mapped[bool] = mapped_column(default=False)
    environment: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    previous_value: Mapped[Any | None] = mapped_column(JSONValue)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
