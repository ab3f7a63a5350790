"""The HTTP executor: a hosted agent is started, asked how far it is, and cancelled when nobody wants it any more.

The protocol is in docs/reference/hosted-agents.md. Where an agent is, and the token for it, are settings; a prompt only
names it.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any

from contexten_core.db import utc_now
from contexten_core.errors import ConfigurationError, OutboundError
from contexten_core.execution.executor import Assignment, Cost, Report, Say
from contexten_core.execution.http_job import MOST_BYTES, Job, JobStatus, NonsenseError, job_of
from contexten_core.execution.results import Ended, Limits
from contexten_core.integrations.json_call import Answer, call_json
from contexten_core.security.text import one_line, shorten
from contexten_core.settings import Settings

_CALL_SECONDS = 30.0
_CANCEL_SECONDS = 10.0
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 15.0
_FIRST_RETRY_SECONDS = 0.25
_GROWTH = 1.5
_SHORTEST_WAIT_SECONDS = 0.05
_LONGEST_BLOCKED_SECONDS = 60.0
_BUSY_SECONDS = 5.0
_MOST_FAILURES = 4
_MOST_CANCELLED = 5
_HEADLINE = 200
_LOG_LIMIT = 1_048_576
_OK = range(200, 300)
_UNAUTHORISED = (401, 403)
_TOO_MANY_REQUESTS = 429


class HTTPExecutor:
    """Has the hosted agent that the prompt names do the work."""

    needs_checkout = False
    context_tokens = 8_000

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self, assignment: Assignment) -> None:
        self._agent(assignment)
        _seconds(assignment)

    async def run(self, assignment: Assignment, say: Say) -> Report:
        """Start the job, or find the one that was started for this run before, and wait for its end.

        When this task is cancelled, or the time is over, the job is cancelled too.

        Raises:
            ConfigurationError: there is no such agent, or it does not accept the token.
            OutboundError: it does not answer, or refuses; the job goes on, and is found when the run is taken up again.
        """
        return await _Run(self._agent(assignment), assignment, say).to_end()

    def _agent(self, assignment: Assignment) -> "_Agent":
        name = assignment.config.get("agent")
        address = self._settings.hosted_agents.get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or address is None:
            raise ConfigurationError(
                f"the prompt {assignment.prompt} names the hosted agent {name!r}, and none of that name is configured",
                hint='set HOSTED_AGENTS, as in {"acme": "https://agents.example/v1"}',
            )
        token = self._settings.hosted_agent_tokens.get(name)
        if token is None:
            raise ConfigurationError(
                f"the hosted agent {name} needs a token", hint='set HOSTED_AGENT_TOKENS, as in {"acme": "..."}'
            )
        return _Agent(name, address, token.get_secret_value())


class _Agent:
    """One hosted agent, one call at a time."""

    def __init__(self, name: str, address: str, token: str) -> None:
        self.name = name
        self.service = f"the hosted agent {name}"
        self._address = address
        self._authorization = f"Bearer {token}"

    async def call(
        self,
        method: str,
        path: str,
        *,
        seconds: float = _CALL_SECONDS,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Answer:
        """Return an answer that is a success.

        Raises:
            ConfigurationError: the token is not accepted.
            OutboundError: there is no answer, or another one; `transient` when it may be better later.
        """
        answer = await call_json(
            self.service,
            method,
            f"{self._address}/{path}",
            authorization=self._authorization,
            seconds=seconds,
            body=body,
            headers=None if key is None else {"Idempotency-Key": key},
            most_bytes=MOST_BYTES,
        )
        if answer.status in _OK:
            return answer
        if answer.status in _UNAUTHORISED:
            raise ConfigurationError(
                f"{self.service} does not accept the token: {answer.status}", hint="check HOSTED_AGENT_TOKENS"
            )
        is_busy = answer.status == _TOO_MANY_REQUESTS
        told = told_to_wait(answer)
        raise OutboundError(
            f"{self.service} answered {answer.status}",
            hint=None if is_busy or answer.is_server_error else "is its address in HOSTED_AGENTS right?",
            transient=is_busy or answer.is_server_error,
            retry_after=_BUSY_SECONDS if is_busy and told is None else told,
        )


def told_to_wait(answer: Answer) -> float | None:
    """Return the seconds that a `Retry-After` asks for, as a number or a date; None where there is none."""
    seconds = answer.number("retry-after")
    if seconds is None:
        try:
            moment = parsedate_to_datetime(answer.headers.get("retry-after", ""))
        except ValueError:
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (aware - utc_now()).total_seconds()
    return max(seconds, _SHORTEST_WAIT_SECONDS)


class _Run:
    """One job at a hosted agent, from its start to its end."""

    def __init__(self, agent: _Agent, assignment: Assignment, say: Say) -> None:
        self._agent = agent
        self._assignment = assignment
        self._say = say
        self._started = monotonic()
        self._seconds = _seconds(assignment)
        self._attempt = 0
        self._is_asked_for = False
        self._id: str | None = None
        self._log = ""
        self._cost = Cost()

    async def to_end(self) -> Report:
        try:
            async with asyncio.timeout(self._seconds) as limit:
                return await self._job()
        except TimeoutError:
            if not limit.expired():
                raise
            await self._give_up()
            return self._report(Ended.TIMED_OUT, f"Stopped after the limit of {self._seconds:g} s")
        except asyncio.CancelledError:
            await self._give_up()
            raise
        except OutboundError as error:
            # What may be better later finds the job by its key then.
            if not error.transient:
                await self._give_up()
            raise
        except NonsenseError as error:
            await self._give_up()
            return self._report(Ended.EXITED, f"{self._agent.service} gave no answer that can be used: {error}")

    async def _job(self) -> Report:
        job, told = await self._start()
        pause = _FIRST_WAIT_SECONDS
        while True:
            await self._hear(job)
            if job.status.is_over:
                return self._end(job)
            if over := self._overspent(job):
                await self._give_up()
                return self._report(Ended.EXHAUSTED, over)
            await asyncio.sleep(pause if told is None else told)
            pause = min(pause * _GROWTH, _LONGEST_WAIT_SECONDS)
            job, told = await self._patiently("GET", f"jobs/{job.id}")
            if job.id != self._id:
                raise NonsenseError("it told of another job than the one that was asked for")

    async def _start(self) -> tuple[Job, float | None]:
        """Start the job; one that was cancelled when the run was interrupted is started anew."""
        while True:
            job, told = await self._patiently("POST", "jobs", body=self._body(), key=self._key())
            self._id = job.id
            if job.status is not JobStatus.CANCELLED or self._attempt + 1 >= _MOST_CANCELLED:
                return job, told
            self._attempt += 1

    async def _patiently(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, key: str | None = None
    ) -> tuple[Job, float | None]:
        """Return what a job is, having tried a few times where that may help, and the wait that was asked for."""
        failures, pause = 0, _FIRST_RETRY_SECONDS
        while True:
            self._is_asked_for = True
            try:
                answer = await self._agent.call(method, path, body=body, key=key)
            except OutboundError as error:
                failures += 1
                wait = pause if error.retry_after is None else error.retry_after
                if not error.transient or failures >= _MOST_FAILURES or wait > _LONGEST_BLOCKED_SECONDS:
                    raise
                await asyncio.sleep(wait)
                pause *= 2
                continue
            return job_of(answer.data), told_to_wait(answer)

    async def _hear(self, job: Job) -> None:
        """Pass on what is new of the log, which is given whole each time."""
        self._cost = job.spent
        log = job.log[:_LOG_LIMIT]
        fresh = log.removeprefix(self._log)
        self._log = log
        if fresh:
            await self._say(fresh)

    def _overspent(self, job: Job) -> str | None:
        limits = self._assignment.limits
        tokens = job.spent.tokens_in + job.spent.tokens_out
        if "max_cost" in limits and (job.spent.dollars or 0) > limits["max_cost"]:
            return f"Stopped for costing more than ${limits['max_cost']:g}"
        if "max_tokens" in limits and tokens > limits["max_tokens"]:
            return f"Stopped for using more than {limits['max_tokens']:,} tokens"
        return None

    async def _give_up(self) -> None:
        """Cancel the job as well as that can be done; one whose start was not answered is found by its key first."""
        if not self._is_asked_for:
            return
        with suppress(OutboundError, ConfigurationError, NonsenseError, TimeoutError):
            async with asyncio.timeout(_CANCEL_SECONDS):
                if self._id is None:
                    found = await self._agent.call("POST", "jobs", body=self._body(), key=self._key())
                    self._id = job_of(found.data).id
                await self._agent.call("DELETE", f"jobs/{self._id}", seconds=_CANCEL_SECONDS)

    def _end(self, job: Job) -> Report:
        if job.status is JobStatus.DONE:
            return self._report(Ended.EXITED, job.said.summary, job)
        ended = Ended.CANCELLED if job.status is JobStatus.CANCELLED else Ended.EXITED
        return self._report(ended, job.reason or f"{self._agent.service} {job.status.value} the job")

    def _report(self, ended: Ended, said: str, job: Job | None = None) -> Report:
        answer = None if job is None else job.said
        return Report(
            ended=ended,
            succeeded=answer is not None and answer.succeeded,
            headline=one_line(said, _HEADLINE) or f"{self._agent.service} said nothing",
            log=self._log or (said if answer is None else answer.summary),
            duration_seconds=monotonic() - self._started,
            output_bytes=len(self._log.encode()),
            truncated=len(self._log) >= _LOG_LIMIT,
            cost=self._cost,
            proposals=() if answer is None else answer.proposals,
            evidence={
                "agent": self._agent.name,
                "job": self._id,
                "ended": ended.value,
                "answer": shorten(said, 10_000),
                "cost": asdict(self._cost),
            },
        )

    def _body(self) -> dict[str, Any]:
        work = self._assignment
        return {
            "run": work.name,
            "prompt": work.prompt,
            "instruction": work.instruction,
            "system": work.system,
            "code": work.code or None,
            "limits": {**work.limits, "wall_seconds": self._seconds},
            "outputs": dict(work.outputs),
        }

    def _key(self) -> str:
        return f"contexten-{self._assignment.key}-{self._attempt}"


def _seconds(assignment: Assignment) -> float:
    """Return how long the job may take.

    Raises:
        ConfigurationError: the prompt's limit is no positive number.
    """
    given = assignment.limits.get("wall_seconds", Limits().wall_seconds)
    if isinstance(given, bool) or not isinstance(given, int | float) or not given > 0:
        raise ConfigurationError(
            f"the limit wall_seconds of the prompt {assignment.prompt} is {given!r}, not a positive number"
        )
    return float(given)
