"""What carries a prompt out, how much of it, and what may come of it: settings that cannot work or have no effect."""

from collections.abc import Iterator, Mapping

from contexten_core.errors import InvalidInputError
from contexten_core.execution.executor import installed
from contexten_core.inputs import checked
from contexten_core.prompts.inputs import ExecutorConfig, PromptLimits, executor_problem
from contexten_core.prompts.lint.findings import Finding, Severity, Subject, listed, shown
from contexten_core.prompts.models import Executor
from contexten_core.prompts.spec import OutputType, PromptSpec
from contexten_core.settings import Settings

_WITHOUT_EFFECT: Mapping[str, frozenset[str]] = {
    Executor.COMMAND: frozenset({"max_cost", "max_tokens"}),
    Executor.AGENT: frozenset({"max_cost", "max_tokens"}),
    Executor.LLM: frozenset({"memory_bytes", "processes", "network"}),
    Executor.HTTP: frozenset({"memory_bytes", "processes", "network", "output_bytes"}),
    Executor.REPLY: frozenset(PromptLimits.model_fields),
}
_ONLY_OF: Mapping[str, OutputType] = {"labels": OutputType.LABELS, "paths": OutputType.PATCH}


def check_running(subject: Subject, settings: Settings | None) -> Iterator[Finding]:
    """Yield what is wrong with a prompt's executor, limits and outputs.

    Args:
        settings: of this installation; without them nothing is said of what depends on them.
    """
    spec = subject.spec
    yield from _executor(spec, settings)
    yield from _limits(spec)
    yield from _outputs(spec)


def _executor(spec: PromptSpec, settings: Settings | None) -> Iterator[Finding]:
    where, part = f"do {spec.executor.value}", ("do",)
    problem = executor_problem(spec.executor, spec.executor_config) or _refused(ExecutorConfig, spec.executor_config)
    if problem is not None:
        yield Finding("executor-config", Severity.ERROR, spec.slug, problem, where, part)
    if spec.executor.value not in installed():
        known = listed(sorted(installed()))
        message = (
            f"no executor named {spec.executor.value} is installed here; installed are: {known}. Workers that have it"
            " can carry the prompt out; others say that they cannot"
        )
        yield Finding("no-executor", Severity.WARNING, spec.slug, message, where, part)
    if (
        spec.executor is Executor.LLM
        and settings is not None
        and not spec.executor_config.get("model")
        and settings.llm_model is None
    ):
        message = "it names no model, and none is configured; set CONTEXTEN_LLM_MODEL, or name one here"
        yield Finding("no-model", Severity.WARNING, spec.slug, message, where, part)
    agent = spec.executor_config.get("agent")
    if spec.executor is Executor.HTTP and settings is not None and agent and agent not in settings.hosted_agents:
        message = f"no hosted agent named {shown(agent)} is configured; set CONTEXTEN_HOSTED_AGENTS"
        yield Finding("no-agent", Severity.WARNING, spec.slug, message, where, part)


def _refused(model: type[ExecutorConfig | PromptLimits], given: Mapping[str, object]) -> str | None:
    try:
        checked(model, given)
    except InvalidInputError as error:
        return error.message
    return None


def _limits(spec: PromptSpec) -> Iterator[Finding]:
    for name, value in spec.limits.items():
        where, part = f"limit {shown(name)}", ("limits", name)
        problem = _refused(PromptLimits, {name: value})
        if problem is not None:
            yield Finding("limit", Severity.ERROR, spec.slug, f"the limit {problem}", where, part)
        elif name in _WITHOUT_EFFECT.get(spec.executor, ()):
            message = f"the limit {name} has no effect on the executor {spec.executor.value}; drop it"
            yield Finding("unused-limit", Severity.WARNING, spec.slug, message, where, part)


def _outputs(spec: PromptSpec) -> Iterator[Finding]:
    if spec.executor is Executor.COMMAND and spec.outputs:
        names = listed(sorted(spec.outputs))
        message = f"a command proposes nothing, so the outputs {names} have no effect; drop them"
        yield Finding("unused-output", Severity.WARNING, spec.slug, message, "outputs", ("outputs",))
    if spec.executor is not Executor.COMMAND and not spec.outputs:
        message = (
            f"the executor {spec.executor.value} may propose nothing, so all that comes of it is its log; "
            "name what it may do under `outputs`: comment, review, labels, patch, ticket_update, message"
        )
        yield Finding("no-outputs", Severity.WARNING, spec.slug, message, "outputs", ("outputs",))
    for kind, output in spec.outputs.items():
        where, part = f"output {kind.value}", ("outputs", kind.value)
        if output.most <= 0:
            message = f"the output {kind.value} is allowed {output.most} times, which is never; drop it"
            yield Finding("unused-output", Severity.WARNING, spec.slug, message, where, part)
        for name, meant in _ONLY_OF.items():
            given = getattr(output, name)
            if given is not None and kind is not meant:
                message = f"{name} are for the output {meant.value}, and have no effect on {kind.value}; drop them"
                yield Finding("unused-output", Severity.WARNING, spec.slug, message, where, (*part, name))
            elif given == ():
                message = f"the list of {name} is empty, so no {kind.value} is ever allowed; name some, or drop it"
                yield Finding("unused-output", Severity.WARNING, spec.slug, message, where, (*part, name))
