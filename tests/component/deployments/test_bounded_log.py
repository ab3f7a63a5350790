from pathlib import Path

import pytest

from deployments.bounded_log import BoundedLog


def test_all_output_is_in_one_private_file_while_it_is_small(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "web.log")
    log.write(b"one\n")
    log.write(b"two\n")
    log.close()
    assert (tmp_path / "web.log").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "web.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_the_disk_never_holds_more_than_the_limit_times_the_files_kept(tmp_path: Path, kept: int) -> None:
    log = BoundedLog(tmp_path / "web.log", limit=100, kept=kept)
    for number in range(200):
        log.write(f"line {number}\n".encode())
    log.write(b"x" * 5000)
    log.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == kept
    assert all(file.stat().st_size <= 100 for file in files)


def test_older_output_moves_to_higher_numbers(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "web.log", limit=4, kept=3)
    for part in (b"aaaa", b"bbbb", b"cccc", b"dddd"):
        log.write(part)
    log.close()
    assert [(tmp_path / name).read_bytes() for name in ("web.log", "web.log.1", "web.log.2")] == [
        b"dddd",
        b"cccc",
        b"bbbb",
    ]


def test_an_earlier_file_is_continued(tmp_path: Path) -> None:
    for text in (b"before\n", b"after\n"):
        log = BoundedLog(tmp_path / "web.log")
        log.write(text)
        log.close()
    assert (tmp_path / "web.log").read_bytes() == b"before\nafter\n"


def test_the_tail_is_the_last_lines_since_the_run_began(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "web.log")
    log.write(b"an earlier run\n")
    log.forget()
    log.write(b"one\ntwo\nth\xffree\n")
    assert log.tail() == "one\ntwo\nth\N{REPLACEMENT CHARACTER}ree"
    assert log.tail(lines=1) == "th\N{REPLACEMENT CHARACTER}ree"
    log.close()


def test_a_full_disk_loses_output_but_holds_nobody_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full, which stands in for a full disk")
    log = BoundedLog(tmp_path / "web.log")
    with Path("/dev/full").open("wb", buffering=0) as full:
        usual, log._file = log._file, full.fileno()
        log.write(b"lost\n")
        log.write(b"lost\n")
        log._file = usual
    log.write(b"kept\n")
    log.close()
    assert (tmp_path / "web.log").read_bytes() == b"kept\n"
    assert log.tail() == "lost\nlost\nkept"
    first, second = (record.getMessage() for record in caplog.records)
    assert "No space left" in first
    assert "10 bytes were lost" in second
