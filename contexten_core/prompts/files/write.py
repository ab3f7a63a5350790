"""Write prompts as people read them: only what differs from the usual, text as it is, small things on one line."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from contexten_core.prompts.files.do import write_do
from contexten_core.prompts.files.problems import PromptFileError
from contexten_core.prompts.files.read import read_prompts, task_of
from contexten_core.prompts.files.when import write_when
from contexten_core.prompts.files.yaml import is_plainly_text
from contexten_core.prompts.models import Executor
from contexten_core.prompts.spec import OutputSpec, PromptSpec, TemplateSpec, VariableSpec

_WIDEST_ON_ONE_LINE = 90
_NEVER = 1_000_000


class _Dumper(yaml.SafeDumper):
    careful = False

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: ARG002 - PyYAML's signature
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


class _CarefulDumper(_Dumper):
    """Writes every text in quotes, which is right whatever the text is."""

    careful = True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None if is_plainly_text(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if dumper.careful else style)


def _mapping(dumper: _Dumper, value: Mapping[str, Any]) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=_is_short(value))


def _list(dumper: _Dumper, value: Sequence[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=_is_short(value))


def _is_short(value: Any) -> bool:
    """Tell whether a mapping or a list is to be on one line: small, and with no more than one level inside."""
    if isinstance(value, _Spread) or any(isinstance(item, _Spread) for item in value):
        return False
    text = json.dumps(value, ensure_ascii=False)
    return len(text) <= _WIDEST_ON_ONE_LINE and "\\n" not in text


class _Spread(dict[str, Any]):
    """A mapping with a line for each of its keys, however small it is."""


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
for _kind in (dict, _Spread):
    _Dumper.add_representer(_kind, _mapping)
_CarefulDumper.yaml_representers = _Dumper.yaml_representers


def write_prompts(specs: Sequence[PromptSpec], *, versions: Mapping[str, int] | None = None) -> str:
    """Return prompts as a file, the same text for the same prompts.

    Args:
        versions: by slug, the version that each of them is; `push` refuses where there is a newer one by then.
    """
    value = {"prompts": [_entry(spec, (versions or {}).get(spec.slug)) for spec in specs]}
    text = _dump(value, _Dumper)
    # PyYAML gets a few rare texts wrong in blocks (a tab at the beginning, say); in quotes all are right.
    return text if _reads_as(text, specs) else _dump(value, _CarefulDumper)


def _reads_as(text: str, specs: Sequence[PromptSpec]) -> bool:
    try:
        return [found.spec for found in read_prompts(text, name="prompts")] == list(specs)
    except PromptFileError:
        return False


def _dump(value: Any, dumper: type[_Dumper]) -> str:
    return str(yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True, width=_NEVER))


def _entry(spec: PromptSpec, version: int | None) -> dict[str, Any]:
    usual = PromptSpec(slug="", name="", template="")
    said: dict[str, Any] = {
        "slug": spec.slug,
        "version": version,
        "name": spec.name,
        "description": spec.description,
        "type": spec.prompt_type.value,
        "task": None if spec.task_type is task_of(spec.prompt_type) else spec.task_type.value,
        "task_priority": _unless(spec.task_priority.value, usual.task_priority.value),
        "category": spec.category,
        "subcategory": spec.subcategory,
        "tags": _unless(list(spec.tags), []),
        "priority": _unless(spec.priority, usual.priority),
        "when": _unless(write_when(spec.conditions), {}),
        "do": None if _does_nothing(spec) else write_do(spec.executor, spec.executor_config),
        # PostgreSQL does not keep the order of keys.
        "limits": _unless(dict(sorted(spec.limits.items())), {}),
        "outputs": _unless({kind.value: _output(output) for kind, output in sorted(spec.outputs.items())}, {}),
        "system_prompt": spec.system_prompt,
        "template": spec.template,
        "variables": _unless({name: _variable(variable) for name, variable in sorted(spec.variables.items())}, {}),
        "templates": _unless([_template(template) for template in spec.templates], []),
    }
    if isinstance(said["when"], dict):
        said["when"] = _Spread(said["when"])
    return _given(said)


def _unless(value: Any, usual: Any) -> Any:
    return None if value == usual else value


def _given(said: Mapping[str, Any]) -> dict[str, Any]:
    return _Spread({key: value for key, value in said.items() if value is not None})


def _does_nothing(spec: PromptSpec) -> bool:
    return spec.executor is Executor.COMMAND and not spec.executor_config


def _output(output: OutputSpec) -> dict[str, Any]:
    parts = {name: None if items is None else list(items) for name, items in _listed(output)}
    return {"most": output.most, **{name: items for name, items in parts.items() if items is not None}}


def _listed(output: OutputSpec) -> list[tuple[str, tuple[str, ...] | None]]:
    return [("labels", output.labels), ("paths", output.paths)]


def _variable(variable: VariableSpec) -> dict[str, Any]:
    said = {
        "type": variable.type.value,
        "source": variable.source,
        "default": variable.default,
        "required": variable.required or None,
        "description": variable.description,
    }
    return {key: value for key, value in said.items() if value is not None}


def _template(template: TemplateSpec) -> dict[str, Any]:
    return _given(
        {
            "name": template.name,
            "language": template.language,
            "context_type": template.context_type,
            "is_default": template.is_default or None,
            "priority": _unless(template.priority, 0),
            "template": template.content,
        }
    )
