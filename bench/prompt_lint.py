"""How long checking many prompts takes: `python -m bench.prompt_lint [--prompts N] [--seed N] [--profile]`.

Three sets of prompts, each of five conditions on average: those of many projects, where most are told apart by an
equality; those of one project and one priority, which differ by texts alone; and numbers and lists of values that
overlap in all ways. Prints one line for each; nothing is written.
"""

import argparse
import cProfile
import pstats
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping

from contexten_core.events.models import EventProvider
from contexten_core.prompts.fields import EVENT_TYPES, actions_of
from contexten_core.prompts.lint.lint import lint
from contexten_core.prompts.models import ConditionOperator, Executor, LogicalOperator
from contexten_core.prompts.spec import ConditionSpec, OutputSpec, OutputType, PromptSpec, VariableSpec

_TYPES = tuple(sorted(EVENT_TYPES[EventProvider.GITHUB]))
_LANGUAGES = ("Python", "Go", "Rust", "TypeScript", "Java")
_WORDS = ("fix", "bump", "release", "docs", "tax", "total", "flaky", "revert", "wip", "typo")
_OF_TEN_WITH_ACTION = 6
_OF_TEN_WITH_PROJECT = 9
_EQUALS, _IN = ConditionOperator.EQUALS, ConditionOperator.IN


def _event(choose: random.Random) -> list[ConditionSpec]:
    kinds = choose.sample(_TYPES, choose.choice((1, 1, 1, 2, 3)))
    conditions = [
        ConditionSpec("event.type", _IN, kinds) if len(kinds) > 1 else ConditionSpec("event.type", _EQUALS, kinds[0])
    ]
    actions = sorted(actions_of(EventProvider.GITHUB, kinds[0]) or ())
    if actions and choose.randrange(10) < _OF_TEN_WITH_ACTION:
        conditions.append(ConditionSpec("event.action", _IN, choose.sample(actions, min(2, len(actions)))))
    return conditions


def _projects(number: int, choose: random.Random) -> list[ConditionSpec]:
    conditions = _event(choose)
    if choose.randrange(10) < _OF_TEN_WITH_PROJECT:
        conditions.append(ConditionSpec("project.slug", _EQUALS, f"project-{number % 500}"))
    conditions.append(
        ConditionSpec("event.branch", ConditionOperator.NOT_IN, ["gh-pages", f"old-{choose.randrange(9)}"])
    )
    conditions.append(ConditionSpec("change.files", ConditionOperator.LESS_THAN, choose.randrange(1, 200)))
    conditions.append(ConditionSpec("change.languages", ConditionOperator.CONTAINS, choose.choice(_LANGUAGES)))
    return conditions


def _texts(number: int, choose: random.Random) -> list[ConditionSpec]:
    conditions = [
        ConditionSpec("event.type", _EQUALS, "pull_request"),
        ConditionSpec("event.title", ConditionOperator.CONTAINS, f"{choose.choice(_WORDS)} {choose.randrange(4000)}"),
        ConditionSpec("event.text", ConditionOperator.REGEX_MATCH, rf"(?i)\b{choose.choice(_WORDS)}{number % 5000}\b"),
    ]
    for word in choose.sample(_WORDS, 2):
        join = choose.choice((LogicalOperator.AND, LogicalOperator.OR))
        conditions.append(ConditionSpec("event.title", ConditionOperator.NOT_CONTAINS, word, None, join, "words"))
    return conditions


def _mixed(number: int, choose: random.Random) -> list[ConditionSpec]:
    conditions = _event(choose)[:1]
    low = choose.randrange(100)
    conditions += [
        ConditionSpec("change.risk", ConditionOperator.GREATER_THAN, low),
        ConditionSpec("change.risk", ConditionOperator.LESS_THAN, low + choose.randrange(60)),
        ConditionSpec("event.number", ConditionOperator.NOT_EQUALS, number),
        ConditionSpec("event.actor", _EQUALS, f"user-{choose.randrange(30)}", None, LogicalOperator.OR, "who"),
        ConditionSpec("event.from_bot", _EQUALS, True, None, LogicalOperator.OR, "who"),
    ]
    return conditions


_SETS: Mapping[str, tuple[Callable[[int, random.Random], list[ConditionSpec]], int]] = {
    "projects": (_projects, 20),
    "texts": (_texts, 1),
    "mixed": (_mixed, 5),
}


def prompts_of(name: str, count: int, *, seed: int) -> list[PromptSpec]:
    """Return a set of prompts, always the same for the same arguments."""
    conditions_of, priorities = _SETS[name]
    choose = random.Random(seed)  # noqa: S311 - nothing is to be kept secret
    prompts = []
    for number in range(count):
        is_model = number % 3 == 0
        prompts.append(
            PromptSpec(
                slug=f"prompt-{number:05}",
                name=f"Prompt {number}",
                template=f"{{% if urgent %}}Now: {{% endif %}}Look at {{{{ event.title }}}} ({number}).",
                variables={"urgent": VariableSpec(source="event.from_bot", default=False)},
                conditions=tuple(conditions_of(number, choose)),
                priority=choose.randrange(priorities),
                executor=Executor.LLM if is_model else Executor.COMMAND,
                executor_config={"model": "openai:gpt-5"} if is_model else {"command": f"make check-{number}"},
                limits={"wall_seconds": 600},
                outputs={OutputType.COMMENT: OutputSpec()} if is_model else {},
            )
        )
    return prompts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    for name in _SETS:
        prompts = prompts_of(name, given.prompts, seed=given.seed)
        conditions = sum(len(prompt.conditions) for prompt in prompts)
        profile = cProfile.Profile() if given.profile else None
        wall, cpu = time.perf_counter(), time.process_time()
        if profile:
            profile.enable()
        findings = lint(prompts)
        if profile:
            profile.disable()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        counts = ", ".join(f"{count} {code}" for code, count in sorted(Counter(one.code for one in findings).items()))
        print(f"{name}: {len(prompts)} prompts, {conditions} conditions: {wall:.2f} s, {cpu:.2f} s CPU; {counts}")
        if profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(35)


if __name__ == "__main__":
    main()
