"""How much the prompts of a repository's own file may do: whoever can merge into its base branch decides about them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from contexten_core.errors import ConfigurationError, InvalidInputError
from contexten_core.execution.results import Limits
from contexten_core.inputs import Input, checked
from contexten_core.prompts.files.read import output_of
from contexten_core.prompts.files.schema import STRICT, LimitsPart, OutputPart
from contexten_core.prompts.models import Executor
from contexten_core.prompts.spec import OutputSpec, OutputType, PromptSpec

_NETWORK = "network"
_USUAL = Limits()


def _usual_limits() -> dict[str, Any]:
    return {"wall_seconds": _USUAL.wall_seconds, "output_bytes": _USUAL.output_bytes, _NETWORK: []}


@dataclass(frozen=True, slots=True)
class Power:
    """The envelope of the prompts that a repository's own file adds.

    A project's setting `file_power` of `prompts` widens it for its own repositories:
    `{"executors": ["command", "llm"], "limits": {"wall_seconds": 1800}, "outputs": {"comment": {"most": 1}}}`.

    Attributes:
        executors: who may carry them out: programs on the checkout, and nobody else.
        limits: the most that each limit may be; one that is not here may not be set. Without network.
        outputs: what they may propose, and how much of it: nothing.
    """

    executors: frozenset[Executor] = frozenset({Executor.COMMAND})
    limits: Mapping[str, Any] = field(default_factory=_usual_limits)
    outputs: Mapping[OutputType, OutputSpec] = field(default_factory=dict)


class _PowerPart(Input):
    model_config = STRICT

    executors: list[Executor] = Field(default_factory=lambda: [Executor.COMMAND])
    limits: LimitsPart = Field(default_factory=LimitsPart)
    outputs: dict[Annotated[OutputType, Field(strict=False)], OutputPart] = Field(default_factory=dict)


def power_of(setting: Any) -> Power:
    """Return the envelope that a project's setting says; what it leaves out, or None, is the usual.

    Raises:
        ConfigurationError: the setting is not of that form.
    """
    try:
        part = checked(_PowerPart, {} if setting is None else setting)
    except InvalidInputError as error:
        raise ConfigurationError(
            f"the project's setting file_power of prompts: {error.message}",
            hint='It is like {"limits": {"wall_seconds": 1800}}; set it with PUT /api/projects/ID/config.',
        ) from None
    return Power(
        executors=frozenset(part.executors),
        limits={**_usual_limits(), **part.limits.given()},
        outputs={kind: output_of(output) for kind, output in part.outputs.items()},
    )


def beyond(spec: PromptSpec, power: Power) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what of a prompt is beyond an envelope: the path of the value within the prompt, and why."""
    if spec.executor not in power.executors:
        allowed = ", ".join(sorted(executor.value for executor in power.executors)) or "none"
        yield ("do", spec.executor.value), f"a project's own file may not use this executor; it may use {allowed}"
    elif spec.executor is not Executor.COMMAND and spec.executor_config:
        yield ("do", spec.executor.value), "a project's own file may not configure this executor; write {}"
    for name, value in spec.limits.items():
        if problem := _limit_problem(name, value, power.limits):
            yield ("limits", name), problem
    for kind, output in spec.outputs.items():
        if kind not in power.outputs:
            yield ("outputs", kind.value), "a project's own file may not allow this output"
            continue
        for name, problem in _output_problems(output, power.outputs[kind]):
            yield ("outputs", kind.value, name), problem


def _limit_problem(name: str, value: Any, most: Mapping[str, Any]) -> str | None:
    if name not in most:
        return "a project's own file may not set this limit"
    if name == _NETWORK:
        outside = [host for host in value if not any(covers(allowed, host) for allowed in most[name])]
        return f"a project's own file may not reach {', '.join(outside)[:200]}" if outside else None
    return f"is more than the {most[name]} of a project's own file" if value > most[name] else None


def _output_problems(output: OutputSpec, most: OutputSpec) -> Iterator[tuple[str, str]]:
    if output.most > most.most:
        yield "most", f"is more than the {most.most} of a project's own file"
    if most.labels is not None and not set(output.labels or ("",)) <= set(most.labels):
        yield "labels", f"a project's own file may set no others than {', '.join(most.labels)[:200]}"
    if most.paths is not None and not set(output.paths or ("",)) <= set(most.paths):
        yield "paths", f"a project's own file may allow no others than {', '.join(most.paths)[:200]}"


def path_problem(path: str) -> str | None:
    """Return why a file in a repository may not name a path for patches.

    Files that decide what is run (CI settings, agents' settings) may be touched where they are named in full, and to
    do that is more power than the file has.
    """
    if any(part.startswith(".") for part in path.split("/")):
        return "names beginning with a dot cannot be allowed by a project's own file"
    return None if "*" in path else "only patterns such as docs/** can be allowed by a project's own file"


def covers(allowed: str, host: str) -> bool:
    """Tell whether a host, or all below one, is among those that an entry of `network` allows."""
    return host == allowed or (allowed.startswith("*.") and host.endswith(allowed[1:]))
