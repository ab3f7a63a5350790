"""Diffs, read strictly and applied in memory."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.outputs.patch import PatchError, apply, read_patch
from contexten_core.outputs.patch_paths import path_problem, refusal

LINES = st.lists(st.sampled_from(["", "a", "b", "x = 1", "-- ", "+", "@@ -1 +1 @@", "é\r", "\\ No newline", "--- a/f"]))
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n"]))


def diff_of(old: str, new: str, *, path: str = "src/f.py", context: int = 3) -> str:
    """Return a unified diff with everything between the first and the last difference in one hunk."""
    was, now = _split(old), _split(new)
    if was == now:
        return ""
    start = 0
    while start < min(len(was), len(now)) and was[start] == now[start]:
        start += 1
    end = 0
    while end < min(len(was), len(now)) - start and was[-1 - end] == now[-1 - end]:
        end += 1
    first, last = max(start - context, 0), max(end - context, 0)
    marked = [(" ", line) for line in was[first:start]]
    marked += [("-", line) for line in was[start : len(was) - end]]
    marked += [("+", line) for line in now[start : len(now) - end]]
    marked += [(" ", line) for line in was[len(was) - end : len(was) - last]]
    before, after = len(was) - last - first, len(now) - last - first
    head = f"@@ -{first + (before > 0)},{before} +{first + (after > 0)},{after} @@\n"
    body = "".join(
        mark + (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n") for mark, line in marked
    )
    return f"--- a/{path}\n+++ b/{path}\n{head}{body}"


def _split(text: str) -> list[str]:
    return [f"{line}\n" for line in text.split("\n")[:-1]] + ([last] if (last := text.rpartition("\n")[2]) else [])


@settings(deadline=None, derandomize=True, max_examples=200)
@given(TEXTS, TEXTS, st.integers(0, 3))
def test_what_a_diff_says_of_two_texts_makes_one_of_the_other(old: str, new: str, context: int) -> None:
    diff = diff_of(old, new, context=context)

    if diff:
        assert apply(read_patch(diff, paths=None), {"src/f.py": old.encode()}.get) == {"src/f.py": new.encode()}


def test_git_and_we_agree_about_what_a_diff_does(tmp_path: Path) -> None:
    before = {
        "a.py": b"".join(b"line %d\n" % number for number in range(60)),
        "crlf.txt": b"one\r\ntwo\r\nthree\r\n",
        "open.txt": b"no break at the end",
        "gone.txt": b"x\n",
        "empty-gone": b"",
        "moved.md": b"".join(b"moved %d\n" % number for number in range(20)),
        "näme with space.txt": b"1\n2\n",
    }
    after = {
        **before,
        "a.py": before["a.py"]
        .replace(b"line 5\n", b"line five\n")
        .replace(b"line 50\n", b"")
        .replace(b"9\n", b"9\n\n"),
        "crlf.txt": b"one\r\n2\r\nthree\r\nfour",
        "open.txt": b"now with one\n",
        "docs/moved.md": before["moved.md"].replace(b"moved 7\n", b"seven\n"),
        "näme with space.txt": b"1\n",
        "new/é.txt": b"new\n",
        "empty new": b"",
    }
    for name in ("gone.txt", "empty-gone", "moved.md"):
        del after[name]
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    _write(tmp_path, before)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "before"], check=True)
    for name in before:
        (tmp_path / name).unlink()
    _write(tmp_path, after)
    subprocess.run([*git, "add", "-A"], check=True)
    for options in (["-M"], ["-U0"], ["--no-renames"], ["-M", "--full-index", "--patience"]):
        command = [*git, "diff", "--cached", *options]
        diff = subprocess.run(command, check=True, capture_output=True).stdout.decode()

        changed = apply(read_patch(diff, paths=None), before.get)

        assert {**before, **changed} == {**dict.fromkeys(before), **after}


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def test_a_hunk_fits_a_little_away_from_where_it_says_but_not_far_and_not_elsewhere() -> None:
    content = b"".join(b"%d\n" % number for number in range(200))
    patch = read_patch("--- a/f\n+++ b/f\n@@ -10,3 +10,3 @@\n 29\n-30\n+thirty\n 31\n", paths=None)

    assert apply(patch, {"f": content}.get) == {"f": content.replace(b"\n30\n", b"\nthirty\n")}
    with pytest.raises(PatchError, match="hunk 1 of f does not fit"):
        apply(patch, {"f": b"before\n" * 100 + content}.get)
    with pytest.raises(PatchError, match="does not fit"):
        apply(patch, {"f": content.replace(b"31", b"31 ")}.get)


HEAD = "diff --git a/f b/f\n"
BODY = "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"


@pytest.mark.parametrize(
    ("diff", "reason"),
    [
        ("", "changes nothing"),
        ("rm -rf /", "does not begin"),
        (f"{HEAD}old mode 100644\nnew mode 100755\n", "change modes"),
        (f"{HEAD}old mode 100755\nnew mode 100644\n", "executable"),
        (f"{HEAD}new file mode 100755\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a\n", "executable"),
        (f"{HEAD}new file mode 120000\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+/etc/passwd\n", "symbolic link"),
        (f"{HEAD}index 1234567..89abcde 120000\n{BODY}", "symbolic link"),
        (f"{HEAD}new file mode 160000\nindex 0000000..1234567\n", "submodule"),
        (f"{HEAD}index 1234567..89abcde\nBinary files a/f and b/f differ\n", "binary"),
        (f"{HEAD}index 1234567..89abcde\nGIT binary patch\nliteral 0\n", "binary"),
        ("diff --git a/f b/g\nsimilarity index 100%\ncopy from f\ncopy to g\n", "copy"),
        (f"diff --git a/ok b/ok\n{BODY}", "names another"),
        ("diff --git a/f b/g\nrename from f\nrename to h\n", "names another"),
        ("--- a/f\n+++ b/g\n@@ -1 +1 @@\n-a\n+b\n", "two names"),
        ("--- f\n+++ f\n@@ -1 +1 @@\n-a\n+b\n", "does not begin with a/"),
        ("--- a/f\n+++ b/f\n@@ -1,2 +1 @@\n-a\n+b\n", "shorter"),
        ("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n+c\n", "does not begin"),
        ("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n*b\n", "begins with a space"),
        (f"{BODY}{BODY}", "twice"),
        (BODY + BODY.replace("/f", "/F"), "same name"),
        (BODY + BODY.replace("/f", "/f/g"), "which is a file"),
        (BODY.replace("+b", "+\ud800"), "not valid text"),
        (BODY + "x" * 1024 * 1024, "1,048,576 are the most"),
        ("".join(BODY.replace("/f", f"/f{number}") for number in range(201)), "more than 200 files"),
    ],
)
def test_what_is_no_plain_change_of_text_is_refused(diff: str, reason: str) -> None:
    with pytest.raises(PatchError, match=reason):
        read_patch(diff, paths=None)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        ".git/config",
        "a/.GIT/hooks/post-checkout",
        ".git ",
        ".git.",
        ".gi\u200ct/config",
        ".git::$INDEX_ALLOCATION/config",
        "git~1/config",
        "a\\..\\.git\\config",
        "C:x",
        "a\nb",
        "a\x00",
        "\uff0egit/config",
        "a\u202egpj.exe",
        "x" * 300,
    ],
)
def test_a_path_that_some_system_reads_otherwise_is_refused(path: str) -> None:
    assert path_problem(path) is not None
    assert refusal(path, ("**", path)) is not None


@pytest.mark.parametrize(
    ("path", "globs", "allowed"),
    [
        ("src/a.py", None, True),
        ("Dockerfile", None, True),
        ("src/a.py", ("docs/**",), False),
        ("docs/a/b.md", ("docs/**",), True),
        ("docs/b.md", ("docs/**/*.md",), True),
        ("docs/b.md", ("*.md",), False),
        (".github/workflows/ci.yml", None, False),
        (".github/workflows/ci.yml", ("**",), False),
        (".github/workflows/ci.yml", ("*/workflows/*",), False),
        (".github/workflows/ci.yml", (".github/**",), True),
        (".GitHub/workflows/ci.yml", None, False),
        ("sub/AGENTS.md", ("**/AGENTS.md",), False),
        ("sub/AGENTS.md", ("sub/AGENTS.md",), True),
        ("CLAUDE.md", None, False),
        ("docs/CODEOWNERS", ("docs/**",), False),
        ("Jenkinsfile", ("**",), False),
        (".contexten.yaml", None, False),
        (".vscode/tasks.json", None, False),
        ("a/.claude/settings.json", ("a/**",), False),
        ("hooks/pre-commit", None, False),
    ],
)
def test_what_decides_what_is_run_is_touched_only_where_a_pattern_spells_it_out(
    path: str, globs: tuple[str, ...] | None, allowed: bool
) -> None:
    assert (refusal(path, globs) is None) is allowed


def _nothing(path: str) -> bytes | None:
    return None


def test_a_file_is_neither_added_twice_nor_changed_nor_removed_where_it_is_otherwise() -> None:
    new = read_patch("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a\n", paths=None)
    gone = read_patch("--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", paths=None)

    assert apply(new, _nothing) == {"f": b"a\n"}
    assert apply(gone, {"f": b"a\n"}.get) == {"f": None}
    with pytest.raises(PatchError, match="there is already"):
        apply(new, {"f": b""}.get)
    with pytest.raises(PatchError, match="which there is not"):
        apply(gone, _nothing)
    with pytest.raises(PatchError, match="not all that is in it"):
        apply(gone, {"f": b"a\nb\n"}.get)
