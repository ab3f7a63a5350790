"""Step 3: which prompt an event calls for, and why that one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.events import outbox_store
from contexten_core.events.finish import Ignored
from contexten_core.events.normalise import NormalisedEvent
from contexten_core.events.normalise_known import unknown
from contexten_core.events.steps import StepRecord
from contexten_core.integrations.statuses import pending_status
from contexten_core.projects.resolve import Target
from contexten_core.prompts import store
from contexten_core.prompts.conditions import ConditionVerdict, all_hold, judge
from contexten_core.prompts.models import Executor, PromptConditionModel, PromptModel
from contexten_core.tasks.models import TaskPriority, TaskType


@dataclass(frozen=True, slots=True)
class Choice:
    """The prompt that was selected: the instruction, who carries it out, and its limits."""

    prompt_id: UUID
    slug: str
    version: int
    instruction: str
    executor: Executor
    executor_config: dict[str, Any]
    limits: dict[str, Any]
    task_type: TaskType
    task_priority: TaskPriority


@dataclass(frozen=True, slots=True)
class Candidate:
    """One prompt that was looked at, each of its conditions, and whether it applies."""

    slug: str
    version: int
    priority: int
    applies: bool
    conditions: list[ConditionVerdict] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a prompt was selected, or none: enough to decide the same again."""

    winner: str | None
    reason: str
    candidates: list[Candidate]


async def select(record: StepRecord, event: NormalisedEvent, target: Target) -> Choice | Ignored:
    """Select the prompt for an event, store the explanation on the run, and announce the choice on its commit."""
    async with record.runtime.database.transaction() as session:
        prompts = await store.active(session)
        winner, explanation = choose(prompts, known_fields(event, target))
        run = await record.model(session)
        run.explanation = asdict(explanation)
        if winner is None:
            return await record.complete(session, Ignored(explanation.reason))
        run.prompt_id = winner.id
        choice = Choice(
            prompt_id=winner.id,
            slug=winner.slug,
            version=winner.version,
            instruction=winner.template,
            executor=winner.executor,
            executor_config=winner.executor_config,
            limits=winner.limits or {},
            task_type=winner.task_type,
            task_priority=winner.task_priority,
        )
        if target.commit_status:
            await _announce(session, record, target, choice)
        return await record.complete(session, choice)


async def _announce(session: AsyncSession, record: StepRecord, target: Target, choice: Choice) -> None:
    effect = pending_status(record.runtime.settings, record.run, target, choice.slug)
    await outbox_store.enqueue(session, **asdict(effect))


def known_fields(event: NormalisedEvent, target: Target) -> dict[str, Any]:
    """Return what conditions can ask about: `event.*`, `project.*` and `repository.*`."""
    return {
        "event": asdict(event),
        "project": {"slug": target.project_slug, "name": target.project_name},
        "repository": {"full_name": target.repository, "default_branch": target.default_branch},
    }


def choose(
    prompts: Sequence[tuple[PromptModel, Sequence[PromptConditionModel]]], fields: Mapping[str, Any]
) -> tuple[PromptModel | None, Explanation]:
    """Pick the prompt with the highest priority of those whose conditions hold; the slug decides between equals."""
    candidates, applying = [], []
    for prompt, conditions in prompts:
        verdicts = [judge(condition, fields) for condition in conditions]
        applies = all_hold(conditions, verdicts)
        candidates.append(Candidate(prompt.slug, prompt.version, prompt.priority, applies, verdicts))
        if applies:
            applying.append(prompt)
    candidates.sort(key=lambda candidate: (not candidate.applies, -candidate.priority, candidate.slug))
    if not applying:
        return None, Explanation(None, _no_match(candidates, fields), candidates)
    winner = min(applying, key=lambda prompt: (-prompt.priority, prompt.slug))
    others = len(applying) - 1
    reason = f"{winner.slug} applies" + (f" and comes before {others} other(s) by priority and name" if others else "")
    return winner, Explanation(winner.slug, reason, candidates)


def _no_match(candidates: Sequence[Candidate], fields: Mapping[str, Any]) -> str:
    if not candidates:
        return "there is no active prompt"
    event = fields["event"]
    what = f"{event['type']} {event['action']}" if event["action"] else event["type"]
    reason = f"none of {len(candidates)} active prompts applies to {what} of {fields['project']['slug']}"
    new = unknown(event["provider"], event["type"], event["action"])
    return f"{reason}; {new}" if new else reason
