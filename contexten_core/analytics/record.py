"""Step 6: what the task took and how it ended, and the report that people are to see."""

from dataclasses import asdict, dataclass

from contexten_core.analytics import store
from contexten_core.analytics.models import AnalyticsEventType
from contexten_core.events import outbox_store
from contexten_core.events.steps import StepRecord
from contexten_core.integrations.statuses import final_status
from contexten_core.projects.resolve import Target
from contexten_core.prompts import store as prompt_store
from contexten_core.prompts.select import Choice
from contexten_core.security.text import shorten
from contexten_core.tasks.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the sixth step wrote: whether the report is new, and what it says."""

    reported: bool
    description: str


async def record_outcome(record: StepRecord, target: Target, choice: Choice, outcome: Outcome) -> Recorded:
    """Store the outcome's figures, add it to the prompt's own, and report it on the event's commit."""
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
        await prompt_store.count_use(
            session, choice.prompt_id, succeeded=outcome.succeeded, seconds=outcome.duration_seconds
        )
        effect = final_status(
            record.runtime.settings,
            run,
            target,
            choice.slug,
            conclusion=outcome.conclusion,
            description=outcome.headline,
        )
        is_new = target.commit_status and await outbox_store.enqueue(session, **asdict(effect))
        return await record.complete(session, Recorded(is_new, effect.content["description"]))
