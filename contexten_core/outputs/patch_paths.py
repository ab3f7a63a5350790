"""Which paths a patch may touch.

Protected are all names that begin with a dot (`.github`, `.gitlab-ci.yml`, `.claude`, `.vscode`, `.contexten.yaml`, and
those of tomorrow's tools), and the few without one that decide what is run or who approves. They are allowed only by a
pattern that spells the protected name, and everything before it, out: `.github/workflows/ci.yml`, `.github/**`, but not
`**/*.yml`. A Dockerfile, a Makefile or a `setup.py` is code like any other: it is reviewed in the draft pull request.
`.git` is never allowed, by whatever name a file system knows it.
"""

import re
import unicodedata
from functools import lru_cache

import re2

from contexten_core.outputs.words import visible

_LONGEST_PATH = 1_000
_LONGEST_NAME = 255
_PROTECTED = frozenset(
    {
        "agent.md",
        "agents.md",
        "agents.override.md",
        "appveyor.yml",
        "azure-pipelines.yaml",
        "azure-pipelines.yml",
        "bitbucket-pipelines.yml",
        "bors.toml",
        "claude.local.md",
        "claude.md",
        "cloudbuild.yaml",
        "cloudbuild.yml",
        "codeowners",
        "contexten.yaml",
        "contexten.yml",
        "gemini.md",
        "githooks",
        "hooks",
        "jenkinsfile",
        "lefthook.yaml",
        "lefthook.yml",
        "opencode.json",
        "renovate.json",
        "renovate.json5",
        "skill.md",
    }
)
_UNFIT = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_SHORT_GIT = re.compile(r"git~[0-9]+")


def path_problem(path: str) -> str | None:
    """Return why something is not the path of a file in a repository that every system can check out, or None."""
    if not path or len(path) > _LONGEST_PATH:
        return "is empty or too long"
    if path.startswith("/"):
        return "is absolute"
    if _UNFIT.search(path) or visible(path) != path:
        return "has characters that are invisible or that some systems cannot have in a name"
    return next(filter(None, map(_name_problem, path.split("/"))), None)


def _name_problem(name: str) -> str | None:
    if name in ("", ".", ".."):
        return "does not stay within the repository"
    folded = unicodedata.normalize("NFKC", name).casefold()
    if folded.rstrip(". ") == ".git" or _SHORT_GIT.fullmatch(folded):
        return "is in .git"
    is_odd = name[-1] in ". " or len(name.encode("utf-8", "replace")) > _LONGEST_NAME
    return "has a name that some systems cannot have" if is_odd else None


def refusal(path: str, globs: tuple[str, ...] | None) -> str | None:
    """Return why a patch may not touch a path, or None.

    Args:
        globs: `*` stands for anything within a name, `**` for any folders; None allows all that is not protected.
    """
    if problem := path_problem(path):
        return problem
    if globs is not None and not any(_matches(glob, path) for glob in globs):
        return "is not among the paths that the prompt allows"
    names = path.split("/")
    for index, name in enumerate(names):
        if _is_protected(name) and not any(_spells(glob, names[: index + 1], path) for glob in globs or ()):
            return f"is protected ({name} has to be allowed by name)"
    return None


def _is_protected(name: str) -> bool:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return folded in _PROTECTED or folded.startswith((".", "jenkinsfile."))


def _spells(glob: str, names: list[str], path: str) -> bool:
    """Tell whether a pattern allows a path and spells its first names out."""
    return glob.split("/")[: len(names)] == names and _matches(glob, path)


def _matches(glob: str, path: str) -> bool:
    return _compiled(glob).fullmatch(path) is not None


@lru_cache(maxsize=512)
def _compiled(glob: str) -> "re2._Regexp":
    *folders, last = glob.split("/")
    parts = ["(?:[^/]+/)*" if name == "**" else f"{_name(name)}/" for name in folders]
    parts.append(".+" if last == "**" else _name(last))
    return re2.compile("(?s)" + "".join(parts))


def _name(glob: str) -> str:
    return "".join("[^/]*" if part == "*" else "[^/]" if part == "?" else re2.escape(part) for part in glob)
