"""Who answers for a file, by the rules of CODEOWNERS."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexten_core.codebase.owners import CodeOwners, owners_of, read_owners

WRITTEN = """
# The last rule that matches decides.
*           @acme/everybody
*.js        @js-owner   # inline
/build/logs/ @doctocat
docs/*      docs@acme.example
apps/       @octocat
/docs/      @doctocat @acme/writers
**/logs     @logger
/apps/github
!*.py       @nobody
[ab].txt    @nobody
/a\\ b/      @x
"""


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        ("README.md", ("@acme/everybody",)),
        ("src/app.js", ("@js-owner",)),
        ("build/logs/today.txt", ("@logger",)),
        ("docs/guide.md", ("@doctocat", "@acme/writers")),
        ("docs/a/b.md", ("@doctocat", "@acme/writers")),
        ("src/apps/x.py", ("@octocat",)),
        ("apps/github", ()),
        ("apps/github/x.py", ()),
        ("deep/logs/x", ("@logger",)),
        ("a.txt", ("@acme/everybody",)),
    ],
)
def test_the_last_matching_rule_decides(path: str, owners: tuple[str, ...]) -> None:
    assert CodeOwners(WRITTEN).of(path) == owners


def test_a_star_stays_within_its_folder() -> None:
    owners = CodeOwners("/docs/*  @a\n/src/**/test_?.py @b")

    assert owners.of("docs/a.md") == ("@a",)
    assert owners.of("docs/deeper/a.md") == ()
    assert owners.of("src/x/y/test_1.py") == ("@b",)
    assert owners.of("src/test_1.py") == ("@b",)
    assert owners.of("src/test_12.py") == ()


def test_only_the_first_place_counts() -> None:
    files = {"CODEOWNERS": b"* @second", ".github/CODEOWNERS": b"*.py @first"}

    assert owners_of(["a.py", "b.go"], read_owners(files)) == {"a.py": ("@first",)}
    assert owners_of(["a.py"], read_owners({})) == {}


def test_a_hostile_pattern_takes_linear_time() -> None:
    assert CodeOwners("/" + "*a" * 100 + "b @x").of("a" * 5_000) == ()


@given(written=st.text(max_size=80), path=st.text(min_size=1, max_size=30))
def test_any_text_has_an_answer(written: str, path: str) -> None:
    assert isinstance(CodeOwners(written + " @a").of(path), tuple)
