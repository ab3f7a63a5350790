"""Who answers for a file: what CODEOWNERS says, by GitHub's rules.

https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import re2

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where GitHub looks; the first that is there counts."""

_MOST_BYTES = 3 * 1024**2
_MOST_RULES = 10_000
_LONGEST_PATTERN = 500
_OWNER = re.compile(r"@[\w.-]{1,100}(?:/[\w.-]{1,100})?|[^\s@]{1,100}@[^\s@]{1,100}")
_PART = re.compile(r"\*\*/|\*\*|\*|\?|\\.|.")
_PARTS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_COMMENT = re.compile(r"(?<!\\)#.*")


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: Any
    owners: tuple[str, ...]


class CodeOwners:
    """The rules of one CODEOWNERS file. The last rule that matches a path decides, also when it names nobody."""

    def __init__(self, text: str = "") -> None:
        lines = text[:_MOST_BYTES].splitlines()
        rules = (_rule(line) for line in lines)
        self._rules = [rule for rule in rules if rule is not None][:_MOST_RULES]

    def of(self, path: str) -> tuple[str, ...]:
        """Return the owners of a file: `@login`, `@organisation/team` or an address; nobody is an empty tuple."""
        for rule in reversed(self._rules):
            if rule.pattern.fullmatch(path):
                return rule.owners
        return ()


def read_owners(files: Mapping[str, bytes]) -> CodeOwners:
    """Return the rules of a repository, from the contents of the files at PLACES that it has."""
    data = next((files[place] for place in PLACES if place in files), b"")
    return CodeOwners(data.decode(errors="replace"))


def owners_of(paths: Iterable[str], owners: CodeOwners) -> dict[str, tuple[str, ...]]:
    """Return who answers for each of these files; files that nobody does are left out."""
    return {path: found for path in paths if (found := owners.of(path))}


def _rule(line: str) -> _Rule | None:
    pattern, *named = _COMMENT.sub("", line).split()[:200] or [""]
    # GitHub takes neither: a negation and a character range make a line of no effect.
    if not 0 < len(pattern) <= _LONGEST_PATTERN or pattern.startswith("!") or "[" in pattern:
        return None
    try:
        compiled = _compiled(pattern)
    except re2.error:
        return None
    return _Rule(compiled, tuple(owner for owner in named if _OWNER.fullmatch(owner)))


def _compiled(pattern: str) -> Any:
    """Translate a pattern as .gitignore reads it: tied to the root by any slash but one at its end.

    RE2 matches in linear time whatever somebody writes there.
    """
    is_tied = "/" in pattern.rstrip("/")
    body = pattern.strip("/")
    written = "".join(_PARTS.get(part) or re2.escape(part[-1]) for part in _PART.findall(body))
    below = "/.*" if pattern.endswith("/") else "" if body.endswith("/*") else "(?:/.*)?"
    options = re2.Options()
    options.log_errors = False
    return re2.compile(f"(?s){'' if is_tied else '(?:.*/)?'}{written}{below}", options)
