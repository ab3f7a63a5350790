"""Repositories, refs and URLs made to run something, or to write outside their checkout."""

import os
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contexten_core.errors import GitError
from contexten_core.execution.git import GitMirrors, Mirror

if TYPE_CHECKING:
    from tests.component.execution.conftest import Origin

INJECTED_URLS = [
    "",
    "--upload-pack=touch /tmp/pwned",
    "-u",
    "ext::sh -c 'touch /tmp/pwned'",
    "ext::sh",
    "fd::17/foo",
    "file::/etc",
    "https::https://example.org/a",
    "ext://sh",
    "git://example.org/a.git",
    "ftp://example.org/a.git",
    "http://example.org/a.git",
    "rsync://example.org/a",
    "https://",
    "https:///path",
    "https://-oProxyCommand=touch/a",
    "https://example.org/a?x=1",
    "https://example.org/a#b",
    "https://example.org:99999/a",
    "https://[::1/a",
    "https://exa mple.org/a",
    "https://example.org/a\nHost: b",
    "ssh://-oProxyCommand=touch%20pwned/a",
    "ssh://example.org/-oProxyCommand",
    "ssh://user@-oProxyCommand=x/a",
    "-oProxyCommand=touch:a",
    "user@-oProxyCommand=touch:a",
    "git@example.org:-a",
    "git@example.org::a",
    "example.org:",
    "relative/path",
    "../up",
    "/etc",
    "file:///etc",
    "/tmp/\x00",
    "$(touch /tmp/pwned)",
    "git@example.org:\ud800",
    "h" * 3000,
]


@pytest.mark.parametrize("url", INJECTED_URLS)
def test_a_url_that_is_not_plain_https_or_ssh_never_reaches_git(url: str, tmp_path: Path) -> None:
    with pytest.raises(GitError) as caught:
        GitMirrors(tmp_path / "mirrors").open(url)

    assert caught.value.hint
    assert not caught.value.transient


@pytest.mark.parametrize("url", ["file://host/etc", "http://example.org/a", "ext::sh", "relative"])
def test_allowing_local_repositories_allows_nothing_else(url: str, tmp_path: Path) -> None:
    with pytest.raises(GitError):
        GitMirrors(tmp_path).open(url, allow_local=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/octo/cat.git",
        "https://octo@dev.example.org:8443/octo/_git/cat",
        "ssh://git@github.com/octo/cat.git",
        "ssh://git@example.org:2222/octo/cat.git",
        "git@github.com:octo/cat.git",
        "example.org:octo/cat",
    ],
)
def test_what_teams_use_is_accepted(url: str, tmp_path: Path) -> None:
    GitMirrors(tmp_path).open(url)


INJECTED_REFS = [
    "",
    "--upload-pack=touch /tmp/pwned",
    "-f",
    "main:refs/heads/other",
    "refs/heads/*",
    "refs/heads/a..b",
    "a b",
    "a\nb",
    "a\x00b",
    "a~1",
    "a^{commit}",
    "a?",
    "a[b",
    "a\\b",
    "@",
    "a@{1}",
    "a//b",
    "/a",
    "a/",
    ".a",
    "a/.b",
    "a.lock",
    "a.lock/b",
    "a.",
    "\ud800",
    "a" * 600,
]


@pytest.mark.parametrize("ref", INJECTED_REFS)
def test_a_ref_that_git_would_not_allow_never_reaches_it(ref: str, mirrors: GitMirrors) -> None:
    mirror = mirrors.open("https://git.invalid/octo/cat.git")

    with pytest.raises(GitError, match="not a valid ref name"):
        mirror.head(ref)
    with pytest.raises(GitError, match="not a valid ref name"):
        mirror.fetch("a" * 40, ref=ref)


@pytest.mark.parametrize(
    "commit", ["--help", "HEAD", "main", "a" * 39, "a" * 41, "g" * 40, "a" * 40 + "\n", "a" * 40 + "^"]
)
def test_only_whole_ids_are_commits_or_blobs(commit: str, mirrors: GitMirrors, tmp_path: Path) -> None:
    mirror = mirrors.open("https://git.invalid/octo/cat.git")

    for use in (mirror.fetch, mirror.files, lambda value: list(mirror.read([value]))):
        with pytest.raises(GitError, match="full commit id"):
            use(commit)
    with pytest.raises(GitError, match="full commit id"):
        mirror.checkout(commit, tmp_path / "checkout")


@pytest.mark.parametrize(
    ("name", "nested"),
    [
        *((name, True) for name in (b".git", b".GIT", b"git~1", b"..", b".")),
        *((name, False) for name in (b".git", b"../up")),
    ],
)
def test_names_that_git_must_not_write_stop_the_checkout(
    name: bytes, origin: "Origin", mirror: Mirror, tmp_path: Path, *, nested: bool
) -> None:
    blob = origin.blob(b"[core]\n\tfsmonitor = touch pwned\n")
    entry = ("40000", name, origin.raw_tree(("100644", b"config", blob))) if nested else ("100644", name, blob)
    commit = origin.commit_tree(origin.raw_tree(entry))
    mirror.fetch(commit)

    with pytest.raises(GitError) as caught:
        mirror.checkout(commit, tmp_path / "checkout")

    assert not caught.value.transient
    assert not (tmp_path / "checkout").exists()
    assert not (tmp_path / "up").exists()


def test_links_out_of_the_checkout_become_plain_files(origin: "Origin", mirror: Mirror, tmp_path: Path) -> None:
    links = {
        "absolute": "/etc/passwd",
        "up": "../outside",
        "far": "sub/../../../etc",
        "through": "dir/../../outside",
        "sub/up": "../../outside",
        "sub/deep/dots": "./.././../../x",
    }
    staying = {
        "sub/ok": "../file",
        "here": "file",
        "dir": "sub/deep",
        "dangling": "nothing",
        "self": "self",
        "dot": ".",
    }
    origin.commit({"file": "1", "sub/deep/file": "2"})
    for name, target in (links | staying).items():
        os.symlink(target, origin.folder / name)  # noqa: PTH211 - Path would tidy up the target
    commit = origin.commit({})
    mirror.fetch(commit)
    checkout = tmp_path / "checkout"

    mirror.checkout(commit, checkout)

    assert {name: (checkout / name).read_text() for name in links} == links
    assert not any((checkout / name).is_symlink() for name in links)
    assert {name: str((checkout / name).readlink()) for name in staying} == staying


def test_a_link_and_a_folder_of_one_name_write_nothing_outside(
    origin: "Origin", mirror: Mirror, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "link").write_text("precious")
    way_out = origin.blob(os.fsencode(outside))
    evil, link = origin.blob(b"evil"), origin.blob(b"/etc/passwd")
    folder = ("40000", b"a", origin.raw_tree(("100644", b"evil", evil), ("120000", b"link", link)))
    for number, entries in enumerate(permutations([("120000", b"a", way_out), folder])):
        commit = origin.commit_tree(origin.raw_tree(*entries))
        mirror.fetch(commit)
        checkout = tmp_path / f"checkout-{number}"
        with suppress(GitError):
            mirror.checkout(commit, checkout)
        assert not (checkout / "a").is_symlink()

    assert {path.name: path.read_text() for path in outside.iterdir()} == {"link": "precious"}


def test_a_few_objects_cannot_become_a_billion_files(
    origin: "Origin", mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contexten_core.execution.git._MAX_ENTRIES", 1000)
    tree = origin.raw_tree(("100644", b"f", origin.blob(b"1")))
    for _ in range(9):
        tree = origin.raw_tree(*(("40000", b"%d" % number, tree) for number in range(10)))
    commit = origin.commit_tree(tree)
    mirror.fetch(commit)

    with pytest.raises(GitError, match="more than 1000 files"):
        mirror.checkout(commit, tmp_path / "checkout")


def test_nothing_that_a_repository_configures_is_run(
    origin: "Origin", mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $0 >> {run}\ncat\n")
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(program))
    monkeypatch.setenv("GIT_PROXY_COMMAND", str(program))
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[filter "evil"]\n\tsmudge = {program}\n[core]\n\tfsmonitor = {program}\n')
    monkeypatch.setenv("HOME", str(home))
    (origin.folder / ".git/hooks").mkdir(exist_ok=True)
    commit = origin.commit(
        {
            ".gitattributes": "* filter=evil diff=evil merge=evil\n",
            ".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = ext::{program}\n\tupdate = !{program}\n',
            "a": "1",
        }
    )
    origin.git("update-index", "--add", "--cacheinfo", f"160000,{commit},x")
    origin.git("commit", "--quiet", "--message=submodule")
    commit = origin.git("rev-parse", "HEAD")
    for hook in ("post-checkout", "pre-receive", "post-index-change", "reference-transaction", "fsmonitor-watchman"):
        (origin.folder / ".git/hooks" / hook).symlink_to(program)
    for setting in (
        *("filter.evil.smudge", "filter.evil.process", "core.fsmonitor", "core.sshCommand", "core.pager"),
        *("uploadpack.packObjectsHook", "diff.external", "core.alternateRefsCommand", "credential.helper"),
    ):
        origin.git("config", setting, str(program))

    mirror.fetch(commit)
    mirror.head()
    mirror.checkout(commit, tmp_path / "checkout")

    assert (tmp_path / "checkout/a").read_text() == "1"
    assert list((tmp_path / "checkout/x").iterdir()) == []
    assert not run.exists()
