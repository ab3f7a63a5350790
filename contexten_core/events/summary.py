"""What is stored of a step, or of an event that was set aside, in lines for people."""

from collections.abc import Callable, Mapping
from typing import Any

from contexten_core.events.ignored import is_ignored
from contexten_core.events.models import EventModel
from contexten_core.events.steps import Step

_KILLS_ITS_WORKER = "kills_its_worker"


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


def is_suspect(event: EventModel) -> bool:
    """Tell whether an event is parked because it seems to kill whoever handles it; its body can be read."""
    return event.parked_at is not None and (event.error_details or {}).get("code") == _KILLS_ITS_WORKER


def evidence(event: EventModel) -> list[str]:
    """Return what is known of how the workers fared that claimed an event, one line each."""
    details = event.error_details or {}
    lines = [
        f"worker {claim.get('owner') or 'unknown'} fell silent; it had the event until {_moment(claim.get('until'))}"
        for claim in details.get("claims") or ()
    ]
    if details.get("code") == _KILLS_ITS_WORKER:
        began = f", begun {_moment(details['started_at'])}" if details.get("started_at") else ""
        step = f"{details['step']}{began}" if details.get("step") else "none had begun"
        lines.append(f"claimed {details.get('times')} times without getting on; the step under way: {step}")
    return lines


def _moment(text: Any) -> str:
    return f"{text[:19].replace('T', ' ')} UTC" if isinstance(text, str) else "an unknown time"


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
