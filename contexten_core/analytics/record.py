"""Step 6: what the task took and how it ended, and the report that people are to see."""

from dataclasses import asdict, dataclass
from typing import Any

from contexten_core.analytics import store
from contexten_core.analytics.models import AnalyticsEventType
from contexten_core.db import utc_now
from contexten_core.events.models import Conclusion
from contexten_core.events.steps import StepRecord
from contexten_core.integrations import reports
from contexten_core.outputs import release
from contexten_core.projects.resolve import Target
from contexten_core.prompts.select import Choice
from contexten_core.prompts.usage import count_outcome
from contexten_core.security.text import shorten
from contexten_core.tasks.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the sixth step wrote: whether the report is new, what it says, and what came of what was proposed."""

    reported: bool
    description: str
    outputs: dict[str, Any] | None = None


async def record_outcome(record: StepRecord, target: Target, choice: Choice, outcome: Outcome) -> Recorded:
    """Store the outcome's figures, add it to the prompt's own, and report it."""
    released = await release.judge(record, target, choice, outcome)
    async with record.runtime.database.transaction() as session:
        run = record.run
        await store.add(
            session,
            name=run.name,
            session_id=str(run.run_id),
            event_type=AnalyticsEventType.TASK_COMPLETED if outcome.succeeded else AnalyticsEventType.TASK_FAILED,
            component="tasks",
            operation=choice.slug,
            event_data={
                "exit_code": outcome.exit_code,
                "cpu_seconds": outcome.cpu_seconds,
                "output_bytes": outcome.output_bytes,
                "truncated": outcome.truncated,
                "prompt_version": choice.version,
                "cost": asdict(outcome.cost),
            },
            context={"repository": target.repository, "commit": target.commit, "event_id": str(run.event_id)},
            duration_ms=outcome.duration_seconds * 1000,
            memory_usage_mb=outcome.memory_mb,
            cpu_usage_percent=outcome.cpu_percent,
            success=outcome.succeeded,
            error_code=None if outcome.succeeded else outcome.error or "command_failed",
            error_message=None if outcome.succeeded else shorten(outcome.headline, 1_000),
            environment=record.runtime.settings.environment.value,
            task_id=outcome.task_id,
            project_id=target.project_id,
        )
        is_new, description = await reports.conclude(session, record, target, outcome, prompt=choice.slug)
        await release.enqueue(session, released)
        outputs = None if released is release.NOTHING else released.as_dict()
        await count_outcome(
            session,
            prompt_id=choice.prompt_id,
            version=choice.version,
            project_id=target.project_id,
            run_id=run.run_id,
            succeeded=outcome.succeeded,
            is_error=outcome.conclusion is Conclusion.ERROR,
            seconds=outcome.duration_seconds,
            cost=outcome.cost.dollars or 0.0,
            template=outcome.template,
            is_experiment=choice.experiment_id is not None,
            now=utc_now(),
        )
        return await record.complete(session, Recorded(is_new, description, outputs))
