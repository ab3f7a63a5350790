"""Where programs start."""

import pytest

from contexten_core.codebase.analyse import analyse_file
from contexten_core.codebase.entry_points import EntryPoint, entry_points_by_name, entry_points_in


def found(path: str, text: str) -> set[tuple[str, str]]:
    data = text.encode()
    return set(entry_points_in(path=path, data=data, facts=analyse_file(path=path, data=data)))


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.py", "def main(): ...\n\nif __name__ == '__main__':\n    main()\n", {("main", "__main__")}),
        ("a.py", "text = \"if __name__ == '__main__':\"\n", set()),
        ("a.rb", "if __FILE__ == $0\n  run\nend\n", {("main", "main")}),
        ("a.js", "if (require.main === module) run();\n", {("main", "main")}),
        ("a.rs", "fn main() {}\n", {("main", "main")}),
        ("A.java", "class A { public static void main(String[] a) {} }\n", {("main", "A.main")}),
        ("pyproject.toml", "[project.scripts]\nshop = 'shop:main'\n", {("script", "shop")}),
        ("pyproject.toml", "not toml [", set()),
        ("setup.cfg", "[options.entry_points]\nconsole_scripts =\n    shop = shop:main\n", {("script", "shop")}),
        ("setup.py", "setup(entry_points={'console_scripts': ['shop = shop.cli:main']})", {("script", "shop")}),
        (
            "package.json",
            '{"name": "@a/ui", "bin": "x.js", "scripts": {"start": "x"}}',
            {("script", "ui"), ("process", "start")},
        ),
        ("package.json", '{"bin": {"one": "1.js", "two": "2.js"}}', {("script", "one"), ("script", "two")}),
        ("Cargo.toml", '[[bin]]\nname = "shop"\n', {("script", "shop")}),
        ("Dockerfile", 'FROM x\nENTRYPOINT ["shop"]\nCMD serve\n', {("container", '["shop"]'), ("container", "serve")}),
        ("Makefile", ".PHONY: all\nX := 1\nall: build\n\nbuild:\n\ttrue\n", {("task", "all")}),
        ("Procfile", "web: serve\nworker: work\n", {("process", "web"), ("process", "worker")}),
    ],
)
def test_contents_tell(path: str, text: str, expected: set[tuple[str, str]]) -> None:
    assert found(path, text) == expected


def test_places_tell() -> None:
    assert entry_points_by_name(".github/workflows/ci.yml") == (
        EntryPoint(".github/workflows/ci.yml", "workflow", "ci"),
    )
    assert entry_points_by_name("shop/__main__.py") == (EntryPoint("shop/__main__.py", "main", "__main__"),)
    assert entry_points_by_name("shop/main.yml") == ()


def test_there_is_a_bound() -> None:
    assert len(found("Procfile", "".join(f"p{number}: x\n" for number in range(999)))) == 50
