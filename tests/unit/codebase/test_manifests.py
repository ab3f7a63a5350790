"""What manifests ask for, with the versions that lock files settle on, whatever the files hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexten_core.codebase.manifests import (
    MOST_MANIFEST_BYTES,
    Dependency,
    Ecosystem,
    Scope,
    is_manifest,
    read_manifests,
)

PYPROJECT = b"""
[project]
dependencies = ["httpx>=0.28", "SQLAlchemy[asyncio]>=2,<3", "typer==0.16.1", "not a requirement!"]
[project.optional-dependencies]
plots = ["uplot"]
dev = ["pytest"]
[dependency-groups]
lint = ["ruff", {include-group = "other"}]
[build-system]
requires = ["hatchling"]
[tool.poetry.dependencies]
python = "^3.11"
rich = {version = "^14", optional = true}
[tool.poetry.group.docs.dependencies]
mkdocs = "1.*"
"""
UV_LOCK = b"""
[[package]]
name = "httpx"
version = "0.28.1"
[[package]]
name = "sqlalchemy"
version = "2.0.45"
"""
PACKAGE = b'{"dependencies": {"htmx.org": "^2.0.0", "left-pad": "1.3.0"}, "devDependencies": {"vitest": "~3.1"}}'
PACKAGE_LOCK = b"""{"lockfileVersion": 3, "packages": {"": {}, "node_modules/htmx.org": {"version": "2.0.11"},
  "node_modules/a/node_modules/vitest": {"version": "9.9.9"}, "node_modules/vitest": {"version": "3.1.4"}}}"""
GO_MOD = b"""module example.com/shop

go 1.22

require github.com/google/uuid v1.6.0
require (
\tgolang.org/x/sync v0.7.0
\tgopkg.in/yaml.v3 v3.0.1 // indirect
)
replace (
\tgolang.org/x/net v0.1.0 => ../net
)
"""
CARGO = b"""
[dependencies]
serde = { version = "1.0", features = ["derive"] }
log = "0.4"
net = { package = "tokio", version = "1", optional = true }
[dev-dependencies]
insta = "1"
[target.'cfg(unix)'.dependencies]
libc = "0.2"
"""
POM = b"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <properties><junit.version>5.10.2</junit.version></properties>
  <dependencies>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-api</artifactId><version>2.0.13</version></dependency>
    <dependency><groupId>org.junit</groupId><artifactId>junit</artifactId><version>${junit.version}</version>
      <scope>test</scope></dependency>
    <dependency><groupId>a</groupId><artifactId>b</artifactId><version>${elsewhere}</version></dependency>
  </dependencies>
</project>"""
GEMFILE = b"""
source "https://rubygems.example"
gem "rails", "~> 7.1", ">= 7.1.3"
group :development, :test do
  gem 'rspec'
end
gem "puma"
"""
CSPROJ = b'<Project><ItemGroup><PackageReference Include="Serilog" Version="3.1.1" /></ItemGroup></Project>'


def found(files: dict[str, bytes]) -> dict[str, tuple[str, str | None, str | None]]:
    return {one.name: (one.scope.value, one.requirement, one.version) for one in read_manifests(files).dependencies}


def test_pyproject_speaks_for_whichever_tool_reads_it() -> None:
    assert found({"pyproject.toml": PYPROJECT, "uv.lock": UV_LOCK}) == {
        "httpx": ("runtime", ">=0.28", "0.28.1"),
        "SQLAlchemy": ("runtime", "<3,>=2", "2.0.45"),
        "typer": ("runtime", "==0.16.1", "0.16.1"),
        "uplot": ("optional", None, None),
        "pytest": ("development", None, None),
        "ruff": ("development", None, None),
        "hatchling": ("build", None, None),
        "rich": ("optional", "^14", None),
        "mkdocs": ("development", "1.*", None),
    }


def test_requirements_files_give_lines_and_leave_options_out() -> None:
    written = b"""# what we run on
-r other.txt
--hash=sha256:0
httpx==0.28.1 --hash=sha256:abc  # pinned
requests >= 2 ; python_version < "3.12"
pkg @ https://files.example/pkg.whl
"""
    assert found({"requirements.txt": written}) == {
        "httpx": ("runtime", "==0.28.1", "0.28.1"),
        "requests": ("runtime", ">=2", None),
        "pkg": ("runtime", "https://files.example/pkg.whl", None),
    }
    assert found({"requirements-dev.txt": b"pytest"}) == {"pytest": ("development", None, None)}


def test_a_constraints_file_settles_on_versions() -> None:
    files = {"requirements.txt": b"Flask>=3", "constraints.txt": b"# pinned\nflask==3.0.3  # why\nx>=1\n==\n"}

    assert found(files) == {"Flask": ("runtime", ">=3", "3.0.3")}


def test_setup_cfg_and_pipfile() -> None:
    cfg = b"[options]\ninstall_requires =\n    httpx>=1\n[options.extras_require]\ntests = pytest\n"
    assert found({"setup.cfg": cfg}) == {
        "httpx": ("runtime", ">=1", None),
        "pytest": ("development", None, None),
    }
    pipfile = b'[packages]\nflask = "*"\n[dev-packages]\npytest = {version = "==8.4.0"}\n'
    lock = b'{"default": {"flask": {"version": "==3.0.3"}}, "develop": {}}'
    assert found({"Pipfile": pipfile, "Pipfile.lock": lock}) == {
        "flask": ("runtime", "*", "3.0.3"),
        "pytest": ("development", "==8.4.0", "8.4.0"),
    }


def test_package_json_with_its_lock() -> None:
    assert found({"package.json": PACKAGE, "package-lock.json": PACKAGE_LOCK}) == {
        "htmx.org": ("runtime", "^2.0.0", "2.0.11"),
        "left-pad": ("runtime", "1.3.0", "1.3.0"),
        "vitest": ("development", "~3.1", "3.1.4"),
    }


def test_go_mod_without_what_others_require() -> None:
    assert found({"go.mod": GO_MOD}) == {
        "github.com/google/uuid": ("runtime", "v1.6.0", "v1.6.0"),
        "golang.org/x/sync": ("runtime", "v0.7.0", "v0.7.0"),
    }


def test_cargo_with_targets_and_renamed_packages() -> None:
    lock = b'[[package]]\nname = "serde"\nversion = "1.0.203"\n'
    assert found({"Cargo.toml": CARGO, "Cargo.lock": lock}) == {
        "serde": ("runtime", "1.0", "1.0.203"),
        "log": ("runtime", "0.4", None),
        "tokio": ("optional", "1", None),
        "insta": ("development", "1", None),
        "libc": ("runtime", "0.2", None),
    }


def test_pom_puts_its_own_properties_in() -> None:
    assert found({"pom.xml": POM}) == {
        "org.slf4j:slf4j-api": ("runtime", "2.0.13", "2.0.13"),
        "org.junit:junit": ("development", "5.10.2", "5.10.2"),
        "a:b": ("runtime", "${elsewhere}", None),
    }


def test_gemfile_knows_its_groups() -> None:
    assert found({"Gemfile": GEMFILE, "Gemfile.lock": b"GEM\n  specs:\n    rails (7.1.4)\n      rack (>= 2)\n"}) == {
        "rails": ("runtime", "~> 7.1, >= 7.1.3", "7.1.4"),
        "rspec": ("development", None, None),
        "puma": ("runtime", None, None),
    }


def test_composer_and_csproj() -> None:
    composer = b'{"require": {"php": ">=8.1", "monolog/monolog": "^3.0"}, "require-dev": {"phpunit/phpunit": "11.0.1"}}'
    lock = b'{"packages": [{"name": "monolog/monolog", "version": "3.6.0"}], "packages-dev": null}'
    assert found({"composer.json": composer, "composer.lock": lock}) == {
        "monolog/monolog": ("runtime", "^3.0", "3.6.0"),
        "phpunit/phpunit": ("development", "11.0.1", "11.0.1"),
    }
    assert found({"src/App.csproj": CSPROJ}) == {"Serilog": ("runtime", "3.1.1", "3.1.1")}


def test_a_lock_file_counts_for_the_folders_below_it() -> None:
    files = {
        "Cargo.lock": b'[[package]]\nname="log"\nversion="0.4.22"\n',
        "crates/a/Cargo.toml": b'dependencies.log="0"',
    }

    assert read_manifests(files).dependencies == (
        Dependency("log", Ecosystem.CARGO, "crates/a/Cargo.toml", Scope.RUNTIME, "0", "0.4.22"),
    )


def test_what_cannot_be_read_is_named_with_the_reason() -> None:
    entities = b'<!DOCTYPE p [<!ENTITY a "aaaa">]><project>&a;</project>'
    files = {
        "a/package.json": b"{",
        "b/pyproject.toml": b"= 1",
        "c/pom.xml": entities,
        "d/Cargo.lock": b"\xff[",
        "e/package.json": b"[1, 2]",
        "f/requirements.txt": b" " * (MOST_MANIFEST_BYTES + 1),
        "g/setup.cfg": b"no section",
        "h/pom.xml": b"<project",
        "i/package.json": b"[" * 100_000,
    }
    read = read_manifests(files)

    assert read.dependencies == ()
    assert set(read.unread) == set(files) - {"e/package.json"}
    assert read.unread["c/pom.xml"] == "not understood: it declares entities"
    assert read.unread["f/requirements.txt"] == "too large to read"


@pytest.mark.parametrize(
    ("path", "expected"),
    [("pyproject.toml", True), ("a/b/Cargo.lock", True), ("x.csproj", True), ("src/main.py", False), ("", False)],
)
def test_manifests_are_known_by_their_names(path: str, expected: bool) -> None:
    assert is_manifest(path) is expected


NAMES = ["pyproject.toml", "requirements.txt", "setup.cfg", "Pipfile", "package.json", "package-lock.json", "go.mod"]
NAMES += ["Cargo.toml", "Cargo.lock", "pom.xml", "Gemfile", "Gemfile.lock", "composer.json", "x.csproj", "poetry.lock"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["dependencies", "a"]), inner),
    max_leaves=8,
)


@given(name=st.sampled_from(NAMES), data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_have_an_answer(name: str, data: bytes) -> None:
    read_manifests({name: data})


@given(name=st.sampled_from(["package.json", "package-lock.json", "composer.json", "composer.lock"]), value=VALUES)
def test_any_json_has_an_answer(name: str, value: object) -> None:
    read_manifests({name: json.dumps({"dependencies": value, "packages": value, "require": value}).encode()})
