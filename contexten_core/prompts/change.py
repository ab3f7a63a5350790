"""Make, change and remove prompts, their templates and their conditions."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import BaseModel
from contexten_core.db.rows import delete_row, set_values, taken_as
from contexten_core.errors import ConflictError, InvalidInputError
from contexten_core.projects.add import slug_of
from contexten_core.prompts import store
from contexten_core.prompts.inputs import (
    PromptConditionCreate,
    PromptConditionUpdate,
    PromptCreate,
    PromptTemplateCreate,
    PromptTemplateUpdate,
    PromptUpdate,
    expected_problem,
)
from contexten_core.prompts.models import (
    PromptConditionModel,
    PromptModel,
    PromptStatus,
    PromptTemplateModel,
    PromptType,
)
from contexten_core.tasks.models import TaskType

_LONGEST_SLUG = 200
_VERSIONED = frozenset({"template", "system_prompt", "variables", "default_values", "executor", "executor_config"})


async def create_prompt(session: AsyncSession, data: PromptCreate) -> PromptModel:
    """Store a prompt. It applies to nothing until it has conditions.

    Raises:
        ConflictError: the slug is taken.
        InvalidInputError: its parent does not exist, no slug can be made of its name, or it is to be active without
            anything that carries it out.
    """
    slug = data.slug or slug_of(data.name)[:_LONGEST_SLUG].rstrip("-")
    if not slug:
        raise _invalid("slug", "is needed, since none can be made of the name")
    status = data.status or (PromptStatus.INACTIVE if data.executor_config is None else PromptStatus.ACTIVE)
    executor_config = {} if data.executor_config is None else data.executor_config.given()
    _check_executable(status, executor_config)
    chosen = {
        "slug": slug,
        "status": status,
        "task_type": data.task_type or _task_type(data.prompt_type),
        "executor": data.executor,
        "executor_config": executor_config,
    }
    await _must_be_prompt(session, "parent_prompt_id", data.parent_prompt_id)
    taken = _slug_taken(slug)
    if await store.by_slug(session, slug) is not None:
        raise taken
    prompt = PromptModel(id=uuid4(), **data.columns() | chosen)
    async with taken_as(session, taken):
        session.add(prompt)
    return prompt


async def update_prompt(session: AsyncSession, prompt_id: UUID, changes: PromptUpdate) -> PromptModel | None:
    """Change a prompt; None when there is none with that id.

    What it says or runs being changed (text, variables, executor) makes it the next version.

    Raises:
        ConflictError: the new slug is taken.
        InvalidInputError: its new parent does not exist or is itself, or it would be active without anything that
            carries it out.
    """
    values = changes.columns()
    if changes.parent_prompt_id == prompt_id:
        raise _invalid("parent_prompt_id", "is the prompt itself")
    await _must_be_prompt(session, "parent_prompt_id", changes.parent_prompt_id)
    prompt = await store.get_prompt(session, prompt_id, lock=True)
    if prompt is None:
        return None
    if "executor_config" in values:
        values["executor_config"] = values["executor_config"] or {}
    if not values.keys().isdisjoint({"status", "executor_config"}):
        _check_executable(values.get("status", prompt.status), values.get("executor_config", prompt.executor_config))
    taken = _slug_taken(values.get("slug", prompt.slug))
    if "slug" in values and values["slug"] != prompt.slug and await store.by_slug(session, values["slug"]) is not None:
        raise taken
    is_new_version = any(_differs(prompt, name, values[name]) for name in _VERSIONED & values.keys())
    async with taken_as(session, taken):
        set_values(prompt, values)
        prompt.version += is_new_version
    return prompt


async def delete_prompt(session: AsyncSession, prompt_id: UUID) -> bool:
    """Remove a prompt with its templates and conditions; runs that it decided stay, without it."""
    return await delete_row(session, await store.get_prompt(session, prompt_id, lock=True))


async def create_prompt_template(session: AsyncSession, data: PromptTemplateCreate) -> PromptTemplateModel:
    """Store a prompt's text for one language or kind of context.

    Raises:
        ConflictError: the prompt has a template of that name.
        InvalidInputError: there is no such prompt.
    """
    await _must_be_prompt(session, "prompt_id", data.prompt_id)
    taken = _template_taken(data.template_name)
    if await store.template_by_name(session, data.prompt_id, data.template_name) is not None:
        raise taken
    template = PromptTemplateModel(id=uuid4(), **data.columns() | {"name": data.name or data.template_name})
    async with taken_as(session, taken):
        session.add(template)
    return template


async def update_prompt_template(
    session: AsyncSession, template_id: UUID, changes: PromptTemplateUpdate
) -> PromptTemplateModel | None:
    """Change a template; None when there is none with that id.

    Raises:
        ConflictError: the prompt has another template of that name.
    """
    template = await store.get_prompt_template(session, template_id, lock=True)
    if template is None:
        return None
    values = changes.columns()
    wanted = values.get("template_name", template.template_name)
    taken = _template_taken(wanted)
    if await store.template_by_name(session, template.prompt_id, wanted) not in {None, template}:
        raise taken
    async with taken_as(session, taken):
        set_values(template, values)
    return template


async def delete_prompt_template(session: AsyncSession, template_id: UUID) -> bool:
    return await delete_row(session, await store.get_prompt_template(session, template_id, lock=True))


async def create_prompt_condition(session: AsyncSession, data: PromptConditionCreate) -> PromptConditionModel:
    """Store a condition, which makes its prompt the next version.

    Raises:
        InvalidInputError: there is no such prompt.
    """
    prompt = await store.get_prompt(session, data.prompt_id, lock=True)
    if prompt is None:
        raise _no_prompt("prompt_id", data.prompt_id)
    condition_name = data.condition_name or data.field_name
    named = {"condition_name": condition_name, "name": data.name or condition_name}
    condition = PromptConditionModel(id=uuid4(), **data.columns() | named)
    session.add(condition)
    prompt.version += 1
    await session.flush()
    return condition


async def update_prompt_condition(
    session: AsyncSession, condition_id: UUID, changes: PromptConditionUpdate
) -> PromptConditionModel | None:
    """Change a condition, which makes its prompt the next version; None when there is none with that id.

    Raises:
        InvalidInputError: the operator and the expected value, of which one may be the old, do not go together.
    """
    locked = await _locked_condition(session, condition_id)
    if locked is None:
        return None
    prompt, condition = locked
    values = changes.columns()
    problem = expected_problem(
        values.get("operator", condition.operator), values.get("expected_value", condition.expected_value)
    )
    if problem:
        raise _invalid("expected_value", problem)
    prompt.version += any(_differs(condition, name, value) for name, value in values.items())
    set_values(condition, values)
    await session.flush()
    return condition


async def delete_prompt_condition(session: AsyncSession, condition_id: UUID) -> bool:
    """Remove a condition, which makes its prompt the next version."""
    locked = await _locked_condition(session, condition_id)
    if locked is None:
        return False
    prompt, condition = locked
    prompt.version += 1
    return await delete_row(session, condition)


async def _must_be_prompt(session: AsyncSession, field: str, prompt_id: UUID | None) -> None:
    if prompt_id is not None and not await store.hold_prompt(session, prompt_id):
        raise _no_prompt(field, prompt_id)


async def _locked_condition(
    session: AsyncSession, condition_id: UUID
) -> tuple[PromptModel, PromptConditionModel] | None:
    """Lock a condition's prompt, then the condition: the order of everybody who changes both."""
    found = await store.get_prompt_condition(session, condition_id)
    prompt = await store.get_prompt(session, found.prompt_id, lock=True) if found else None
    condition = await store.get_prompt_condition(session, condition_id, lock=True) if prompt else None
    return (prompt, condition) if prompt and condition else None


def _task_type(prompt_type: PromptType) -> TaskType:
    try:
        return TaskType(prompt_type.value)
    except ValueError:
        return TaskType.ANALYSIS


def _check_executable(status: PromptStatus, executor_config: Mapping[str, Any]) -> None:
    if status is PromptStatus.ACTIVE and not executor_config:
        raise _invalid("executor_config", 'an active prompt needs what carries it out: {"command": "..."}')


def _slug_taken(slug: str) -> ConflictError:
    return ConflictError(f"slug: {slug!r} is taken by another prompt", hint="Give the prompt another slug.")


def _template_taken(template_name: str) -> ConflictError:
    return ConflictError(
        f"template_name: the prompt has a template {template_name!r} already", hint="Give it another name."
    )


def _no_prompt(field: str, prompt_id: UUID) -> InvalidInputError:
    return _invalid(field, f"there is no prompt {prompt_id}")


def _invalid(field: str, problem: str) -> InvalidInputError:
    return InvalidInputError(f"{field}: {problem}", fields={field: problem})


def _differs(row: BaseModel, name: str, value: Any) -> bool:
    return json.dumps(getattr(row, name), sort_keys=True) != json.dumps(value, sort_keys=True)
