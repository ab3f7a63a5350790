"""Which command runs a repository's tests, and where they are."""

import pytest

from contexten_core.codebase.testing import find_tests


def commands(files: dict[str, bytes], tests: list[str] | None = None) -> list[str]:
    found = find_tests(paths=[*files, *(tests or [])], tests=tests or [], contents=files)
    return [command.command for command in found.commands]


@pytest.mark.parametrize(
    ("files", "tests", "expected"),
    [
        ({"Makefile": b"run:\n\ntest: install\n\tpytest\n"}, [], ["make test"]),
        ({"Makefile": b"check:=1\n"}, [], []),
        ({"package.json": b'{"scripts": {"test": "vitest"}}'}, [], ["npm test"]),
        ({"package.json": b'{"scripts": {"test": "jest"}}', "yarn.lock": b""}, [], ["yarn test"]),
        ({"package.json": b'{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, [], []),
        ({"pyproject.toml": b"[tool.pytest.ini_options]\n"}, ["tests/test_a.py"], ["python -m pytest"]),
        ({"pyproject.toml": b"= broken"}, ["tests/test_a.py"], ["python -m pytest"]),
        ({"tox.ini": b"[tox]"}, ["tests/test_a.py"], ["tox", "python -m pytest"]),
        ({"manage.py": b""}, ["app/tests.py"], ["python manage.py test"]),
        ({"go.mod": b""}, ["a_test.go"], ["go test ./..."]),
        ({"Cargo.toml": b""}, [], ["cargo test"]),
        ({"pom.xml": b"", "mvnw": b""}, [], ["./mvnw --batch-mode test", "mvn --batch-mode test"]),
        ({"Rakefile": b"", ".rspec": b""}, ["spec/a_spec.rb"], ["bundle exec rspec", "bundle exec rake test"]),
        ({"App.sln": b""}, [], ["dotnet test"]),
        ({}, ["test/run.bats", "test/more/a.bats"], ["bats test"]),
        ({"README.md": b""}, [], []),
    ],
)
def test_the_files_imply_the_command(files: dict[str, bytes], tests: list[str], expected: list[str]) -> None:
    assert commands(files, tests) == expected


def test_what_the_project_calls_its_tests_comes_first() -> None:
    files = {"Makefile": b"test:\n", "pyproject.toml": b"[tool.pytest.ini_options]\n", "go.mod": b""}

    assert commands(files) == ["make test", "python -m pytest", "go test ./..."]


def test_folders_are_those_nearest_to_the_root() -> None:
    tests = ["tests/unit/test_a.py", "tests/test_b.py", "web/spec/a.spec.ts", "test_root.py"]

    found = find_tests(paths=tests, tests=tests, contents={})

    assert (found.files, found.folders) == (4, (".", "tests", "web/spec"))
