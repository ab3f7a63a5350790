"""What each step found, in one line for people, from its stored result."""

from collections.abc import Callable, Mapping
from typing import Any

from contexten_core.events.ignored import is_ignored
from contexten_core.events.steps import Step


def summarise_step(step: str, result: Mapping[str, Any]) -> str:
    """Return one line about a step's stored result; empty for a step that has none, or that nobody knows."""
    if not result:
        return ""
    if is_ignored(result):
        return f"ignored: {result['reason']}"
    describe = _DESCRIBE.get(step)
    try:
        return describe(result) if describe else ""
    except (KeyError, TypeError):
        return "stored by another version"


def _ingested(result: Mapping[str, Any]) -> str:
    actor = result.get("actor")
    return f"{result['name']}" + (f" by {actor}" if actor else "")


def _resolved(result: Mapping[str, Any]) -> str:
    return f"{result['project_slug']}, {result['repository']} at {result['commit'][:8]}"


def _selected(result: Mapping[str, Any]) -> str:
    return f"{result['slug']} v{result['version']} by {result['executor']}: {result['executor_config'].get('command')}"


def _analysed(result: Mapping[str, Any]) -> str:
    return (
        f"{result['files']} files, {result['lines']} lines, {result['functions']} functions, "
        f"{result['classes']} classes, mostly {result['primary_language'] or 'no source code'}"
    )


def _executed(result: Mapping[str, Any]) -> str:
    return f"{result['conclusion']}: {result['headline']}"


def _recorded(result: Mapping[str, Any]) -> str:
    said = f"report written: {result['description']}"
    outputs = result.get("outputs")
    if not outputs:
        return said
    done = "shown only" if outputs["dry_run"] else "to be done"
    return f"{said}; {len(outputs['effects'])} outputs {done}, {len(outputs['refused'])} refused"


def _mined(result: Mapping[str, Any]) -> str:
    if not result.get("fingerprint"):
        return "a success was noted"
    seen = result["occurrences"]
    return f"{'known' if result['known'] else 'new'} failure {result['fingerprint'][:12]}, seen {seen} ×"


_DESCRIBE: dict[str, Callable[[Mapping[str, Any]], str]] = {
    Step.INGEST_EVENT: _ingested,
    Step.RESOLVE_PROJECT: _resolved,
    Step.SELECT_PROMPT: _selected,
    Step.ANALYSE_CODEBASE: _analysed,
    Step.EXECUTE_TASK: _executed,
    Step.RECORD_ANALYTICS: _recorded,
    Step.MINE_PATTERNS: _mined,
}
