"""Make, change and remove prompts, their templates and their conditions. Each change is a version and has an author."""

import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from contexten_core.db import BaseModel
from contexten_core.db.rows import delete_row, set_values, taken_as
from contexten_core.errors import ConflictError, InvalidInputError
from contexten_core.projects.add import slug_of
from contexten_core.prompts import store, version_store
from contexten_core.prompts.changes import UNKNOWN, note_change
from contexten_core.prompts.conditions import expected_problem
from contexten_core.prompts.head import variables_of
from contexten_core.prompts.inputs import (
    PromptConditionCreate,
    PromptConditionUpdate,
    PromptCreate,
    PromptTemplateCreate,
    PromptTemplateUpdate,
    PromptUpdate,
    defaults_problems,
    executor_problem,
)
from contexten_core.prompts.labels import check_labels
from contexten_core.prompts.models import (
    Executor,
    PromptChange,
    PromptConditionModel,
    PromptModel,
    PromptStatus,
    PromptTemplateModel,
    PromptType,
)
from contexten_core.prompts.versions import (
    changed_message,
    check_expected,
    forget,
    keep_version,
    must_run,
    set_status,
    slug_taken,
    touch,
)
from contexten_core.tasks.models import TaskType

P = TypeVar("P", PromptTemplateModel, PromptConditionModel)
_LONGEST_SLUG = 200
_BESIDE_VERSION = frozenset({"parent_prompt_id", "metadata_"})


async def create_prompt(
    session: AsyncSession, data: PromptCreate, *, author: str = UNKNOWN, message: str | None = None
) -> PromptModel:
    """Store a prompt, as version 1. It applies to nothing until it has conditions.

    Raises:
        ConflictError: the slug is taken.
        InvalidInputError: its parent does not exist, no slug can be made of its name, its executor cannot do with what
            it is given, or it is to be active without anything that carries it out.
    """
    slug = data.slug or slug_of(data.name)[:_LONGEST_SLUG].rstrip("-")
    if not slug:
        raise _invalid("slug", "is needed, since none can be made of the name")
    executor_config = {} if data.executor_config is None else data.executor_config.given()
    if data.executor_config is not None:
        _check_config(data.executor, executor_config)
    problem = executor_problem(data.executor, executor_config)
    status = data.status or (PromptStatus.INACTIVE if problem else PromptStatus.ACTIVE)
    must_run(status, problem)
    chosen = {
        "slug": slug,
        "status": status,
        "task_type": data.task_type or _task_type(data.prompt_type),
        "executor": data.executor,
        "executor_config": executor_config,
    }
    await version_store.lock_catalogue(session)
    await _must_be_prompt(session, "parent_prompt_id", data.parent_prompt_id)
    taken = slug_taken(slug)
    if await store.by_slug(session, slug) is not None:
        raise taken
    prompt = PromptModel(id=uuid4(), **data.columns() | chosen)
    async with taken_as(session, taken):
        session.add(prompt)
    await keep_version(session, prompt, author=author, message=message)
    return prompt


async def update_prompt(
    session: AsyncSession,
    prompt_id: UUID,
    changes: PromptUpdate,
    *,
    author: str = UNKNOWN,
    message: str | None = None,
    protected: Collection[str] = (),
) -> PromptModel | None:
    """Change a prompt, which makes it the next version; None when there is none with that id.

    Its status, its parent and its metadata are no part of a version, but their changes are in the history too.

    Args:
        protected: labels that the author may not move; a prompt that has one keeps its slug.

    Raises:
        ProtectedLabelError: the slug would be another, and the prompt has a label of those.
        ConflictError: the new slug is taken, or the newest version is not the expected one.
        InvalidInputError: its new parent does not exist or is itself, what it would then say does not go together, or
            it would be active without anything that carries it out.
    """
    values = changes.columns()
    if changes.parent_prompt_id == prompt_id:
        raise _invalid("parent_prompt_id", "is the prompt itself")
    prompt = await _locked_prompt(session, prompt_id)
    await _must_be_prompt(session, "parent_prompt_id", changes.parent_prompt_id)
    if prompt is None:
        return None
    await check_expected(session, prompt.slug, prompt, changes.expected_version)
    status = values.pop("status", prompt.status)
    _check_executor(prompt, values, status)
    _check_defaults(prompt, values)
    renamed_from = prompt.slug if values.get("slug", prompt.slug) != prompt.slug else None
    taken = slug_taken(values.get("slug", prompt.slug))
    if renamed_from is not None:
        await check_labels(session, prompt, protected)
        if await store.by_slug(session, values["slug"]) is not None:
            raise taken
    beside = [name for name in _BESIDE_VERSION & values.keys() if _differs(prompt, name, values[name])]
    async with taken_as(session, taken):
        set_values(prompt, values)
    is_new = await keep_version(session, prompt, author=author, message=message, renamed_from=renamed_from)
    if beside and not is_new:
        await _note(session, prompt, beside, author=author, message=message)
    await set_status(session, prompt, status, author=author, message=message)
    return prompt


async def delete_prompt(
    session: AsyncSession,
    prompt_id: UUID,
    *,
    author: str = UNKNOWN,
    message: str | None = None,
    protected: Collection[str] = (),
) -> bool:
    """Remove a prompt with its templates, conditions, versions and labels; the history stays, and runs, without it.

    Args:
        protected: labels that the author may not move.

    Raises:
        ProtectedLabelError: the prompt has a label of those.
    """
    prompt = await _locked_prompt(session, prompt_id)
    if prompt is None:
        return False
    await check_labels(session, prompt, protected)
    await note_change(
        session,
        prompt,
        PromptChange.REMOVED,
        author=author,
        message="Removed" if message is None else message,
        version=prompt.version,
    )
    await forget(session)
    return await delete_row(session, prompt)


async def create_prompt_template(
    session: AsyncSession, data: PromptTemplateCreate, *, author: str = UNKNOWN, message: str | None = None
) -> PromptTemplateModel:
    """Store a prompt's text for one language or kind of context, which makes it the next version.

    Raises:
        ConflictError: the prompt has a template of that name.
        InvalidInputError: there is no such prompt.
    """
    prompt = await _locked_prompt(session, data.prompt_id)
    if prompt is None:
        raise _no_prompt("prompt_id", data.prompt_id)
    taken = _template_taken(data.template_name)
    if await store.template_by_name(session, data.prompt_id, data.template_name) is not None:
        raise taken
    template = PromptTemplateModel(id=uuid4(), **data.columns() | {"name": data.name or data.template_name})
    async with taken_as(session, taken):
        session.add(template)
    await keep_version(session, prompt, author=author, message=message)
    return template


async def update_prompt_template(
    session: AsyncSession,
    template_id: UUID,
    changes: PromptTemplateUpdate,
    *,
    author: str = UNKNOWN,
    message: str | None = None,
) -> PromptTemplateModel | None:
    """Change a template, which makes its prompt the next version; None when there is none with that id.

    Raises:
        ConflictError: the prompt has another template of that name.
    """
    locked = await _locked_part(session, template_id, store.get_prompt_template)
    if locked is None:
        return None
    prompt, template = locked
    values = changes.columns()
    wanted = values.get("template_name", template.template_name)
    taken = _template_taken(wanted)
    if await store.template_by_name(session, template.prompt_id, wanted) not in {None, template}:
        raise taken
    is_other = any(_differs(template, name, value) for name, value in values.items())
    async with taken_as(session, taken):
        set_values(template, values)
    await _keep(session, prompt, "templates" if is_other else None, author=author, message=message)
    return template


async def delete_prompt_template(
    session: AsyncSession, template_id: UUID, *, author: str = UNKNOWN, message: str | None = None
) -> bool:
    """Remove a template, which makes its prompt the next version."""
    locked = await _locked_part(session, template_id, store.get_prompt_template)
    if locked is None:
        return False
    prompt, template = locked
    await delete_row(session, template)
    await _keep(session, prompt, "templates", author=author, message=message)
    return True


async def create_prompt_condition(
    session: AsyncSession, data: PromptConditionCreate, *, author: str = UNKNOWN, message: str | None = None
) -> PromptConditionModel:
    """Store a condition, which makes its prompt the next version, unless it is not active.

    Raises:
        InvalidInputError: there is no such prompt.
    """
    prompt = await _locked_prompt(session, data.prompt_id)
    if prompt is None:
        raise _no_prompt("prompt_id", data.prompt_id)
    condition_name = data.condition_name or data.field_name
    named = {"condition_name": condition_name, "name": data.name or condition_name}
    condition = PromptConditionModel(id=uuid4(), **data.columns() | named)
    session.add(condition)
    await session.flush()
    await _keep(session, prompt, "conditions", author=author, message=message)
    return condition


async def update_prompt_condition(
    session: AsyncSession,
    condition_id: UUID,
    changes: PromptConditionUpdate,
    *,
    author: str = UNKNOWN,
    message: str | None = None,
) -> PromptConditionModel | None:
    """Change a condition, which makes its prompt the next version, unless it is and was not active.

    Returns None when there is none with that id.

    Raises:
        InvalidInputError: the operator and the expected value, of which one may be the old, do not go together.
    """
    locked = await _locked_part(session, condition_id, store.get_prompt_condition)
    if locked is None:
        return None
    prompt, condition = locked
    values = changes.columns()
    problem = expected_problem(
        values.get("operator", condition.operator), values.get("expected_value", condition.expected_value)
    )
    if problem:
        raise _invalid("expected_value", problem)
    is_other = any(_differs(condition, name, value) for name, value in values.items())
    set_values(condition, values)
    await session.flush()
    await _keep(session, prompt, "conditions" if is_other else None, author=author, message=message)
    return condition


async def delete_prompt_condition(
    session: AsyncSession, condition_id: UUID, *, author: str = UNKNOWN, message: str | None = None
) -> bool:
    """Remove a condition, which makes its prompt the next version, unless it was not active."""
    locked = await _locked_part(session, condition_id, store.get_prompt_condition)
    if locked is None:
        return False
    prompt, condition = locked
    await delete_row(session, condition)
    await _keep(session, prompt, "conditions", author=author, message=message)
    return True


async def _keep(
    session: AsyncSession, prompt: PromptModel, part: str | None, *, author: str, message: str | None
) -> None:
    """Keep the next version; where what was changed is no part of one, such as a description, only note that."""
    if not await keep_version(session, prompt, author=author, message=message) and part is not None:
        await _note(session, prompt, [part], author=author, message=message)


async def _note(
    session: AsyncSession, prompt: PromptModel, changed: Sequence[str], *, author: str, message: str | None
) -> None:
    names = sorted(name.strip("_") for name in changed)
    await note_change(
        session,
        prompt,
        PromptChange.DETAILS,
        author=author,
        message=changed_message(names) if message is None else message,
        version=prompt.version,
        details={"changed": names},
    )
    await touch(session, prompt)


async def _locked_prompt(session: AsyncSession, prompt_id: UUID) -> PromptModel | None:
    await version_store.lock_catalogue(session)
    return await store.get_prompt(session, prompt_id, lock=True)


async def _locked_part(
    session: AsyncSession, part_id: UUID, get: Callable[..., Awaitable[P | None]]
) -> tuple[PromptModel, P] | None:
    """Return a template or condition as nobody else changes it meanwhile, with its prompt."""
    await version_store.lock_catalogue(session)
    part = await get(session, part_id, lock=True)
    prompt = None if part is None else await store.get_prompt(session, part.prompt_id, lock=True)
    return (prompt, part) if prompt and part else None


async def _must_be_prompt(session: AsyncSession, field: str, prompt_id: UUID | None) -> None:
    if prompt_id is not None and not await store.hold_prompt(session, prompt_id):
        raise _no_prompt(field, prompt_id)


def _task_type(prompt_type: PromptType) -> TaskType:
    try:
        return TaskType(prompt_type.value)
    except ValueError:
        return TaskType.ANALYSIS


def _check_executor(prompt: PromptModel, values: dict[str, Any], status: PromptStatus) -> None:
    """Make sure that what carries a prompt out after a change is something."""
    if "executor_config" in values:
        is_given = values["executor_config"] is not None
        values["executor_config"] = values["executor_config"] or {}
    else:
        is_given = bool(prompt.executor_config)
    executor = values.get("executor", prompt.executor)
    config = values.get("executor_config", prompt.executor_config)
    is_other = not values.keys().isdisjoint({"executor", "executor_config"})
    if is_other and is_given:
        _check_config(executor, config)
    if is_other or status is not prompt.status:
        must_run(status, executor_problem(executor, config))


def _check_config(executor: Executor, config: Mapping[str, Any]) -> None:
    problem = executor_problem(executor, config)
    if problem:
        raise _invalid("executor_config", problem)


def _check_defaults(prompt: PromptModel, values: Mapping[str, Any]) -> None:
    """Make sure that default values fit the variables, of which only one may have been given."""
    if {"variables", "default_values"} & values.keys():
        declared = {
            name: {"type": variable.type}
            for name, variable in variables_of(values.get("variables", prompt.variables), None).items()
        }
        problems = defaults_problems(declared, values.get("default_values", prompt.default_values) or {})
        if problems:
            text = "; ".join(f"{name} {problem}" for name, problem in problems.items())
            raise _invalid("default_values", text)


def _template_taken(template_name: str) -> ConflictError:
    return ConflictError(
        f"template_name: the prompt has a template {template_name!r} already", hint="Give it another name."
    )


def _no_prompt(field: str, prompt_id: UUID) -> InvalidInputError:
    return _invalid(field, f"there is no prompt {prompt_id}")


def _invalid(field: str, problem: str) -> InvalidInputError:
    return InvalidInputError(f"{field}: {problem}", fields={field: problem})


def _differs(row: BaseModel, name: str, value: Any) -> bool:
    # As JSON, since to Python 1 and true are equal.
    before, after = (json.dumps(given, sort_keys=True, default=str) for given in (getattr(row, name), value))
    return before != after
