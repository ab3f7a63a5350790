"""What codebases, their analyses and the elements of their code may be given."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from contexten_core.codebase.models import AnalysisType, CodebaseStatus
from contexten_core.inputs import Count, JSONList, JSONObject, Line, LongText, Moment, Name, RowInput, Seconds, absent
from contexten_core.projects.inputs import Address, Branch


def _not_latest(value: object) -> object:
    if value == "latest":
        raise ValueError("is a moving name; a codebase is of one commit, so give that commit's full id")
    return value.lower() if isinstance(value, str) else value


def _inside(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError("is not a path inside the repository")
    return value


def _in_order(value: Any, info: ValidationInfo, *, after: str) -> Any:
    begin = info.data.get(after)
    if value is not None and begin is not None and value < begin:
        raise ValueError(f"is before {after}")
    return value


_Commit = Annotated[str, BeforeValidator(_not_latest), Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
_Path = Annotated[Line, Field(min_length=1), AfterValidator(_inside)]
_Paths = Annotated[list[Line], Field(max_length=1_000)]
_Score = Annotated[float, Field(ge=0, le=1e9)]
_Percent = Annotated[float, Field(ge=0, le=100)]


class _CodebaseFields(RowInput):
    analysis_config: JSONObject | None = None
    included_paths: _Paths | None = None
    excluded_paths: _Paths | None = None
    languages: JSONObject | None = None
    primary_language: Line | None = None
    analysis_started_at: Moment | None = None
    analysis_completed_at: Moment | None = None
    analysis_duration_seconds: Seconds | None = None
    project_id: UUID | None = None


class CodebaseCreate(_CodebaseFields):
    """A commit of a repository. Without a name it is called after both."""

    repository_url: Address
    commit_sha: _Commit
    name: Name | None = None
    branch: Branch = "main"
    status: CodebaseStatus = CodebaseStatus.PENDING


class CodebaseUpdate(_CodebaseFields):
    """Changes of a codebase, which stays of the same commit; what is left out stays."""

    name: Name = Field(default_factory=absent)
    branch: Branch = Field(default_factory=absent)
    status: CodebaseStatus = Field(default_factory=absent)


class CodebaseAnalysisCreate(RowInput):
    """One pass of an analyser over a commit; at this moment when no time is given. `test_coverage` is in percent."""

    codebase_id: UUID
    analysis_type: AnalysisType
    analyzer_name: Name
    analyzer_version: Name
    analysis_duration_seconds: Seconds
    results: JSONObject = Field(default_factory=dict)
    name: Name | None = None
    summary: LongText | None = None
    files_analyzed: Count = 0
    issues_found: Count = 0
    warnings_count: Count = 0
    errors_count: Count = 0
    complexity_score: _Score | None = None
    maintainability_score: _Score | None = None
    test_coverage: _Percent | None = None
    memory_usage_mb: _Score | None = None
    status: CodebaseStatus = CodebaseStatus.COMPLETED
    started_at: Moment | None = None
    completed_at: Moment | None = None
    error_message: LongText | None = None
    error_details: JSONObject | None = None

    @field_validator("completed_at")
    @classmethod
    def _ends_after_its_start(cls, value: Any, info: ValidationInfo) -> Any:
        return _in_order(value, info, after="started_at")


class CodebaseMetadataCreate(RowInput):
    """One element of a commit's code: a function, a class, a file, an import."""

    codebase_id: UUID
    metadata_type: Name
    file_path: _Path
    element_name: Name
    name: Name | None = None
    content: JSONObject = Field(default_factory=dict)
    element_type: Line | None = None
    signature: LongText | None = None
    start_line: Count | None = None
    end_line: Count | None = None
    start_column: Count | None = None
    end_column: Count | None = None
    dependencies: JSONList | None = None
    dependents: JSONList | None = None
    complexity: _Score | None = None
    lines_of_code: Count | None = None

    @field_validator("end_line")
    @classmethod
    def _ends_after_its_first_line(cls, value: Any, info: ValidationInfo) -> Any:
        return _in_order(value, info, after="start_line")
