"""Mirrors of repositories on this machine: what is fetched, listed, read and checked out."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contexten_core.codebase.history import parse_log
from contexten_core.errors import GitError
from contexten_core.execution.file_lock import file_lock
from contexten_core.execution.git import GitMirrors, Mirror
from contexten_core.execution.git_history import FileKind

if TYPE_CHECKING:
    from tests.component.execution.conftest import Origin


def _all_files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_a_commit_goes_from_its_repository_to_plain_files(origin: "Origin", mirror: Mirror, tmp_path: Path) -> None:
    commit = origin.commit({"README": "hello", "src/a.py": "print(1)\n"})
    origin.commit({"README": "later"})

    mirror.fetch(commit)
    mirror.checkout(commit, tmp_path / "checkout")

    assert _all_files(tmp_path / "checkout") == {"README": b"hello", "src/a.py": b"print(1)\n"}
    assert not (tmp_path / "checkout/.git").exists()


def test_an_older_commit_has_to_be_fetched_by_itself(origin: "Origin", mirror: Mirror) -> None:
    old = origin.commit({"a": "1"})
    new = origin.commit({"a": "2"})

    mirror.fetch(new)

    with pytest.raises(GitError, match="has not been fetched"):
        mirror.files(old)


def test_the_log_tells_what_each_commit_touched(origin: "Origin", mirrors: GitMirrors) -> None:
    first, *_, last = [origin.commit({"a": str(number), "odd\nname": str(number // 3)}) for number in range(6)]
    mirror = mirrors.open(str(origin.folder), allow_local=True)
    mirror.fetch(last)

    log = list(parse_log(mirror.log(last, limit=10)))

    assert [commit.commit for commit in log][:: len(log) - 1] == [last, first]
    assert [commit.paths for commit in log] == [("a",), ("a",), ("a", "odd\nname"), ("a",), ("a",), ()]
    assert len(list(parse_log(mirror.log(last, limit=2)))) == 2
    assert not mirror.is_cut_off


def test_a_history_that_is_cut_off_says_so_and_its_oldest_commit_touches_nothing(
    origin: "Origin", tmp_path: Path
) -> None:
    *_, last = [origin.commit({"a": str(number)}) for number in range(5)]
    mirror = GitMirrors(tmp_path / "mirrors", history_depth=3).open(str(origin.folder), allow_local=True)
    mirror.fetch(last)

    assert [commit.paths for commit in parse_log(mirror.log(last, limit=10))] == [("a",), ("a",), ()]
    assert mirror.is_cut_off


def test_fetching_again_needs_no_repository(origin: "Origin", mirror: Mirror, tmp_path: Path) -> None:
    commit = origin.commit({"a": "1"})
    mirror.fetch(commit)
    origin.folder.rename(tmp_path / "moved away")

    mirror.fetch(commit)

    assert [entry.path for entry in mirror.files(commit)] == ["a"]


def test_many_commits_share_one_mirror(origin: "Origin", mirror: Mirror) -> None:
    commits = [origin.commit({"a": str(number), f"f{number}": "x"}) for number in range(5)]

    for commit in commits:
        mirror.fetch(commit)

    assert [len(mirror.files(commit)) for commit in commits] == [2, 3, 4, 5, 6]


def test_files_carry_size_id_and_mode(origin: "Origin", mirror: Mirror) -> None:
    (origin.folder / "run.sh").write_text("#!/bin/sh\n")
    (origin.folder / "run.sh").chmod(0o755)
    commit = origin.commit({"a.txt": "hello"})
    mirror.fetch(commit)

    text, script = mirror.files(commit)

    assert (text.path, text.size, text.mode) == ("a.txt", 5, FileKind.REGULAR)
    assert (script.path, script.mode) == ("run.sh", FileKind.EXECUTABLE)
    assert text.blob_id == origin.git("rev-parse", f"{commit}:a.txt")


def test_links_and_submodules_are_no_files_but_are_in_the_tree(origin: "Origin", mirror: Mirror) -> None:
    (origin.folder / "link").symlink_to("a")
    commit = origin.commit({"a": "1"})
    origin.git("update-index", "--add", "--cacheinfo", f"160000,{commit},library")
    origin.git("commit", "--quiet", "--message=submodule")
    commit = origin.git("rev-parse", "HEAD")
    mirror.fetch(commit)

    assert [entry.path for entry in mirror.files(commit)] == ["a"]
    assert {entry.path: entry.mode for entry in mirror.tree(commit)} == {
        "a": FileKind.REGULAR,
        "library": FileKind.SUBMODULE,
        "link": FileKind.SYMLINK,
    }


def test_modes_of_old_are_understood(origin: "Origin", mirror: Mirror) -> None:
    blob = origin.blob(b"x")
    modes = {"100664": FileKind.REGULAR, "100600": FileKind.REGULAR, "100700": FileKind.EXECUTABLE}
    commit = origin.commit_tree(origin.raw_tree(*((mode, mode.encode(), blob) for mode in sorted(modes))))
    mirror.fetch(commit)

    assert {entry.path: entry.mode for entry in mirror.tree(commit)} == modes


ODD_NAMES = [
    b"line\nbreak",
    b"--option",
    b"-",
    b"sp ace",
    b'quo"te',
    b"tab\there",
    "ünï".encode(),
    b"latin-\xe9",
    b":(top)x",
]


def test_odd_names_survive(origin: "Origin", mirror: Mirror, tmp_path: Path) -> None:
    blob = origin.blob(b"content")
    commit = origin.commit_tree(origin.raw_tree(*(("100644", name, blob) for name in sorted(ODD_NAMES))))
    mirror.fetch(commit)

    mirror.checkout(commit, tmp_path / "checkout")

    assert {entry.path for entry in mirror.files(commit)} == {name.decode("utf-8", "replace") for name in ODD_NAMES}
    assert sorted(os.fsencode(path.name) for path in (tmp_path / "checkout").iterdir()) == sorted(ODD_NAMES)


def test_read_gives_each_content_once_and_leaves_large_ones_out(origin: "Origin", mirror: Mirror) -> None:
    commit = origin.commit({"a": "one\n", "b": b"\x00\xff\n\n", "same": "one\n", "empty": "", "large": "x" * 100_000})
    mirror.fetch(commit)
    ids = {entry.path: entry.blob_id for entry in mirror.files(commit)}

    read = list(mirror.read(ids.values(), max_bytes=1000))

    assert read == [(ids["a"], b"one\n"), (ids["b"], b"\x00\xff\n\n"), (ids["empty"], b"")]


def test_read_can_be_left_early(origin: "Origin", mirror: Mirror) -> None:
    commit = origin.commit({str(number): str(number) * 50_000 for number in range(20)})
    mirror.fetch(commit)

    reading = mirror.read(entry.blob_id for entry in mirror.files(commit))

    assert len(next(iter(reading))[1]) == 50_000
    del reading


def test_read_refuses_what_is_no_content(origin: "Origin", mirror: Mirror) -> None:
    commit = origin.commit({"a": "1"})
    mirror.fetch(commit)

    assert list(mirror.read([])) == []
    for wrong in (commit, "f" * 40):
        with pytest.raises(GitError, match="no file content"):
            list(mirror.read([wrong]))


def test_head_finds_branches_tags_and_pull_requests(origin: "Origin", mirror: Mirror) -> None:
    first = origin.commit({"a": "1"})
    origin.git("tag", "--annotate", "--message=release", "v1")
    origin.git("update-ref", "refs/pull/7/head", first)
    second = origin.commit({"a": "2"})

    assert mirror.head() == mirror.head("main") == mirror.head("refs/heads/main") == second
    assert mirror.head("v1") == mirror.head("refs/pull/7/head") == first
    with pytest.raises(GitError, match="no ref main2") as caught:
        mirror.head("main2")
    assert not caught.value.transient


def test_an_unknown_commit_is_no_matter_of_patience(origin: "Origin", mirror: Mirror) -> None:
    origin.commit({"a": "1"})

    with pytest.raises(GitError, match="not our ref") as caught:
        mirror.fetch("1234567890" * 4)

    assert not caught.value.transient
    assert caught.value.hint


def test_a_missing_repository_is_named(mirrors: GitMirrors, tmp_path: Path) -> None:
    missing = mirrors.open(f"{tmp_path}/nowhere", allow_local=True)

    with pytest.raises(GitError, match="nowhere") as caught:
        missing.fetch("a" * 40)

    assert not caught.value.transient


def test_a_checkout_never_goes_into_an_existing_folder(origin: "Origin", mirror: Mirror, tmp_path: Path) -> None:
    commit = origin.commit({"a": "1"})
    mirror.fetch(commit)
    (tmp_path / "taken").mkdir()

    for wrong in ("taken", "no/parent"):
        with pytest.raises(GitError, match="cannot be made"):
            mirror.checkout(commit, tmp_path / wrong)


def test_a_checkout_has_a_size_limit(origin: "Origin", mirror: Mirror, tmp_path: Path) -> None:
    commit = origin.commit({"a": "x" * 2000})
    mirror.fetch(commit)

    with pytest.raises(GitError, match="2000 bytes"):
        mirror.checkout(commit, tmp_path / "checkout", max_bytes=1999)

    assert not (tmp_path / "checkout").exists()


def test_export_attributes_drop_and_change_nothing(origin: "Origin", mirror: Mirror, tmp_path: Path) -> None:
    files = {".gitattributes": "secret export-ignore\nsubst export-subst\n", "secret": "1", "subst": "$Format:%H$"}
    commit = origin.commit(files)
    mirror.fetch(commit)

    mirror.checkout(commit, tmp_path / "checkout")

    assert _all_files(tmp_path / "checkout") == {name: content.encode() for name, content in files.items()}


def test_threads_share_a_mirror(origin: "Origin", mirrors: GitMirrors, tmp_path: Path) -> None:
    commits = [origin.commit({"a": str(number)}) for number in range(3)]

    def use(number: int) -> str:
        mirror = mirrors.open(str(origin.folder), allow_local=True)
        mirror.fetch(commits[number % 3])
        mirror.checkout(commits[number % 3], tmp_path / f"checkout-{number}")
        return (tmp_path / f"checkout-{number}/a").read_text()

    with ThreadPoolExecutor(9) as pool:
        assert list(pool.map(use, range(9))) == ["0", "1", "2"] * 3


def test_processes_share_a_mirror(origin: "Origin", mirror: Mirror, tmp_path: Path) -> None:
    commits = [origin.commit({"a": str(number)}) for number in range(3)]
    script = (
        "import sys; from pathlib import Path; from contexten_core.execution.git import GitMirrors\n"
        "mirror = GitMirrors(Path(sys.argv[1])).open(sys.argv[2], allow_local=True)\n"
        "for commit in sys.argv[3:]: mirror.fetch(commit)"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "mirrors"), str(origin.folder), *commits]

    running = [subprocess.Popen(arguments) for _ in range(3)]

    assert [process.wait(timeout=30) for process in running] == [0, 0, 0]
    assert all(mirror.files(commit) for commit in commits)


def test_what_a_killed_fetch_leaves_does_not_stop_the_next(origin: "Origin", mirror: Mirror, tmp_path: Path) -> None:
    first, second = origin.commit({"a": "1"}), origin.commit({"a": "2"})
    mirror.fetch(first)
    (folder,) = [path for path in (tmp_path / "mirrors").iterdir() if path.is_dir()]
    for leftover in ("shallow.lock", f"refs/contexten/{second}.lock", "objects/pack/tmp_pack_x"):
        (folder / leftover).touch()

    mirror.fetch(second)

    assert mirror.files(second)
    assert not list(folder.rglob("*.lock"))


def test_a_mirror_is_whole_or_not_there(origin: "Origin", mirrors: GitMirrors, tmp_path: Path) -> None:
    commit = origin.commit({"a": "1"})
    mirror = mirrors.open(str(origin.folder), allow_local=True)
    # What an earlier process would leave when it is killed in the middle.
    (tmp_path / "mirrors").mkdir()
    half_made = tmp_path / "mirrors" / f"{mirror._name}.new-0000"
    half_made.mkdir()

    mirror.fetch(commit)

    assert {path.name for path in (tmp_path / "mirrors").iterdir()} == {mirror._name, f"{mirror._name}.lock"}


def test_waiting_for_another_fetch_has_an_end(origin: "Origin", tmp_path: Path) -> None:
    commit = origin.commit({"a": "1"})
    mirror = GitMirrors(tmp_path, timeout_seconds=0.2).open(str(origin.folder), allow_local=True)

    with (
        file_lock(tmp_path / f"{mirror._name}.lock", what="the mirror", timeout_seconds=1),
        pytest.raises(GitError, match="in use") as caught,
    ):
        mirror.fetch(commit)

    assert caught.value.transient


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_local_repository_may_belong_to_somebody_else(origin: "Origin", mirror: Mirror) -> None:
    commit = origin.commit({"a": "1"})
    for path in (origin.folder, *origin.folder.rglob("*")):
        os.chown(path, 65534, 65534)

    mirror.fetch(commit)

    assert mirror.head() == commit


def test_the_services_own_git_environment_changes_nothing(
    origin: "Origin", mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = origin.commit({"a": "1"})
    touched = tmp_path / "touched"
    for name, value in {
        "GIT_DIR": "/nowhere",
        "GIT_WORK_TREE": "/nowhere",
        "GIT_INDEX_FILE": "/nowhere/index",
        "GIT_OBJECT_DIRECTORY": "/nowhere",
        "GIT_CONFIG_PARAMETERS": "'core.bare'='garbage'",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "garbage",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_TRACE": str(touched),
        "GIT_EXEC_PATH": "/nowhere",
    }.items():
        monkeypatch.setenv(name, value)

    mirror.fetch(commit)
    mirror.checkout(commit, tmp_path / "checkout")

    assert _all_files(tmp_path / "checkout") == {"a": b"1"}
    assert not touched.exists()


@pytest.mark.parametrize("use", [lambda mirror: mirror.fetch("HEAD"), lambda mirror: mirror.files("a" * 39)])
def test_only_full_commit_ids_are_taken(mirror: Mirror, use: Callable[[Mirror], object]) -> None:
    with pytest.raises(GitError, match="not a full commit id"):
        use(mirror)
