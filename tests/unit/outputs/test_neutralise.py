"""What a model writes, made harmless, and still readable."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from contexten_core.outputs.neutralise import for_linear, for_markdown, for_slack, for_title

LIMIT = 60_000


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("Hello **world**, see `x` and #13.\n\n- [ ] one\n- [x] two", None),
        ("| a | b |\n|---|---|\n| 1 | `a || b` |", None),
        ("```py\n@fixture\ndef f(): ...\n```", None),
        ("[it](https://github.com/a/b/pull/1)", None),
        ("thanks @octocat and @org/team, a@b.example", "thanks `@octocat` and `@org/team`, `a@b.example`"),
        (r"\@octocat &#64;octocat _@octocat_", "`@octocat` `@octocat` _`@octocat`_"),
        ("@\u200boctocat \u202egnp.exe", "`@octocat` gnp.exe"),
        ("`a | @octocat`", "`a `|` @octocat`"),
        ("`un @octocat", "'un `@octocat`"),
        ("- x\n  ```\n@octocat\n  ```\n@octocat", "- x\n```\n@octocat\n```\n`@octocat`"),
        ("@claude fix `@dependabot merge`", "`\uff20claude` fix `\uff20dependabot merge`"),
        ("/approve 123\nplease /merge it, /usr/lib", "\uff0fapprove 123\nplease \uff0fmerge it, /usr/lib"),
        ("```\n/approve\n```", "```\n\uff0fapprove\n```"),
        (
            "Fixes #1, closes: o/r#2\nresolves\n#3, but see #4",
            "Fixes `#1`, closes: `o/r#2`\nresolves\n`#3`, but see #4",
        ),
        ("fixes https://github.com/o/r/issues/1", "fixes `https://github.com/o/r/issues/1`"),
        ("completes ENG-12, as ENG-13", "completes `ENG-12`, as ENG-13"),
        ("![x](https://e.example/?q=S)", "x (`https://e.example/?q=S`)"),
        ("[x](//e.example) [y](javascript:alert(1))", "x (`//e.example`) [y]\\(javascript:alert(1))"),
        ("https://github.com.e.example https://github.com@e.example",) * 2,
        ("[x][y]\n\n[y]: https://e.example", "[x][y]\n\n[y]\\: `https://e.example`"),
        ("<img src=x onerror=y> a<!-- secret\nplan -->b <b>c</b> List<String>", " a\nb c List&lt;String>"),
        ("costs $5, $$x$$ and ~~~", "costs \\$5, \\$\\$x\\$\\$ and \\~\\~\\~"),
        ("```suggestion\nrm\n```", "```\nrm\n```"),
    ],
)
def test_a_text_for_github_reads_the_same_and_does_nothing(text: str, harmless: str | None) -> None:
    if text == harmless:
        harmless = " ".join(f"`{part}`" for part in text.split())

    assert for_markdown(text, limit=LIMIT) == (text if harmless is None else harmless)


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("*bold* and `code`", None),
        ("<!channel> <@U123> <!subteam^S1>", "&lt;!channel&gt; &lt;`@U123`&gt; &lt;!subteam^S1&gt;"),
        ("@here a & b &lt;!here&gt;", "`@here` a &amp; b &lt;!here&gt;"),
        ("`<!channel>`\n```\n<@U1>\n```", "`&lt;!channel&gt;`\n```\n&lt;@U1&gt;\n```"),
        ("<https://e.example/?q=S|docs>", "docs (`https://e.example/?q=S`)"),
        ("[it](https://github.com/a/b)", "<https://github.com/a/b|it>"),
        ("go to e.example/?q=S", "go to `e.example/?q=S`"),
    ],
)
def test_a_text_for_slack_notifies_nobody_and_hides_no_address(text: str, harmless: str | None) -> None:
    assert for_slack(text, limit=LIMIT) == (harmless or text)


def test_linear_mentions_nobody_by_the_address_of_a_profile() -> None:
    text = "ask https://linear.app/acme/profiles/ada"

    assert for_linear(text, limit=LIMIT) == "ask `https://linear.app/acme/profiles/ada`"


def test_a_title_is_safe_in_a_commit_too() -> None:
    title = for_title("Fix #1: @octocat [skip ci]\ncloses my-o/r#2 /approve", limit=100)

    assert title == "Fix \uff031: \uff20octocat (skip ci) closes my-o/r\uff032 \uff0fapprove"
    assert for_title("x" * 300, limit=256) == "x" * 255 + "…"


def test_only_hosts_that_are_given_are_linked() -> None:
    hosts = frozenset({"git.acme.example"})
    text = "[a](https://git.acme.example/x) [b](https://github.com/x)"

    assert for_markdown(text, limit=LIMIT, hosts=hosts) == "[a](https://git.acme.example/x) b (`https://github.com/x`)"


@pytest.mark.parametrize("limit", [0, 1, 2, 10, 50])
def test_what_is_too_long_is_cut_without_leaving_code_open(limit: int) -> None:
    text = "intro @octocat\n```py\n" + "x = 1\n" * 50 + "```\n"

    cut = for_markdown(text, limit=limit)

    assert len(cut) <= limit
    assert cut.count("```") in (0, 2)
    assert cut[-1:] in ("", "…")


PIECES = [
    *("@evil", "@claude", "<!channel>", "<@U1>", "/approve", "fixes", "#1", "o/r#2", "A-1"),
    *(
        "`",
        "``",
        "```",
        "~~~",
        "\\",
        "|",
        "|-|",
        "$",
        "$$",
        "*",
        "_",
        "'",
        '"',
        "=",
        "---",
        "- ",
        "> ",
        "1. ",
        "&",
        ":",
    ),
    *("<", "!--", "-->", "<b>", "</b>", "<img>", "<a/href='`'>", "&lt;", "&#64;", "&#96;", "&#10;", "amp;"),
    *("[", "]", "(", ")", "!", "[x]:", "https://evil.example/x", "https://github.com/a", "www.evil.example"),
    *("<https://github.com/b>", "<https://evil.example>", "<https://github.com/a|b>"),
    *("a", "1", "é", " ", "    ", "\t", "\n", "\n\n", "\u200b", "\u202e", "\ud800"),
]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=60)
LIMITS = st.sampled_from([5, 20, 60, 1000])
SHOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@settings(deadline=None, derandomize=True, max_examples=200)
@given(HOSTILE, LIMITS)
def test_whatever_a_text_is_a_reader_of_markdown_finds_nothing_in_it_that_acts(text: str, limit: int) -> None:
    harmless = for_markdown(text, limit=limit)

    assert len(harmless) <= limit
    assert for_markdown(harmless, limit=limit) == harmless
    for block in SHOWN.parse(harmless):
        assert block.type != "html_block"
        for token in block.children or []:
            assert token.type not in ("html_inline", "image")
            if token.type == "link_open":
                assert str(token.attrs["href"]).startswith("https://github.com")
            if token.type == "text":
                assert not re.search(r"@\w", token.content)
                assert not re.search(r"(?<![\w-])fixes[\s:]*#1", token.content)
                assert "//evil.example" not in token.content or "https://github.com" in token.content
    assert "@claude" not in harmless
    assert not re.search(r"^/approve", harmless, re.MULTILINE)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(HOSTILE, LIMITS)
def test_whatever_a_text_is_slack_finds_no_mention_in_it(text: str, limit: int) -> None:
    harmless = for_slack(text, limit=limit)

    assert len(harmless) <= limit
    assert for_slack(harmless, limit=limit) == harmless
    assert not re.search(r"<(?!https://github\.com)", harmless)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(HOSTILE, LIMITS)
def test_whatever_a_title_is_it_is_one_line_that_names_nobody(text: str, limit: int) -> None:
    title = for_title(text, limit=limit)

    assert len(title) <= limit
    assert for_title(title, limit=limit) == title
    assert "\n" not in title
    assert not re.search(r"@\w", title)


@pytest.mark.parametrize("unit", ["[", "[a](", "<", "<!--", "`a", "``a`", "a-1.", '![](a "'])
def test_time_grows_with_the_length_and_no_faster(unit: str) -> None:
    def seconds(size: int) -> float:
        text = (unit * size)[:size]
        start = time.process_time()
        for_markdown(text, limit=size)
        return time.process_time() - start

    # Were it quadratic, the longer would take a thousand times as long as the shorter.
    assert seconds(64_000) < 300 * max(seconds(2_000), 0.002)
