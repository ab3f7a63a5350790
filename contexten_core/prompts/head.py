"""A prompt's rows, which are its newest version, as a spec; and a spec as what the rows hold."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from contexten_core.prompts.models import PromptConditionModel, PromptModel, PromptTemplateModel
from contexten_core.prompts.spec import (
    ConditionSpec,
    OutputSpec,
    OutputType,
    PromptSpec,
    TemplateSpec,
    VariableSpec,
    VariableType,
    content_of,
    spec_of,
)
from contexten_core.security.text import clean_json

# From here on Python writes a whole float with an exponent, which PostgreSQL reads back as an integer.
_EXPONENT_FROM = 1e16
_VARIABLE = TypeAdapter(VariableSpec)


def canonical(spec: PromptSpec) -> PromptSpec:
    """Return what a database gives back of a spec: with text that it can store, and without names that say nothing."""
    content = settled(clean_json(content_of(spec)))
    for condition in content["conditions"]:
        if condition["name"] == condition["field"]:
            condition["name"] = None
    return spec_of(spec.slug, content)


def settled(value: Any) -> Any:
    """Return a JSON value with those floats that PostgreSQL does not give back as they were as it will: as integers."""
    if isinstance(value, float):
        return int(value) if abs(value) >= _EXPONENT_FROM else value + 0.0
    if isinstance(value, dict):
        return {key: settled(item) for key, item in value.items()}
    return [settled(item) for item in value] if isinstance(value, list) else value


def spec_of_rows(
    prompt: PromptModel, templates: Sequence[PromptTemplateModel], conditions: Sequence[PromptConditionModel]
) -> PromptSpec:
    """Return a prompt's rows as a spec; conditions that are not active are no part of it."""
    return canonical(
        PromptSpec(
            slug=prompt.slug,
            name=prompt.name,
            template=prompt.template,
            description=prompt.description,
            prompt_type=prompt.prompt_type,
            category=prompt.category,
            subcategory=prompt.subcategory,
            tags=tuple(prompt.tags or ()),
            system_prompt=prompt.system_prompt,
            variables=variables_of(prompt.variables, prompt.default_values),
            templates=tuple(template_of(row) for row in templates),
            conditions=tuple(condition_of(row) for row in conditions if row.is_active),
            priority=prompt.priority,
            task_type=prompt.task_type,
            task_priority=prompt.task_priority,
            executor=prompt.executor,
            executor_config=prompt.executor_config,
            limits=prompt.limits or {},
            outputs={OutputType(name): _output(given) for name, given in (prompt.outputs or {}).items()},
        )
    )


def template_of(row: PromptTemplateModel) -> TemplateSpec:
    return TemplateSpec(
        name=row.template_name,
        content=row.content,
        language=row.language,
        context_type=row.context_type,
        is_default=row.is_default,
        priority=row.priority,
    )


def condition_of(row: PromptConditionModel) -> ConditionSpec:
    return ConditionSpec(
        field=row.field_name,
        operator=row.operator,
        expected=row.expected_value,
        name=None if row.condition_name == row.field_name else row.condition_name,
        logical_operator=row.logical_operator,
        group=row.group_id,
        priority=row.priority,
    )


def variables_of(variables: Mapping[str, Any] | None, defaults: Mapping[str, Any] | None) -> dict[str, VariableSpec]:
    """Return the variables that two columns declare; a default of a name that is not declared declares it.

    What no variable may be given any more, in rows of long ago, counts as text.
    """
    variables, defaults = variables or {}, defaults or {}
    return {
        name: _variable(variables.get(name, _type_of(defaults.get(name))), defaults.get(name))
        for name in sorted({*variables, *defaults})
    }


def _variable(given: Any, default: Any) -> VariableSpec:
    declared = dict(given) if isinstance(given, Mapping) else {"type": given}
    if default is not None:
        declared["default"] = default
    try:
        return _VARIABLE.validate_python(declared)
    except ValidationError:
        return VariableSpec(default=default)


def _type_of(default: Any) -> VariableType:
    match default:
        case bool():
            return VariableType.BOOLEAN
        case int():
            return VariableType.INTEGER
        case float():
            return VariableType.NUMBER
        case list():
            return VariableType.LIST
        case dict():
            return VariableType.OBJECT
        case _:
            return VariableType.STRING


def _output(given: Mapping[str, Any]) -> OutputSpec:
    tuples = {name: tuple(given[name]) for name in ("labels", "paths") if given.get(name) is not None}
    return OutputSpec(most=given.get("most", 1), **tuples)


def columns_of(spec: PromptSpec) -> dict[str, Any]:
    """Return what the columns of `prompts` hold of a spec, by the names of the model's attributes."""
    content = content_of(spec)
    variables = content.pop("variables")
    defaults = {name: given.pop("default") for name, given in variables.items()}
    del content["templates"], content["conditions"]
    return content | {
        "slug": spec.slug,
        "prompt_type": spec.prompt_type,
        "task_type": spec.task_type,
        "task_priority": spec.task_priority,
        "executor": spec.executor,
        "tags": content["tags"] or None,
        "variables": {name: _compact(given) for name, given in variables.items()} or None,
        "default_values": {name: value for name, value in defaults.items() if value is not None} or None,
        "limits": content["limits"] or None,
        "outputs": {name: _compact(given) for name, given in content["outputs"].items()} or None,
    }


def _compact(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def template_columns(spec: TemplateSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "template_name": spec.name,
        "content": spec.content,
        "language": spec.language,
        "context_type": spec.context_type,
        "is_default": spec.is_default,
        "priority": spec.priority,
    }


def condition_columns(spec: ConditionSpec) -> dict[str, Any]:
    name = spec.name or spec.field
    return {
        "name": name,
        "condition_name": name,
        "field_name": spec.field,
        "operator": spec.operator,
        "expected_value": spec.expected,
        "is_active": True,
        "priority": spec.priority,
        "logical_operator": spec.logical_operator,
        "group_id": spec.group,
    }
