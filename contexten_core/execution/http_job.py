"""What a hosted agent says about a job, read strictly: docs/reference/hosted-agents.md has the protocol."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from contexten_core.execution.executor import Cost
from contexten_core.execution.proposals import Answer, Proposal
from contexten_core.security.text import clean_json, one_line

MOST_BYTES = 4 * 1024**2
"""Of one answer of a hosted agent."""

_MOST_PROPOSALS = 100
_MOST_CALLS = 10**9
_MOST_TOKENS = 10**12
_MOST_DOLLARS = 10**6
_SAID = 300

_Text = Annotated[str, Field(max_length=10_000)]


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self in {JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED}


class NonsenseError(Exception):
    """What a hosted agent said cannot be understood; its text says why, for people."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, allow_inf_nan=False)


class _Cost(_Part):
    calls: Annotated[int, Field(ge=0, le=_MOST_CALLS)] = 0
    tokens_in: Annotated[int, Field(ge=0, le=_MOST_TOKENS)] = 0
    tokens_out: Annotated[int, Field(ge=0, le=_MOST_TOKENS)] = 0
    dollars: Annotated[float, Field(ge=0, le=_MOST_DOLLARS)] | None = None


class _Answer(_Part):
    succeeded: Annotated[bool, Field(strict=True)]
    summary: _Text
    proposals: Annotated[tuple[Proposal, ...], Field(max_length=_MOST_PROPOSALS)] = ()


class Job(_Part):
    """A job as a hosted agent tells of it.

    Attributes:
        log: what was said and done so far.
        reason: why it failed or was cancelled.
        answer: of a job that is done.
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,200}$")]
    status: JobStatus
    log: Annotated[str, Field(max_length=MOST_BYTES)] = ""
    reason: _Text | None = None
    answer: _Answer | None = None
    cost: _Cost = _Cost()

    @property
    def said(self) -> Answer:
        assert self.answer is not None
        return Answer(self.answer.succeeded, self.answer.summary, self.answer.proposals)

    @property
    def spent(self) -> Cost:
        return Cost(**dict(self.cost))


_JOB: TypeAdapter[Job] = TypeAdapter(Job)


def job_of(data: Mapping[str, Any] | None) -> Job:
    """Return the job that an answer tells of.

    Raises:
        NonsenseError: it tells of none.
    """
    if data is None:
        raise NonsenseError("it is no JSON object")
    try:
        job = _JOB.validate_python(clean_json(dict(data)))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise NonsenseError(one_line(f"{where}: {problem['msg']}", _SAID)) from None
    except RecursionError:
        raise NonsenseError("it is nested too deeply") from None
    if job.status is JobStatus.DONE and job.answer is None:
        raise NonsenseError("the job is done, and has no answer")
    return job
