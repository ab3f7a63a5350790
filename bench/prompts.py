"""How fast a prompt is selected among many: `python -m bench.prompts [--prompts N]`.

Catalogues of N prompts with five conditions each, of several kinds, and events that vary. In one run, alternating:
(a) our selection, explanation included, and (b) the naive way, which compares every condition of every prompt with the
event. Both must find the same prompts. Nothing else is measured: no database, no repository.
"""

import argparse
import gc
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from contexten_core.prompts.conditions import holds
from contexten_core.prompts.explanation import replay
from contexten_core.prompts.index.index import LivePrompt, PromptIndex
from contexten_core.prompts.models import ConditionOperator, LogicalOperator
from contexten_core.prompts.select import choose
from contexten_core.prompts.spec import ConditionSpec, PromptSpec

RESULTS = Path(__file__).parent / "results"
_BUDGET_SECONDS = 0.01
_TYPES = ("push", "pull_request", "issues", "issue_comment", "check_run", "workflow_run", "Issue", "app_mention")
_ACTIONS = (None, "opened", "closed", "created", "synchronize", "completed")
_WORDS = [f"word{number}" for number in range(3_000)]
_PROJECTS = 500
_TEXT_WORDS = 2_200

_Conditions = list[ConditionSpec]


def _when(field: str, operator: str, expected: Any, *, either: bool = False, group: str | None = None) -> ConditionSpec:
    joined = LogicalOperator.OR if either else LogicalOperator.AND
    return ConditionSpec(field, ConditionOperator(operator), expected, logical_operator=joined, group=group)


def _selective(number: int, chance: random.Random) -> _Conditions:
    """Types of events, projects and actions, as the checks of many projects have them."""
    return [
        _when("event.type", "in", chance.sample(_TYPES, 2)),
        _when("project.slug", "equals", f"project-{number % _PROJECTS}"),
        _when("event.action", "in", chance.sample(_ACTIONS, 3)),
        _when("event.branch", "not_equals", "wip"),
        _when("event.from_bot", "equals", False),
    ]


def _one_type(number: int, chance: random.Random) -> _Conditions:
    """All for pushes, each of another project."""
    return [
        _when("event.type", "equals", "push"),
        _when("project.slug", "equals", f"project-{number}"),
        _when("event.branch", "regex_match", f"^release/{chance.randrange(90)}"),
        _when("event.number", "greater_than", chance.randrange(90)),
        _when("event.title", "not_contains", "wip"),
    ]


def _patterns(number: int, chance: random.Random) -> _Conditions:
    """Regular expressions on short texts, and nothing else."""
    return [
        _when("event.branch", "regex_match", rf"^(release|hotfix)/{number}(\.\d+)*$"),
        _when("event.title", "regex_match", rf"(?i)\b{chance.choice(_WORDS)}\b"),
        *(_when("event.actor", "regex_match", rf"^user-\d*{chance.randrange(10)}$") for _ in range(3)),
    ]


def _texts(number: int, chance: random.Random) -> _Conditions:
    """For one type of event, by words and patterns in 20,000 characters of text."""
    return [
        _when("event.type", "equals", "push"),
        _when("event.text", "contains", f"{chance.choice(_WORDS)}-{number}"),
        _when("event.text", "regex_match", rf"\b{chance.choice(_WORDS)}\s+{chance.choice(_WORDS)}\b"),
        _when("event.text", "not_contains", chance.choice(_WORDS)),
        _when("event.title", "contains", chance.choice(_WORDS)),
    ]


def _mixed(number: int, chance: random.Random) -> _Conditions:
    """Every operator at random; one prompt in twenty has neither a type nor a project."""
    some = [
        _when("event.action", "not_in", chance.sample(_ACTIONS, 2)),
        _when("event.number", "less_than", chance.randrange(90)),
        _when("event.title", "contains", chance.choice(_WORDS)),
        _when("event.branch", "regex_match", f"^{chance.choice(['main', 'release/', 'user/'])}"),
        _when("event.actor", "not_equals", f"user-{chance.randrange(90)}"),
        _when("event.text", "not_contains", chance.choice(_WORDS)),
        _when("event.branch", "equals", "main", either=True, group="where"),
        _when("event.number", "greater_than", 50, either=True, group="where"),
    ]
    if number % 20 == 0:
        return chance.sample(some, 5)
    first = _when("event.type", "equals", chance.choice(_TYPES))
    return [first, _when("project.slug", "equals", f"project-{number % _PROJECTS}"), *chance.sample(some, 3)]


def _negative(number: int, chance: random.Random) -> _Conditions:
    """What hardly any catalogue is: only values that must not be there, so that nearly every prompt applies."""
    return [_when("event.actor", "not_equals", f"bot-{number}-{chance.randrange(10_000)}") for _ in range(5)]


def _thresholds(_number: int, chance: random.Random) -> _Conditions:
    """What no index helps with: numbers and missing words, all different."""
    return [
        _when("event.number", "greater_than", chance.random() - 1),
        _when("event.number", "less_than", 1_000 + chance.random()),
        *(_when("event.title", "not_contains", f"{chance.random()}") for _ in range(3)),
    ]


def _hostile(number: int, chance: random.Random) -> _Conditions:
    """Patterns made to be slow, one prompt in a hundred; the others as `selective`."""
    if number % 100:
        return _selective(number, chance)
    return [_when("event.text", "regex_match", f"(.{{0,30}}{chance.choice('abcdefgh')}){{{10 + number % 19}}}!$")]


MIXES: dict[str, Callable[[int, random.Random], _Conditions]] = {
    "selective": _selective,
    "one type of event": _one_type,
    "mixed": _mixed,
    "patterns": _patterns,
    "texts": _texts,
    "adversarial: only negative": _negative,
    "adversarial: only thresholds": _thresholds,
    "adversarial: slow patterns": _hostile,
}


def catalogue(count: int, make: Callable[[int, random.Random], _Conditions]) -> list[LivePrompt]:
    """Return that many prompts, always the same."""
    chance = random.Random(7)  # noqa: S311 - only to vary them
    return [
        LivePrompt(
            UUID(int=number),
            1,
            PromptSpec(
                slug=f"prompt-{number:05}",
                name="A prompt",
                template="Do it",
                conditions=tuple(make(number, chance)),
                priority=number % 5,
            ),
        )
        for number in range(count)
    ]


def events() -> Iterator[dict[str, Any]]:
    """Yield what is known of one event after the other, always the same."""
    chance = random.Random(11)  # noqa: S311 - likewise
    while True:
        yield {
            "event": {
                "type": chance.choice(_TYPES),
                "action": chance.choice(_ACTIONS),
                "provider": "github",
                "branch": chance.choice(["main", "user/x", f"release/{chance.randrange(90)}"]),
                "actor": f"user-{chance.randrange(90)}",
                "number": chance.randrange(100),
                "title": " ".join(chance.choices(_WORDS, k=8)),
                "text": " ".join(chance.choices(_WORDS, k=_TEXT_WORDS))[:20_000],
                "from_bot": False,
            },
            "project": {"slug": f"project-{chance.randrange(_PROJECTS)}", "name": "A project"},
            "repository": {"full_name": "acme/cashbox", "default_branch": "main"},
        }


def measure(count: int, rounds: int) -> dict[str, Any]:
    """Measure every mix; raises AssertionError where both ways differ."""
    return {
        "at": datetime.now(UTC).isoformat(),
        "machine": {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "cores": psutil.cpu_count(),
            "load_before": os.getloadavg(),
        },
        "plan": {
            "prompts": count,
            "rounds": rounds,
            "budget_seconds": _BUDGET_SECONDS,
            "measured": "one event: judging and explaining; the naive way in every tenth round. By the wall clock, and "
            "by the processor's time of the thread, which others on the machine disturb less",
        },
        "mixes": {name: _measure(count, rounds, make) for name, make in MIXES.items()},
    }


def _measure(count: int, rounds: int, make: Callable[[int, random.Random], _Conditions]) -> dict[str, Any]:
    prompts = catalogue(count, make)
    gc.collect()
    began = time.thread_time()
    index = PromptIndex.build(prompts)
    built = time.thread_time() - began
    changed = [*prompts[:-1], LivePrompt(prompts[-1].prompt_id, 2, prompts[-1].spec)]
    began = time.thread_time()
    PromptIndex.build(changed, previous=index)
    rebuilt = time.thread_time() - began
    ours, processor, naive, candidates = [], [], [], []
    for number, fields in zip(range(rounds), events(), strict=False):
        began, used = time.perf_counter(), time.thread_time()
        winner, explanation = choose(index, fields)
        processor.append(time.thread_time() - used)
        ours.append(time.perf_counter() - began)
        candidates.append(len(index.candidates(fields)))
        if number % 10:
            continue
        began = time.thread_time()
        applying = [live for live in prompts if holds(live.spec.conditions, fields)]
        naive.append(time.thread_time() - began)
        assert winner is min(applying, key=lambda live: (-live.spec.priority, live.spec.slug), default=None)
        assert replay(explanation) == explanation
    p99 = statistics.quantiles(processor, n=100)[98]
    return {
        "what": make.__doc__,
        "conditions": sum(len(live.spec.conditions) for live in prompts),
        "build_seconds": built,
        "rebuild_after_one_change_seconds": rebuilt,
        "wall": {"p50_seconds": statistics.median(ours), "p99_seconds": statistics.quantiles(ours, n=100)[98]},
        "p50_seconds": statistics.median(processor),
        "p99_seconds": p99,
        "largest_seconds": max(processor),
        "within_budget": p99 < _BUDGET_SECONDS,
        "looked_at": {"median": statistics.median(candidates), "most": max(candidates)},
        "naive_p50_seconds": statistics.median(naive),
        "times_faster": statistics.median(naive) / statistics.median(processor),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=10_000, help="how many prompts")
    parser.add_argument("--rounds", type=int, default=300, help="how many events")
    arguments = parser.parse_args()
    result = measure(arguments.prompts, arguments.rounds)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"prompts-{datetime.now(UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name, found in result["mixes"].items():
        shown = {key: found[key] * 1000 for key in ("p50_seconds", "p99_seconds", "naive_p50_seconds")}
        print(
            f"{name:30} p50 {shown['p50_seconds']:.2f} ms, p99 {shown['p99_seconds']:.2f} ms, "
            f"wall p99 {found['wall']['p99_seconds'] * 1000:.2f} ms, naive {shown['naive_p50_seconds']:.0f} ms, "
            f"{found['times_faster']:.0f} times faster, build {found['build_seconds']:.2f} s"
        )
    print(f"written to {path}")


if __name__ == "__main__":
    main()
