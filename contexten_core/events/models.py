"""Tables of the events module: what arrived, what was done about it, and what has still to be said."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from contexten_core.db import BaseModel, EnumText


class EventProvider(StrEnum):
    GITHUB = "github"
    LINEAR = "linear"
    SLACK = "slack"
    DEPLOYMENT = "deployment"
    SYSTEM = "system"
    USER = "user"


class EventStatus(StrEnum):
    """Where an event is. `skipped` is an event that ended as ignored, with the reason beside it."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    RETRYING = "retrying"


class EventPriority(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class RunStatus(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    IGNORED = "ignored"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"


class Conclusion(StrEnum):
    """What a completed run found, in GitHub's words: `error` means that it could not find out."""

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


class HandlerStatus(StrEnum):
    PENDING = "pending"
    RETRYING = "retrying"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class EffectStatus(StrEnum):
    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"
    WITHHELD = "withheld"


SIMULATED = "sim_"
"""How the external id begins of an event that did not happen. No delivery's can: `_` is not taken in one."""


class EventModel(BaseModel):
    """One signed delivery, stored once per signed body, and the lease of the worker that handles it.

    Runs of one `lane` follow one another; None where nothing has to wait for it. Of those that wait, the one with the
    smallest `rank_at` is next; it is None until the event is admitted. `claims` counts how often the event was claimed
    since a step of it was last finished, and `causes` has the earlier events that this one stands for as well.
    """

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("provider", "digest"),
        Index(None, "status", "available_at"),
        Index(None, "status", "created_at"),
        Index(None, "provider", "created_at"),
        Index(None, "provider", "external_id"),
        Index(None, "created_at"),
        Index(None, "lease_owner"),
        Index(None, "project_id"),
        Index(None, "task_id"),
        Index(None, "parked_at"),
        Index(None, "status", "rank_at"),
        Index(None, "lane", "status"),
        Index(
            "uq_events_one_run_per_lane",
            "lane",
            unique=True,
            postgresql_where=text("status = 'processing'"),
            sqlite_where=text("status = 'processing'"),
        ),
    )

    external_id: Mapped[str | None]
    event_type: Mapped[str]
    provider: Mapped[EventProvider] = mapped_column(EnumText(EventProvider))
    title: Mapped[str]
    status: Mapped[EventStatus] = mapped_column(EnumText(EventStatus), default=EventStatus.PENDING)
    priority: Mapped[EventPriority] = mapped_column(EnumText(EventPriority), default=EventPriority.MEDIUM)
    payload: Mapped[dict[str, Any]]
    headers: Mapped[dict[str, Any] | None]
    processed_at: Mapped[datetime | None]
    processing_duration_ms: Mapped[float | None]
    retry_count: Mapped[int] = mapped_column(default=0)
    max_retries: Mapped[int] = mapped_column(default=3)
    error_message: Mapped[str | None]
    error_details: Mapped[dict[str, Any] | None]
    source_url: Mapped[str | None]
    source_user: Mapped[str | None]
    source_repository: Mapped[str | None]
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    task_id: Mapped[UUID | None] = mapped_column(ForeignKey("tasks.id", ondelete="SET NULL"))

    digest: Mapped[str]
    subject: Mapped[str | None]
    reason: Mapped[str | None]
    available_at: Mapped[datetime]
    parked_at: Mapped[datetime | None]
    lease_owner: Mapped[str | None]
    lease_epoch: Mapped[int] = mapped_column(default=0)
    lease_expires_at: Mapped[datetime | None]
    claims: Mapped[int] = mapped_column(default=0)

    lane: Mapped[str | None]
    supersedes: Mapped[bool] = mapped_column(default=False)
    happened_at: Mapped[datetime | None]
    rank_at: Mapped[datetime | None]
    causes: Mapped[list[Any] | None]
    superseded_by: Mapped[UUID | None]

    @property
    def is_record(self) -> bool:
        """Whether no flow handles it: an event of our own, or one that did not happen. It ends with its functions."""
        return self.provider is EventProvider.SYSTEM or (self.external_id or "").startswith(SIMULATED)


class EventPayloadModel(BaseModel):
    """The bytes as they came, which the signature covers."""

    __tablename__ = "event_payloads"
    __table_args__ = (Index(None, "event_id"), Index(None, "created_at"))

    payload_type: Mapped[str]
    content_type: Mapped[str]
    raw_payload: Mapped[bytes] = mapped_column(LargeBinary)
    parsed_payload: Mapped[dict[str, Any] | None]
    size_bytes: Mapped[int]
    checksum: Mapped[str | None]
    is_processed: Mapped[bool] = mapped_column(default=False)
    processing_notes: Mapped[str | None]
    event_id: Mapped[UUID] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"))


class RefusalModel(BaseModel):
    """How often, in one hour, an address was refused a delivery for the same reason, and what the last one was like."""

    __tablename__ = "refusals"
    __table_args__ = (
        UniqueConstraint("hour", "provider", "code", "address"),
        Index(None, "last_seen_at"),
        Index(None, "created_at"),
    )

    provider: Mapped[str]
    code: Mapped[str]
    address: Mapped[str]
    hour: Mapped[datetime]
    count: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str]
    headers: Mapped[dict[str, Any] | None]
    last_seen_at: Mapped[datetime]


class RedeliveryModel(BaseModel):
    """A delivery that GitHub could not hand over, and that it was asked to send again."""

    __tablename__ = "redeliveries"
    __table_args__ = (UniqueConstraint("hook", "external_id"), Index(None, "created_at"))

    hook: Mapped[str]
    external_id: Mapped[str]
    event_type: Mapped[str]
    delivered_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    requested_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class RunModel(BaseModel):
    """One handling of an event by the lifecycle flow; a replay is another run of the same event.

    `probability` is how likely the choice of `prompt_version` was, when it was made. `causes` has the events that it
    stands for besides its own, and `superseded_by` the event that made it pointless.
    """

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("event_id", "attempt"),
        Index(None, "flow_run_id"),
        Index(None, "status", "created_at"),
        Index(None, "conclusion", "created_at"),
        Index(None, "subject", "created_at"),
        Index(None, "created_at"),
        Index(None, "project_id"),
        Index(None, "repository_id"),
        Index(None, "prompt_id"),
        Index(None, "codebase_id"),
        Index(None, "task_id"),
    )

    event_id: Mapped[UUID] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    flow_run_id: Mapped[UUID | None]
    status: Mapped[RunStatus] = mapped_column(EnumText(RunStatus), default=RunStatus.RUNNING)
    conclusion: Mapped[Conclusion | None] = mapped_column(EnumText(Conclusion))
    reason: Mapped[str | None]
    subject: Mapped[str | None]
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    repository_id: Mapped[UUID | None] = mapped_column(ForeignKey("repositories.id", ondelete="SET NULL"))
    commit_sha: Mapped[str | None]
    prompt_id: Mapped[UUID | None] = mapped_column(ForeignKey("prompts.id", ondelete="SET NULL"))
    prompt_version: Mapped[int | None]
    probability: Mapped[float | None]
    explanation: Mapped[dict[str, Any] | None]
    codebase_id: Mapped[UUID | None] = mapped_column(ForeignKey("codebases.id", ondelete="SET NULL"))
    task_id: Mapped[UUID | None] = mapped_column(ForeignKey("tasks.id", ondelete="SET NULL"))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    causes: Mapped[list[Any] | None]
    superseded_by: Mapped[UUID | None]
    cancel_requested_at: Mapped[datetime | None]
    cancel_by: Mapped[str | None]
    cancel_reason: Mapped[str | None]


class EventHandlerModel(BaseModel):
    """The record of one handling of an event: what it was given, what it found, how long it took.

    `handler_type` is `step` for a step of a run, and `function` for a function that somebody registered, which has no
    run; its record is made with the event and is what makes it happen, once, with retries, whatever crashes.
    """

    __tablename__ = "event_handlers"
    __table_args__ = (
        UniqueConstraint("run_id", "handler_name"),
        Index(None, "event_id"),
        Index(None, "handler_type", "status", "available_at"),
    )

    handler_name: Mapped[str]
    handler_type: Mapped[str]
    handler_version: Mapped[str | None]
    status: Mapped[HandlerStatus] = mapped_column(EnumText(HandlerStatus))
    started_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    duration_ms: Mapped[float | None]
    configuration: Mapped[dict[str, Any] | None]
    input_data: Mapped[dict[str, Any] | None]
    output_data: Mapped[dict[str, Any] | None]
    error_message: Mapped[str | None]
    error_stack_trace: Mapped[str | None]
    retry_count: Mapped[int] = mapped_column(default=0)
    memory_usage_mb: Mapped[float | None]
    cpu_usage_percent: Mapped[float | None]
    event_id: Mapped[UUID] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"))
    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))

    available_at: Mapped[datetime | None]
    lease_owner: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]


class OutboxModel(BaseModel):
    """One effect on the outside world, written with the state change that causes it and carried out afterwards.

    Effects of one `stream` leave in the order of `position`; `effect_key` makes each happen once. `uncertain`: the last
    try may have arrived. `lease_owner` is carrying it out, or died doing so; it keeps it until `available_at`.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("effect_key"),
        Index(None, "status", "available_at"),
        Index(None, "stream", "created_at"),
        Index(None, "run_id"),
        Index(
            "ix_outbox_waiting",
            "stream",
            "created_at",
            "position",
            "id",
            postgresql_where=text("status = 'pending'"),
            sqlite_where=text("status = 'pending'"),
        ),
    )

    effect_key: Mapped[str]
    kind: Mapped[str]
    stream: Mapped[str]
    position: Mapped[int]
    status: Mapped[EffectStatus] = mapped_column(EnumText(EffectStatus), default=EffectStatus.PENDING)
    reason: Mapped[str | None]
    content: Mapped[dict[str, Any]]
    answer: Mapped[dict[str, Any] | None]
    attempts: Mapped[int] = mapped_column(default=0)
    available_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    uncertain: Mapped[bool] = mapped_column(default=False)
    lease_owner: Mapped[str | None]
    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))


class PostModel(BaseModel):
    """A thing of ours outside that is edited instead of made again: the one comment on a pull request, a reply.

    `key` says which, `external_id` is its service's own id, and `state` what it was last made to say.
    """

    __tablename__ = "posts"
    __table_args__ = (UniqueConstraint("key"), Index(None, "created_at"))

    key: Mapped[str]
    external_id: Mapped[str | None]
    url: Mapped[str | None]
    state: Mapped[dict[str, Any] | None]
