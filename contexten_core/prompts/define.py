"""Define a prompt: what to do, by which executor, within which limits, and for which events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.prompts import store
from contexten_core.prompts.models import ConditionOperator, Executor, PromptConditionModel, PromptModel, PromptType
from contexten_core.tasks.models import TaskType

CHECKED_ACTIONS = ("opened", "reopened", "synchronize")


@dataclass(frozen=True, slots=True)
class ConditionSpec:
    """One comparison of a prompt, joined to the others by AND."""

    field: str
    operator: ConditionOperator
    expected: Any


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """Everything that defines a prompt."""

    slug: str
    name: str
    template: str
    command: str
    conditions: Sequence[ConditionSpec]
    priority: int = 0
    limits: Mapping[str, Any] = field(default_factory=dict)
    prompt_type: PromptType = PromptType.TESTING
    task_type: TaskType = TaskType.TESTING


def checks_of(*, project_slug: str, project_name: str, command: str, limits: Mapping[str, Any]) -> PromptSpec:
    """Return the prompt that runs a project's own checks on every push and on every new head of a pull request."""
    return PromptSpec(
        slug=f"{project_slug}-checks",
        name=f"Checks of {project_name}",
        template=f"Run the project's own checks on the commit: {command}",
        command=command,
        limits=limits,
        conditions=(
            ConditionSpec("project.slug", ConditionOperator.EQUALS, project_slug),
            ConditionSpec("event.type", ConditionOperator.IN, ["push", "pull_request"]),
            ConditionSpec("event.action", ConditionOperator.IN, [None, *CHECKED_ACTIONS]),
        ),
    )


async def _conditions(session: AsyncSession, prompt: PromptModel) -> list[tuple[str, ConditionOperator, Any]]:
    rows = await store.conditions_of(session, prompt.id)
    return [(row.field_name, row.operator, row.expected_value) for row in rows]


async def define_prompt(session: AsyncSession, spec: PromptSpec) -> PromptModel:
    """Store a prompt with its conditions; one that exists and differs gets the next version number."""
    values = {
        "name": spec.name,
        "template": spec.template,
        "prompt_type": spec.prompt_type,
        "task_type": spec.task_type,
        "priority": spec.priority,
        "executor": Executor.COMMAND,
        "executor_config": {"command": spec.command},
        "limits": dict(spec.limits),
    }
    prompt = await store.by_slug(session, spec.slug)
    conditions = [(condition.field, condition.operator, condition.expected) for condition in spec.conditions]
    if prompt is None:
        prompt = PromptModel(id=uuid4(), slug=spec.slug, **values)
        session.add(prompt)
        await session.flush()
    elif conditions != await _conditions(session, prompt) or any(
        getattr(prompt, key) != value for key, value in values.items()
    ):
        for key, value in values.items():
            setattr(prompt, key, value)
        prompt.version += 1
    await store.replace_conditions(
        session,
        prompt.id,
        [
            PromptConditionModel(
                name=condition.field,
                condition_name=condition.field,
                priority=-position,
                field_name=condition.field,
                operator=condition.operator,
                expected_value=condition.expected,
                prompt_id=prompt.id,
            )
            for position, condition in enumerate(spec.conditions)
        ],
    )
    return prompt
