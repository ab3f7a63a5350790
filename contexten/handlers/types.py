"""What handlers can ask for by annotation.

The models are lenient: what a sender leaves out is None, or empty where the event is about it, and what they do not
name is kept and can be read under its own name, as an attribute or as a key.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Lenient(BaseModel):
    """A part of an event. `event.data.title` and `event.data["title"]` are the same."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_nothing(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        emptiable = {name for name, field in cls.model_fields.items() if field.default_factory is not None}
        return {key: value for key, value in data.items() if value is not None or key not in emptiable}

    def __getitem__(self, key: str) -> Any:
        extra = self.__pydantic_extra__ or {}
        if key in extra:
            return extra[key]
        if key in type(self).model_fields:
            return getattr(self, key)
        raise KeyError(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return what is under this name, or `default` where nothing is."""
        try:
            value = self[key]
        except KeyError:
            return default
        return default if value is None else value

    def __contains__(self, key: object) -> bool:
        return key in self.model_fields_set


class SlackEvent(Lenient):
    """An event of Slack's Events API, or an interaction.

    `user` and `channel` are ids, also where Slack sends an object with an id, or says `user_id` and `channel_id`.
    """

    type: str | None = None
    subtype: str | None = None
    text: str | None = None
    user: str | None = None
    channel: str | None = None
    ts: str | None = None
    thread_ts: str | None = None
    event_ts: str | None = None
    team: str | None = None
    bot_id: str | None = None
    channel_type: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _ids(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        item = data.get("item")
        found = {
            "user": _id(data.get("user")) or data.get("user_id"),
            "channel": _id(data.get("channel"))
            or data.get("channel_id")
            or (item.get("channel") if isinstance(item, Mapping) else None),
            "team": _id(data.get("team")) or data.get("team_id"),
        }
        return {**data, **{name: value for name, value in found.items() if value is not None}}


def _id(value: Any) -> Any:
    return value.get("id") if isinstance(value, Mapping) else value


class LinearUser(Lenient):
    id: str | None = None
    name: str | None = None
    email: str | None = None


class LinearTeam(Lenient):
    id: str | None = None
    key: str | None = None
    name: str | None = None


class LinearState(Lenient):
    id: str | None = None
    name: str | None = None
    type: str | None = None


class LinearLabel(Lenient):
    id: str | None = None
    name: str | None = None


class LinearIssueRef(Lenient):
    id: str | None = None
    identifier: str | None = None
    title: str | None = None
    url: str | None = None


class LinearData(Lenient):
    """What a Linear event is about: an issue, a comment, a project."""

    id: str | None = None
    identifier: str | None = None
    number: int | None = None
    title: str | None = None
    name: str | None = None
    description: str | None = None
    body: str | None = None
    url: str | None = None
    priority: int | None = None
    state: LinearState | str | None = None
    team: LinearTeam | None = None
    assignee: LinearUser | None = None
    creator: LinearUser | None = None
    user: LinearUser | None = None
    labels: list[LinearLabel] = Field(default_factory=list)
    issue: LinearIssueRef | None = None


class LinearEvent(Lenient):
    action: str | None = None
    type: str | None = None
    data: LinearData = Field(default_factory=LinearData)
    url: str | None = None
    actor: LinearUser | None = None
    createdAt: datetime | None = None  # noqa: N815 - Linear's own names, as users of its API know them
    updatedFrom: dict[str, Any] | None = None  # noqa: N815
    organizationId: str | None = None  # noqa: N815
    webhookId: str | None = None  # noqa: N815
    webhookTimestamp: int | None = None  # noqa: N815
    notification: dict[str, Any] | None = None


class GitHubUser(Lenient):
    id: int | None = None
    login: str | None = None
    type: str | None = None


class GitHubRepository(Lenient):
    id: int | None = None
    name: str | None = None
    full_name: str | None = None
    private: bool | None = None
    html_url: str | None = None
    clone_url: str | None = None
    default_branch: str | None = None
    owner: GitHubUser | None = None


class GitHubOrganization(Lenient):
    id: int | None = None
    login: str | None = None


class GitHubInstallation(Lenient):
    id: int | None = None


class GitHubLabel(Lenient):
    id: int | None = None
    name: str | None = None
    color: str | None = None
    description: str | None = None


class GitHubRef(Lenient):
    """One end of a pull request. `repo` is None when the fork is gone."""

    ref: str | None = None
    sha: str | None = None
    label: str | None = None
    user: GitHubUser | None = None
    repo: GitHubRepository | None = None


class GitHubPullRequest(Lenient):
    id: int | None = None
    number: int | None = None
    state: str | None = None
    title: str | None = None
    body: str | None = None
    html_url: str | None = None
    draft: bool | None = None
    merged: bool | None = None
    user: GitHubUser | None = None
    head: GitHubRef = Field(default_factory=GitHubRef)
    base: GitHubRef = Field(default_factory=GitHubRef)
    labels: list[GitHubLabel] = Field(default_factory=list)


class GitHubIssue(Lenient):
    """An issue, or the pull request that a comment is on, which then has a `pull_request`."""

    id: int | None = None
    number: int | None = None
    state: str | None = None
    title: str | None = None
    body: str | None = None
    html_url: str | None = None
    user: GitHubUser | None = None
    labels: list[GitHubLabel] = Field(default_factory=list)
    pull_request: dict[str, Any] | None = None


class GitHubComment(Lenient):
    id: int | None = None
    body: str | None = None
    html_url: str | None = None
    user: GitHubUser | None = None


class GitHubReview(Lenient):
    id: int | None = None
    state: str | None = None
    body: str | None = None
    html_url: str | None = None
    commit_id: str | None = None
    user: GitHubUser | None = None


class GitHubCommit(Lenient):
    id: str | None = None
    message: str | None = None
    url: str | None = None
    timestamp: str | None = None
    author: dict[str, Any] | None = None
    added: list[str] = Field(default_factory=list)
    removed: list[str] = Field(default_factory=list)
    modified: list[str] = Field(default_factory=list)


class GitHubCheck(Lenient):
    """A check run, check suite or workflow run."""

    id: int | None = None
    name: str | None = None
    status: str | None = None
    conclusion: str | None = None
    head_sha: str | None = None
    head_branch: str | None = None
    html_url: str | None = None


class GitHubEvent(Lenient):
    """What any event of GitHub has. Events of organisations and apps have no repository."""

    action: str | None = None
    sender: GitHubUser | None = None
    repository: GitHubRepository | None = None
    organization: GitHubOrganization | None = None
    installation: GitHubInstallation | None = None


class PullRequestEvent(GitHubEvent):
    """`label` is there when the action is `labeled` or `unlabeled`."""

    number: int | None = None
    pull_request: GitHubPullRequest = Field(default_factory=GitHubPullRequest)
    label: GitHubLabel | None = None


class PullRequestOpenedEvent(PullRequestEvent):
    pass


class PullRequestLabeledEvent(PullRequestEvent):
    label: GitHubLabel = Field(default_factory=GitHubLabel)


class PullRequestUnlabeledEvent(PullRequestLabeledEvent):
    pass


class PullRequestReviewEvent(GitHubEvent):
    pull_request: GitHubPullRequest = Field(default_factory=GitHubPullRequest)
    review: GitHubReview = Field(default_factory=GitHubReview)


class PullRequestReviewCommentEvent(GitHubEvent):
    pull_request: GitHubPullRequest = Field(default_factory=GitHubPullRequest)
    comment: GitHubComment = Field(default_factory=GitHubComment)


class PushEvent(GitHubEvent):
    """A push of a branch or a tag; `after` is forty zeros when it was deleted."""

    ref: str | None = None
    before: str | None = None
    after: str | None = None
    created: bool | None = None
    deleted: bool | None = None
    forced: bool | None = None
    compare: str | None = None
    commits: list[GitHubCommit] = Field(default_factory=list)
    head_commit: GitHubCommit | None = None
    pusher: dict[str, Any] | None = None


class IssuesEvent(GitHubEvent):
    issue: GitHubIssue = Field(default_factory=GitHubIssue)
    label: GitHubLabel | None = None
    assignee: GitHubUser | None = None


class IssueCommentEvent(GitHubEvent):
    issue: GitHubIssue = Field(default_factory=GitHubIssue)
    comment: GitHubComment = Field(default_factory=GitHubComment)


class CheckRunEvent(GitHubEvent):
    check_run: GitHubCheck = Field(default_factory=GitHubCheck)


class CheckSuiteEvent(GitHubEvent):
    check_suite: GitHubCheck = Field(default_factory=GitHubCheck)


class WorkflowRunEvent(GitHubEvent):
    workflow_run: GitHubCheck = Field(default_factory=GitHubCheck)
    workflow: dict[str, Any] | None = None


class PingEvent(GitHubEvent):
    zen: str | None = None
    hook_id: int | None = None
    hook: dict[str, Any] | None = None
