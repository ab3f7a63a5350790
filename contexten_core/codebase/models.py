"""Tables of the codebase module: what is known of a commit, and of each file's content wherever it appears."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from contexten_core.db import BaseModel, EnumText


class CodebaseStatus(StrEnum):
    PENDING = "pending"
    ANALYZING = "analyzing"
    COMPLETED = "completed"
    FAILED = "failed"
    OUTDATED = "outdated"


class AnalysisType(StrEnum):
    FULL_SCAN = "full_scan"
    INCREMENTAL = "incremental"
    TARGETED = "targeted"
    DEPENDENCY_ANALYSIS = "dependency_analysis"
    SECURITY_SCAN = "security_scan"
    PERFORMANCE_ANALYSIS = "performance_analysis"


class CodebaseModel(BaseModel):
    __tablename__ = "codebases"
    __table_args__ = (
        UniqueConstraint("repository_url", "commit_sha"),
        Index(None, "project_id", "created_at"),
        Index(None, "status", "created_at"),
        Index(None, "created_at"),
    )

    repository_url: Mapped[str]
    commit_sha: Mapped[str]
    branch: Mapped[str]
    status: Mapped[CodebaseStatus] = mapped_column(EnumText(CodebaseStatus))
    analysis_config: Mapped[dict[str, Any] | None]
    included_paths: Mapped[list[str] | None]
    excluded_paths: Mapped[list[str] | None]
    total_files: Mapped[int] = mapped_column(default=0)
    total_lines: Mapped[int] = mapped_column(default=0)
    total_functions: Mapped[int] = mapped_column(default=0)
    total_classes: Mapped[int] = mapped_column(default=0)
    languages: Mapped[dict[str, Any] | None]
    primary_language: Mapped[str | None]
    analysis_started_at: Mapped[datetime | None]
    analysis_completed_at: Mapped[datetime | None]
    analysis_duration_seconds: Mapped[float | None]
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))


class CodebaseAnalysisModel(BaseModel):
    """One pass of an analyser over a commit."""

    __tablename__ = "codebase_analyses"
    __table_args__ = (Index(None, "codebase_id", "created_at"),)

    analysis_type: Mapped[AnalysisType] = mapped_column(EnumText(AnalysisType))
    analyzer_name: Mapped[str]
    analyzer_version: Mapped[str]
    results: Mapped[dict[str, Any]]
    summary: Mapped[str | None]
    files_analyzed: Mapped[int] = mapped_column(default=0)
    issues_found: Mapped[int] = mapped_column(default=0)
    warnings_count: Mapped[int] = mapped_column(default=0)
    errors_count: Mapped[int] = mapped_column(default=0)
    complexity_score: Mapped[float | None]
    maintainability_score: Mapped[float | None]
    test_coverage: Mapped[float | None]
    analysis_duration_seconds: Mapped[float]
    memory_usage_mb: Mapped[float | None]
    status: Mapped[CodebaseStatus] = mapped_column(EnumText(CodebaseStatus))
    started_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    error_message: Mapped[str | None]
    error_details: Mapped[dict[str, Any] | None]
    codebase_id: Mapped[UUID] = mapped_column(ForeignKey("codebases.id", ondelete="CASCADE"))


class FileFactsModel(BaseModel):
    """Facts of one file's content, shared by every commit, branch and fork that holds it under such a name."""

    __tablename__ = "file_facts"
    __table_args__ = (UniqueConstraint("blob_id", "file_kind", "analyzer_version"),)

    blob_id: Mapped[str]
    file_kind: Mapped[str]
    analyzer_version: Mapped[str]
    facts: Mapped[bytes] = mapped_column(LargeBinary)


class CodebaseSnapshotModel(BaseModel):
    """What the next commit's analysis starts from: the files of a commit by blob, its totals and its graphs, packed."""

    __tablename__ = "codebase_snapshots"
    __table_args__ = (UniqueConstraint("codebase_id"), Index(None, "created_at"))

    analyzer_version: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    codebase_id: Mapped[UUID] = mapped_column(ForeignKey("codebases.id", ondelete="CASCADE"))


class CodebaseMetadataModel(BaseModel):
    """One element of a commit's code: a function, a class, a file, an import."""

    __tablename__ = "codebase_metadata"
    __table_args__ = (
        Index(None, "codebase_id", "created_at"),
        Index(None, "codebase_id", "file_path"),
        Index(None, "codebase_id", "element_name"),
    )

    metadata_type: Mapped[str]
    file_path: Mapped[str]
    element_name: Mapped[str]
    element_type: Mapped[str | None]
    signature: Mapped[str | None]
    start_line: Mapped[int | None]
    end_line: Mapped[int | None]
    start_column: Mapped[int | None]
    end_column: Mapped[int | None]
    content: Mapped[dict[str, Any]]
    dependencies: Mapped[list[Any] | None]
    dependents: Mapped[list[Any] | None]
    complexity: Mapped[float | None]
    lines_of_code: Mapped[int | None]
    codebase_id: Mapped[UUID] = mapped_column(ForeignKey("codebases.id", ondelete="CASCADE"))
