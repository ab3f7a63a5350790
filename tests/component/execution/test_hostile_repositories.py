"""Repositories made to run something on the host that reads them, or to write outside of their checkout.

Each is fetched, listed, read, compared and checked out, once from a mirror of its own and once as a repository of this
machine whose objects are borrowed. That must work or end in an error of ours; nothing may run or be written elsewhere.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contexten_core.codebase.local import LocalCodebase
from contexten_core.errors import GitError
from contexten_core.execution.git import Mirror
from contexten_core.execution.git_borrowed import BorrowingMirror

if TYPE_CHECKING:
    from tests.component.execution.conftest import Canary, Origin

Plant = Callable[["Origin", "Canary"], str]
"""Makes a repository hostile, and returns the commit to use it by."""

_PLANTS: list[Plant] = []


def _hostile(plant: Plant) -> Plant:
    _PLANTS.append(plant)
    return plant


def _configured(origin: "Origin", **settings: str | Path) -> None:
    for name, value in settings.items():
        origin.git("config", name.replace("__", "."), str(value))


def _with_entries(origin: "Origin", *entries: tuple[str, bytes, str]) -> str:
    return origin.commit_tree(origin.raw_tree(*entries))


@_hostile
def hooks(origin: "Origin", canary: "Canary") -> str:
    for name in ("post-checkout", "post-index-change", "reference-transaction", "pre-receive", "post-update"):
        hook = origin.folder / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.symlink_to(canary.program)
    return origin.git("rev-parse", "HEAD")


@_hostile
def hooks_and_configuration_in_the_tree(origin: "Origin", canary: "Canary") -> str:
    program = canary.program.read_text()
    return origin.commit(
        {
            "hooks/post-checkout": program,
            ".githooks/post-checkout": program,
            "config": f"[core]\n\tfsmonitor = {canary.program}\n\tbare = true\n",
            "HEAD": "ref: refs/heads/main\n",
            "objects/keep": "",
            "refs/keep": "",
            ".gitconfig": f"[core]\n\tpager = {canary.program}\n",
        }
    )


@_hostile
def drivers_in_attributes(origin: "Origin", canary: "Canary") -> str:
    _configured(
        origin,
        filter__evil__smudge=canary.program,
        filter__evil__process=canary.program,
        filter__evil__required="true",
        diff__evil__command=canary.program,
        diff__evil__textconv=canary.program,
        merge__evil__driver=canary.program,
    )
    attributes = origin.blob(b"* filter=evil diff=evil merge=evil\n*.txt working-tree-encoding=UTF-16 ident text\n")
    return _with_entries(
        origin,
        ("100644", b".gitattributes", attributes),
        ("100644", b"a", origin.blob(b"two\n")),
        ("100644", b"b.txt", origin.blob(b"$Id$\r\n")),
    )


@_hostile
def large_file_pointers(origin: "Origin", canary: "Canary") -> str:
    _configured(origin, filter__lfs__smudge=f"{canary.program} smudge -- %f", filter__lfs__required="true")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4" * 64 + b"\nsize 12345\n"
    return _with_entries(
        origin,
        ("100644", b".gitattributes", origin.blob(b"*.bin filter=lfs diff=lfs merge=lfs -text\n")),
        ("100644", b".lfsconfig", origin.blob(f'[lfs]\n\turl = "ext::{canary.program}"\n'.encode())),
        ("100644", b"a.bin", origin.blob(pointer)),
    )


@_hostile
def submodules(origin: "Origin", canary: "Canary") -> str:
    program = canary.program
    modules = f"""
[submodule "../../../../outside"]
    path = x
    url = ext::{program}
    update = !{program}
[submodule "y"]
    path = -u{program}
    url = --upload-pack={program}
[submodule "z"]
    path = ../outside
    url = ssh://-oProxyCommand={program}/z
"""
    commit = "1" * 40
    return _with_entries(
        origin,
        ("100644", b".gitmodules", origin.blob(modules.encode())),
        ("160000", f"-u{program.name}".encode(), commit),
        ("160000", b"x", commit),
    )


@_hostile
def links_out_of_the_tree(origin: "Origin", canary: "Canary") -> str:
    targets = ["/etc/passwd", "/etc", str(canary.home), "~", "../outside", "../../outside/precious", "/proc/self/cwd/a"]
    targets += ["a/../../..", "l0007", "l0008", "." + "/x" * 2000]
    return _with_entries(
        origin,
        *(("120000", f"l{number:04}".encode(), origin.blob(to.encode())) for number, to in enumerate(targets)),
    )


@_hostile
def a_link_and_files_below_it(origin: "Origin", canary: "Canary") -> str:
    below = origin.raw_tree(("100644", b"precious", origin.blob(b"evil")))
    return _with_entries(origin, ("120000", b"out", origin.blob(os.fsencode(canary.outside))), ("40000", b"out", below))


@_hostile
def a_path_with_a_slash_through_a_link(origin: "Origin", canary: "Canary") -> str:
    return _with_entries(
        origin,
        ("120000", b"out", origin.blob(os.fsencode(canary.outside))),
        ("100644", b"out/precious", origin.blob(b"evil")),
    )


@_hostile
def a_link_behind_a_path_as_long_as_a_path_can_be(origin: "Origin", canary: "Canary") -> str:
    link = ("120000", b"out", origin.blob(os.fsencode(canary.outside)))
    tree = origin.raw_tree(link)
    for _ in range(20):
        tree = origin.raw_tree(("40000", b"d" * 200, tree))
    return _with_entries(origin, ("40000", b"d", tree))


@_hostile
def a_name_of_4000_characters(origin: "Origin", canary: "Canary") -> str:
    del canary
    return _with_entries(origin, ("100644", b"n" * 4000, origin.blob(b"1")))


@_hostile
def names_that_are_not_utf8_or_orders_to_a_terminal(origin: "Origin", canary: "Canary") -> str:
    del canary
    blob = origin.blob(b"1")
    names = [
        b"\x1b]0;pwned\x07\x1b[2J",
        b" ",
        b"--help",
        b"-rf",
        b"a\nb",
        b"\xc2\x9b31m",
        b"\xff\xfe",
        b"\xe2\x80\xaex",
        b"..\\outside",
    ]
    return _with_entries(origin, *(("100644", name, blob) for name in sorted(names)))


@_hostile
def names_that_fall_together(origin: "Origin", canary: "Canary") -> str:
    out = origin.blob(os.fsencode(canary.outside))
    below = origin.raw_tree(("100644", b"precious", origin.blob(b"evil")))
    return _with_entries(
        origin,
        ("40000", b"A", below),
        ("120000", b"a", out),
        ("40000", "\u00e9".encode(), below),
        ("120000", "e\u0301".encode(), out),
    )


@_hostile
def a_swapped_git_file(origin: "Origin", canary: "Canary") -> str:
    swapped = origin.blob(f"gitdir: {canary.outside}\n".encode())
    return _with_entries(origin, ("100644", b".git", swapped), ("100644", b"a", origin.blob(b"1")))


@_hostile
def one_name_many_times(origin: "Origin", canary: "Canary") -> str:
    blob, link = origin.blob(b"evil"), origin.blob(os.fsencode(canary.outside / "precious"))
    return _with_entries(origin, *[("120000", b"a", link), ("100644", b"a", blob)] * 3)


@_hostile
def modes_that_do_not_exist(origin: "Origin", canary: "Canary") -> str:
    del canary
    blob = origin.blob(b"1")
    modes = ["104755", "106777", "100000", "0100644", "20666", "10644", "140000", "777"]
    return _with_entries(origin, *((mode, f"m{number}".encode(), blob) for number, mode in enumerate(modes)))


@_hostile
def entries_that_are_something_else(origin: "Origin", canary: "Canary") -> str:
    del canary
    tree, head = origin.raw_tree(), origin.git("rev-parse", "HEAD")
    return _with_entries(origin, ("100644", b"a", tree), ("120000", b"b", head), ("40000", b"c", origin.blob(b"1")))


@_hostile
def objects_that_are_missing(origin: "Origin", canary: "Canary") -> str:
    del canary
    return _with_entries(origin, ("100644", b"a", "a" * 40), ("40000", b"b", "b" * 40))


@_hostile
def a_promise_to_fetch_what_is_missing(origin: "Origin", canary: "Canary") -> str:
    _configured(
        origin,
        core__repositoryformatversion="1",
        extensions__partialClone="origin",
        remote__origin__promisor="true",
        remote__origin__url=f"ext::{canary.program}",
        remote__origin__uploadpack=canary.program,
        protocol__ext__allow="always",
        protocol__allow="always",
    )
    return _with_entries(origin, ("100644", b"a", "a" * 40))


@_hostile
def programs_in_its_configuration(origin: "Origin", canary: "Canary") -> str:
    program = canary.program
    (origin.folder / ".git/included").write_text(f"[core]\n\taskPass = {program}\n")
    _configured(
        origin,
        core__fsmonitor=program,
        core__pager=program,
        core__sshCommand=program,
        core__editor=program,
        core__gitProxy=program,
        core__hooksPath=program.parent,
        core__alternateRefsCommand=program,
        credential__helper=program,
        diff__external=program,
        uploadpack__packObjectsHook=program,
        gpg__program=program,
        log__showSignature="true",
        include__path="included",
    )
    origin.git("config", f"url.ext::{program}.insteadOf", "/")
    return origin.git("rev-parse", "HEAD")


@_hostile
def alternates(origin: "Origin", canary: "Canary") -> str:
    other = type(origin)(canary.outside / "other")
    borrowed = other.commit({"secret": "s"})
    paths = ["/proc/self/fd", "../../../../../../../../etc", str(other.folder / ".git/objects"), '"bad', "x" * 5000]
    (origin.folder / ".git/objects/info/alternates").write_text("\n".join(paths) + "\n")
    origin.git("update-ref", "refs/heads/borrowed", borrowed)
    return origin.git("rev-parse", "HEAD")


@_hostile
def replaced_objects(origin: "Origin", canary: "Canary") -> str:
    good = origin.git("rev-parse", "HEAD")
    out = origin.blob(os.fsencode(canary.outside))
    origin.git("replace", good, _with_entries(origin, ("120000", b"a", out)))
    origin.git("replace", origin.blob(b"one\n"), origin.blob(b"evil"))
    return good


@_hostile
def grafts_and_a_cut_off_history(origin: "Origin", canary: "Canary") -> str:
    del canary
    head = origin.git("rev-parse", "HEAD")
    other = _with_entries(origin, ("100644", b"a", origin.blob(b"evil")))
    (origin.folder / ".git/info/grafts").write_text(f"{head} {other}\nnonsense\n")
    (origin.folder / ".git/shallow").write_text(f"{head}\n")
    return head


@_hostile
def tags_and_branches_named_like_others_and_like_options(origin: "Origin", canary: "Canary") -> str:
    good = origin.git("rev-parse", "HEAD")
    evil = _with_entries(origin, ("100644", b"a", origin.blob(b"evil")))
    for name in (
        "refs/tags/main",
        "refs/tags/refs/heads/main",
        f"refs/heads/{good}",
        f"refs/tags/--upload-pack={canary.program}",
        f"refs/heads/-oProxyCommand={canary.program.name}",
        "refs/heads/$(canary)",
        "refs/heads/`canary`;canary|canary",
        "refs/heads/refs/contexten/" + good,
    ):
        origin.git("update-ref", name, evil)
    return good


@_hostile
def commits_that_give_orders_to_a_terminal(origin: "Origin", canary: "Canary") -> str:
    tree = origin.git("rev-parse", "HEAD^{tree}")
    name = f"\x1b[31mA$(canary)\u202e`{canary.program.name}`"
    body = f"tree {tree}\nauthor {name} <a\x00b> 99999999999999999999 +9999\ncommitter {name} <> -1 x\n"
    message = "\n\x1b]0;pwned\x07\x1b[2J\r--output=pwned\n\0" + "m" * 5000
    raw = (body.replace("\0", "") + message).encode()
    commit = origin.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=raw)
    origin.git("update-ref", "refs/heads/odd", commit)
    return commit


@_hostile
def attributes_and_ignore_files_of_great_length(origin: "Origin", canary: "Canary") -> str:
    del canary
    long = b"*" * 100_000 + b" text\n" + b"[attr]x -y\n" * 10_000
    return _with_entries(
        origin,
        ("100644", b".gitattributes", origin.blob(long)),
        ("100644", b".gitignore", origin.blob(long)),
        ("100644", b".mailmap", origin.blob(b"<" * 100_000)),
    )


_WORKING = {
    "alternates",
    "attributes_and_ignore_files_of_great_length",
    "commits_that_give_orders_to_a_terminal",
    "drivers_in_attributes",
    "grafts_and_a_cut_off_history",
    "hooks",
    "hooks_and_configuration_in_the_tree",
    "large_file_pointers",
    "links_out_of_the_tree",
    "modes_that_do_not_exist",
    "names_that_fall_together",
    "programs_in_its_configuration",
    "replaced_objects",
    "submodules",
    "tags_and_branches_named_like_others_and_like_options",
}
"""Those that an honest repository could be like: all has to work as if there were nothing odd about them."""

_OF_ITS_FOLDER = (
    a_promise_to_fetch_what_is_missing,
    alternates,
    entries_that_are_something_else,
    grafts_and_a_cut_off_history,
    hooks,
    objects_that_are_missing,
    programs_in_its_configuration,
    replaced_objects,
)
"""Those that may do more where their objects are borrowed."""


@pytest.mark.parametrize("plant", _PLANTS, ids=lambda plant: plant.__name__)
def test_a_hostile_repository_runs_nothing_and_writes_nothing_elsewhere(
    plant: Plant, origin: "Origin", canary: "Canary", mirror: Mirror
) -> None:
    base = origin.commit({"a": "one\n"})
    commit = plant(origin, canary)

    with canary.watching():
        failed = canary.visit(mirror, commit, base)

    assert not failed or plant.__name__ not in _WORKING


@pytest.mark.parametrize("plant", _OF_ITS_FOLDER, ids=lambda plant: plant.__name__)
def test_nor_does_one_of_this_machine_whose_objects_are_borrowed(
    plant: Plant, origin: "Origin", canary: "Canary", tmp_path: Path
) -> None:
    base = origin.commit({"a": "one\n"})
    commit = plant(origin, canary)
    mirror = BorrowingMirror(tmp_path / "borrowed", str(origin.folder), timeout_seconds=20)

    with canary.watching():
        failed = canary.visit(mirror, commit, base)

    assert not failed or plant.__name__ not in _WORKING


def test_a_few_objects_that_stand_for_billions_of_files_are_given_up_on(
    origin: "Origin", canary: "Canary", mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contexten_core.execution.git._MAX_ENTRIES", 5_000)
    monkeypatch.setattr("contexten_core.execution.git._MAX_COUNTED", 5_000)
    monkeypatch.setattr("contexten_core.execution.git_history._COMPARING_MEMORY_BYTES", 8 * 1024**2)
    base = origin.commit({"a": "one\n"})
    tree = origin.raw_tree(("100644", b"f", origin.blob(b"1")))
    for _ in range(12):
        tree = origin.raw_tree(*(("40000", b"%x" % number, tree) for number in range(8)))
    commit = origin.commit_tree(tree)

    with canary.watching():
        failed = canary.visit(mirror, commit, base)

    assert failed.keys() == {"tree", "read", "changes", "diff", "hunks", "checkout"}
    assert mirror.listing(commit, limit=5)[1] == 5_000


_FORBIDDEN = {
    "git": b".git",
    "git in capitals": b".GiT",
    "git's short name": b"git~1",
    "git and a space": b".git ",
    "git and dots": b".git...",
    "git and a stream": b".git::$INDEX_ALLOCATION",
    "git and what a mac ignores": ".g\u200cit".encode(),
    "the folder above": b"..",
    "the folder itself": b".",
    "a slash": b"../outside",
    "an absolute path": b"/tmp/outside",
    "no name": b"",
}


def test_no_folder_is_made_that_git_or_a_file_system_takes_for_another(
    origin: "Origin", canary: "Canary", mirror: Mirror
) -> None:
    config = origin.blob(f"[core]\n\tfsmonitor = {canary.program}\n".encode())
    below = origin.raw_tree(("100644", b"config", config))
    trees = {what: origin.raw_tree(("40000", name, below)) for what, name in _FORBIDDEN.items()}
    trees["git, deep down"] = origin.raw_tree(("40000", b"a", trees["git"]))

    for what, tree in trees.items():
        commit = origin.commit_tree(tree)
        with canary.watching():
            with pytest.raises(GitError) as caught:
                _checked_out(mirror, commit, canary.checkouts / "checkout")
            assert caught.value.hint, what
            assert not any(canary.checkouts.iterdir()), what


def _checked_out(mirror: Mirror, commit: str, checkout: Path) -> None:
    mirror.fetch(commit)
    mirror.checkout(commit, checkout)


def test_what_is_checked_out_is_what_the_commit_says(origin: "Origin", canary: "Canary", mirror: Mirror) -> None:
    origin.commit({"a": "one\n"})
    good = replaced_objects(origin, canary)
    tags_and_branches_named_like_others_and_like_options(origin, canary)

    _checked_out(mirror, mirror.head("main"), canary.checkouts / "checkout")

    assert mirror.head("main") == mirror.head() == good
    assert [path.name for path in (canary.checkouts / "checkout").iterdir()] == ["a"]
    assert (canary.checkouts / "checkout/a").read_text() == "one\n"


@pytest.mark.parametrize("swapped", ["pipe", "socket", "loop", "folder that is none", "nothing", "other repository"])
def test_a_swapped_git_file_of_a_local_repository_leads_to_objects_at_most(
    swapped: str, origin: "Origin", canary: "Canary", tmp_path: Path
) -> None:
    origin.commit({"a": "one\n"})
    git, moved = origin.folder / ".git", canary.outside / "moved"
    programs_in_its_configuration(origin, canary)
    git.rename(moved)
    match swapped:
        case "pipe":
            os.mkfifo(git)
        case "socket":
            with socket.socket(socket.AF_UNIX) as listening:
                os.chdir(origin.folder)
                listening.bind(".git")
        case "loop":
            git.symlink_to(".git")
        case "nothing":
            git.write_bytes(b"gitdir: \xff\0" + b"x" * 5000)
        case _:
            git.write_text(f"gitdir: {moved if swapped == 'other repository' else canary.home}\n")
    codebase = LocalCodebase(str(origin.folder), tmp_path / "borrowed")

    with canary.watching():
        if swapped == "other repository":
            assert [file.path for file in codebase.analyse().analysis.facts.files.values()] == ["a"]
        else:
            with pytest.raises(GitError) as caught:
                codebase.analyse()
            assert caught.value.hint


@pytest.mark.parametrize("name", ["shallow", "commondir"])
def test_a_pipe_in_a_local_repository_is_not_waited_for(
    name: str, origin: "Origin", canary: "Canary", tmp_path: Path
) -> None:
    commit = origin.commit({"a": "one\n"})
    os.mkfifo(origin.folder / ".git" / name)
    mirror = BorrowingMirror(tmp_path / "borrowed", str(origin.folder), timeout_seconds=20)

    mirror.fetch(commit)

    assert [entry.path for entry in mirror.tree(commit)] == ["a"]


def test_what_a_link_in_a_local_repository_leads_to_is_not_repeated(
    origin: "Origin", canary: "Canary", tmp_path: Path
) -> None:
    commit = origin.commit({"a": "one\n"})
    (origin.folder / ".git/shallow").symlink_to(canary.outside / "precious")
    mirror = BorrowingMirror(tmp_path / "borrowed", str(origin.folder), timeout_seconds=20)

    mirror.fetch(commit)

    assert [entry.path for entry in mirror.tree(commit)] == ["a"]
