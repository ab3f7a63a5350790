"""What is measured of a folder that somebody untrusted writes to."""

import os
from pathlib import Path

from contexten_core.execution.running_limits import disk_usage

SMALL = 4096


def test_files_and_folders_take_disk(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/big").write_bytes(os.urandom(100_000))
    (tmp_path / "empty").touch()

    assert 100_000 + 2 * SMALL <= disk_usage(tmp_path) <= 110_000 + 2 * SMALL


def test_a_file_with_many_names_and_a_file_of_holes_take_what_they_take(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(100_000))
    for number in range(10):
        os.link(tmp_path / "file", tmp_path / f"link-{number}")
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(10**9)

    assert 100_000 <= disk_usage(tmp_path) < 120_000


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/big").write_bytes(os.urandom(100_000))
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/link").symlink_to(tmp_path / "outside")
    (tmp_path / "link").symlink_to(tmp_path / "outside")

    assert disk_usage(tmp_path / "inside") == SMALL
    assert disk_usage(tmp_path / "link") == 0
    assert disk_usage(tmp_path / "missing") == 0


def test_no_folder_is_too_deep(tmp_path: Path) -> None:
    before = os.getcwd()  # noqa: PTH109
    os.chdir(tmp_path)
    try:
        for _ in range(60):
            os.mkdir("d" * 200)  # noqa: PTH102 - no path is as long as this becomes
            os.chdir("d" * 200)
        Path("big").write_bytes(os.urandom(100_000))
    finally:
        os.chdir(before)
    opened = len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    assert disk_usage(tmp_path) >= 60 * SMALL + 100_000
    assert len(os.listdir("/proc/self/fd")) == opened  # noqa: PTH208
