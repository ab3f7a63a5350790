"""Where a repository's tests are, and which command its files imply to run them."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from posixpath import basename, dirname

from contexten_core.codebase.manifests.dependency import ManifestError, json_object, mapping, toml_table

READ = ("Makefile", "GNUmakefile", "pyproject.toml", "setup.cfg", "tox.ini", "noxfile.py", "package.json")
"""Files at the root whose contents tell more than their names."""

_MAKE_TEST = re.compile(r"^(test|check)\s*:(?!=)", re.MULTILINE)
_NO_TEST = re.compile(r"no test specified")
_MOST_FOLDERS = 50
_LOCKED_BY = (("pnpm-lock.yaml", "pnpm test"), ("yarn.lock", "yarn test"), ("bun.lock", "bun test"))


@dataclass(frozen=True, slots=True)
class TestCommand:
    """A command that runs tests, and what implies it."""

    __test__ = False

    command: str
    reason: str


@dataclass(frozen=True, slots=True)
class TestLayout:
    """Where tests are.

    Attributes:
        files: how many files are tests.
        folders: the folders nearest to the root that hold them; at most 50.
        commands: what runs them, the best first: what the project itself calls its tests comes before what its
            languages usually take. Empty when nothing implies any.
    """

    __test__ = False

    files: int
    folders: tuple[str, ...]
    commands: tuple[TestCommand, ...]


def find_tests(*, paths: Iterable[str], tests: Iterable[str], contents: Mapping[str, bytes]) -> TestLayout:
    """Return the test layout of a commit.

    Args:
        paths: every file.
        tests: those that are tests.
        contents: of the files in READ that the commit has.
    """
    every, found = frozenset(paths), sorted(tests)
    commands = {command.command: command for command in reversed(list(_commands(every, found, contents)))}
    return TestLayout(
        files=len(found),
        folders=tuple(_roots(found)[:_MOST_FOLDERS]),
        commands=tuple(reversed(commands.values())),
    )


def _commands(every: frozenset[str], tests: list[str], contents: Mapping[str, bytes]) -> Iterable[TestCommand]:
    written = {name: data.decode(errors="replace") for name, data in contents.items()}
    for makefile in ("Makefile", "GNUmakefile"):
        if found := _MAKE_TEST.search(written.get(makefile, "")):
            yield TestCommand(f"make {found[1]}", f"{makefile} has the target {found[1]}")
    yield from _javascript(every, contents.get("package.json"))
    yield from _python(every, tests, written, contents.get("pyproject.toml"))
    suffixes = {basename(path).rpartition(".")[2] for path in tests}
    for present, command in (
        ("go.mod", "go test ./..."),
        ("Cargo.toml", "cargo test"),
        ("mvnw", "./mvnw --batch-mode test"),
        ("pom.xml", "mvn --batch-mode test"),
        ("gradlew", "./gradlew test"),
        ("build.gradle", "gradle test"),
        ("build.gradle.kts", "gradle test"),
        (".rspec", "bundle exec rspec"),
        ("spec/spec_helper.rb", "bundle exec rspec"),
        ("phpunit.xml", "vendor/bin/phpunit"),
        ("phpunit.xml.dist", "vendor/bin/phpunit"),
        ("meson.build", "meson test -C build"),
    ):
        if present in every:
            yield TestCommand(command, f"there is {present}")
    if "Rakefile" in every and "rb" in suffixes:
        yield TestCommand("bundle exec rake test", "there are a Rakefile and tests in Ruby")
    if solution := next((path for path in sorted(every) if re.fullmatch(r"[^/]+\.(sln|slnx|csproj)", path)), None):
        yield TestCommand("dotnet test", f"there is {solution}")
    if "CMakeLists.txt" in every and suffixes & {"c", "cc", "cpp", "cxx"}:
        yield TestCommand("ctest --test-dir build", "there are CMakeLists.txt and tests in C or C++")
    if "bats" in suffixes:
        yield TestCommand(f"bats {' '.join(_roots(tests)[:3])}", "there are .bats files")


def _javascript(every: frozenset[str], data: bytes | None) -> Iterable[TestCommand]:
    script = _told(lambda: mapping(json_object(data or b"{}").get("scripts")).get("test"))
    if isinstance(script, str) and script.strip() and not _NO_TEST.search(script):
        command = next((command for lock, command in _LOCKED_BY if lock in every), "npm test")
        yield TestCommand(command, f"package.json has the script test: {json.dumps(script[:100])}")


def _python(
    every: frozenset[str], tests: list[str], written: Mapping[str, str], pyproject: bytes | None
) -> Iterable[TestCommand]:
    if "tox.ini" in every or "[tox:tox]" in written.get("setup.cfg", ""):
        yield TestCommand("tox", "there is a configuration of tox")
    if "noxfile.py" in every:
        yield TestCommand("nox", "there is noxfile.py")
    python = [path for path in tests if path.endswith(".py")]
    tool = _told(lambda: mapping(mapping(toml_table(pyproject or b"").get("tool")).get("pytest")))
    if tool or "pytest.ini" in every or "[tool:pytest]" in written.get("setup.cfg", ""):
        yield TestCommand("python -m pytest", "there is a configuration of pytest")
    elif any(basename(path) == "conftest.py" for path in every):
        yield TestCommand("python -m pytest", "there is conftest.py")
    elif "manage.py" in every and python:
        yield TestCommand("python manage.py test", "there are manage.py and tests in Python")
    elif python:
        yield TestCommand("python -m pytest", f"there are tests in Python: {python[0][:200]}")


def _told(read: Callable[[], object]) -> object:
    try:
        return read()
    except ManifestError:
        return None


def _roots(tests: list[str]) -> list[str]:
    """Return the folders of tests that lie in none of the others; "." for the root."""
    folders = sorted({dirname(path) for path in tests}, key=lambda folder: (folder.count("/"), folder))
    roots: list[str] = []
    for folder in folders:
        if not any(folder == root or folder.startswith(f"{root}/") for root in roots if root):
            roots.append(folder)
    return [root or "." for root in roots]
