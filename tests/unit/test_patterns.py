"""Every regular expression of ours means the same on all versions of Python that we support."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from re import _constants, _parser
from typing import Any

import pytest

import contexten
import contexten_core
import deployments
from contexten_core.codebase.comments import comment_pattern
from contexten_core.codebase.languages import LANGUAGES

ONE_CHARACTER = {_constants.IN, _constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY}


def patterns() -> dict[str, re.Pattern[Any]]:
    """Return the compiled patterns of all modules, those in tables included, and those made for languages."""
    found = {}
    for package in (contexten_core, contexten, deployments):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "migrations" not in module.name and not module.name.endswith("__main__"):
                for name, value in vars(importlib.import_module(module.name)).items():
                    for number, pattern in enumerate(_patterns_in(value)):
                        found[f"{module.name}.{name} {number}"] = pattern
    for language in LANGUAGES:
        found[f"comments of {language.name}"] = comment_pattern(language.syntax)
    return found


def _patterns_in(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from _patterns_in([*value, *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _patterns_in(item)


def repeats_a_group_possessively(pattern: str | bytes, flags: int = 0) -> bool:
    """Tell whether `(?:...)*+` and the like are in it, which is wrong before Python 3.11.5 (CPython's issue 106052).

    It is `(?>(?:...)*)` that means the same everywhere.
    """
    return _repeats(_parser.parse(pattern, flags))


def _repeats(node: Any) -> bool:
    if isinstance(node, tuple) and node and node[0] is _constants.POSSESSIVE_REPEAT:
        _, (_, _, repeated) = node
        if len(repeated) != 1 or repeated[0][0] not in ONE_CHARACTER:
            return True
    if isinstance(node, _parser.SubPattern | tuple | list):
        return any(_repeats(part) for part in node)
    return False


def test_no_group_is_repeated_possessively() -> None:
    wrong = [
        name for name, pattern in patterns().items() if repeats_a_group_possessively(pattern.pattern, pattern.flags)
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("pattern", "is_wrong"),
    [
        (r"a*+", False),
        (r"[ab]++\.?+", False),
        (r"(?>(?:ab)*)", False),
        (r"(?:a|bc)*+", True),
        (rb"x(y(?:ab)?+)?", True),
        (r"(?=(?:ab){2,3}+)", True),
    ],
)
def test_what_is_one(pattern: str | bytes, *, is_wrong: bool) -> None:
    assert repeats_a_group_possessively(pattern) is is_wrong
