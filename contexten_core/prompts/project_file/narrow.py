"""Narrow a prompt: less time, fewer outputs, fewer events; whatever the narrowing says, never more."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from contexten_core.execution.results import Limits
from contexten_core.prompts.project_file.power import covers
from contexten_core.prompts.spec import ConditionSpec, OutputSpec, OutputType, PromptSpec

_NETWORK = "network"
_EXECUTORS = Limits()
_USUAL = {
    "wall_seconds": _EXECUTORS.wall_seconds,
    "output_bytes": _EXECUTORS.output_bytes,
    "memory_bytes": _EXECUTORS.total_memory_bytes,
    "processes": _EXECUTORS.processes,
    _NETWORK: (),
}
"""What holds where a prompt leaves a limit out."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What a repository takes away from a prompt.

    Attributes:
        enabled: False where the prompt is not to be used for it at all.
        outputs: those that stay, with how much of each; None leaves all.
        conditions: have to hold as well.
    """

    enabled: bool = True
    limits: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[OutputType, OutputSpec] | None = None
    conditions: tuple[ConditionSpec, ...] = ()


def narrowed(spec: PromptSpec, narrowing: Narrowing) -> PromptSpec:
    """Return a prompt with the smaller of each limit, what both allow of the outputs, and both their conditions.

    A prompt without conditions applies to nothing, and goes on doing so.
    """
    outputs = spec.outputs
    if narrowing.outputs is not None:
        both = {
            kind: (output, narrowing.outputs[kind]) for kind, output in outputs.items() if kind in narrowing.outputs
        }
        outputs = {kind: _less(output, other) for kind, (output, other) in both.items()}
    limits = {
        name: _smaller(name, spec.limits.get(name, _USUAL.get(name)), value) for name, value in narrowing.limits.items()
    }
    conditions = spec.conditions and spec.conditions + _apart(narrowing.conditions, spec.conditions)
    return replace(
        spec,
        conditions=conditions,
        limits={**spec.limits, **{name: value for name, value in limits.items() if value is not None}},
        outputs=outputs,
    )


def _smaller(name: str, usual: Any, given: Any) -> Any:
    """Return the smaller limit; None where it is not known what the prompt has without it, so that it stays so."""
    if usual is None:
        return None
    if name != _NETWORK:
        return min(usual, given)
    kept = [host for host in given if any(covers(allowed, host) for allowed in usual)]
    return kept + [host for host in usual if host not in kept and any(covers(allowed, host) for allowed in given)]


def _less(output: OutputSpec, other: OutputSpec) -> OutputSpec:
    return OutputSpec(
        most=min(output.most, other.most),
        labels=_common(output.labels, other.labels),
        paths=_common(output.paths, other.paths),
    )


def _common(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    return tuple(item for item in one if item in other)


def _apart(extra: tuple[ConditionSpec, ...], own: tuple[ConditionSpec, ...]) -> tuple[ConditionSpec, ...]:
    """Put conditions into groups of their own: an OR that joined another's group would make that hold more often."""
    taken = {condition.group for condition in own}
    prefix = "narrowed"
    while any(group is not None and group.startswith(prefix) for group in taken):
        prefix += "'"
    return tuple(replace(condition, group=f"{prefix} {condition.group or ''}".rstrip()) for condition in extra)
