"""What is in the spool is there after a crash, is read in order, and is bounded."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.errors import ConfigurationError, OverloadedError, UnavailableError
from contexten_core.events.delivery import Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.spool import Record, Spool, mark_of
from contexten_core.events.spool_record import UnreadableRecordError, delivery_of, record_of
from contexten_core.security.encryption import Vault

MOST = 1_000_000


def record(number: int, *, size: int = 10) -> Record:
    return Record(b"%032d" % number, UUID(int=number), b"x" * size)


def records(*numbers: int, size: int = 10) -> list[Record]:
    return [record(number, size=size) for number in numbers]


def everything(spool: Spool) -> list[int]:
    """Read and take away whatever is there; returns the numbers."""
    numbers = []
    while found := spool.read(most=3, most_bytes=MOST):
        numbers += [each.event_id.int for each in found]
        spool.remove(found)
    return numbers


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    spool = Spool(folder, most_bytes=MOST)
    yield spool
    spool.close()


def after_a_crash(folder: Path, *numbers: int, size: int = 10) -> Path:
    """Leave a spool as a process that was killed does, and return its file."""
    gone = Spool(folder, most_bytes=MOST)
    gone.append(records(*numbers, size=size))
    gone.close()
    return files(folder)[-1]


class TestOrder:
    def test_records_come_out_as_they_went_in_while_others_go_in(self, spool: Spool, folder: Path) -> None:
        spool.append(records(1, 2, 3))
        first = spool.read(most=2, most_bytes=MOST)
        spool.append(records(4))
        spool.remove(first)

        assert [each.event_id.int for each in first] == [1, 2]
        assert spool.waiting == 2
        assert everything(spool) == [3, 4]
        assert files(folder) == []

    def test_nothing_is_made_on_disk_before_it_is_needed(self, spool: Spool, folder: Path) -> None:
        assert spool.adopt() == 0
        assert spool.read(most=1, most_bytes=1) == []
        assert not folder.exists()

    def test_what_was_read_and_not_taken_away_is_read_again(self, spool: Spool) -> None:
        spool.append(records(1, 2))

        assert spool.read(most=5, most_bytes=MOST) == spool.read(most=5, most_bytes=MOST) == records(1, 2)

    def test_a_reading_is_bounded_but_one_record_always_comes(self, spool: Spool) -> None:
        spool.append(records(1, 2, 3, size=500))

        assert len(spool.read(most=3, most_bytes=10)) == 1
        assert len(spool.read(most=3, most_bytes=1_200)) == 2
        assert len(spool.read(most=1, most_bytes=MOST)) == 1

    def test_files_that_are_done_with_make_room(self, folder: Path) -> None:
        spool = Spool(folder, most_bytes=3_000, segment_bytes=500)
        for number in range(20):
            spool.append(records(number, size=400))
            if number % 3 == 2:
                spool.remove(spool.read(most=1, most_bytes=MOST))
                spool.remove(spool.read(most=1, most_bytes=MOST))
                spool.remove(spool.read(most=1, most_bytes=MOST))
        assert everything(spool) == [18, 19]
        spool.close()

    def test_it_knows_what_it_holds(self, spool: Spool) -> None:
        spool.append(records(1, 2))

        assert spool.find(record(2).mark) == UUID(int=2)
        assert spool.find(record(3).mark) is None
        everything(spool)
        assert spool.find(record(2).mark) is None


class TestBounds:
    def test_more_than_there_is_room_for_is_not_taken(self, folder: Path) -> None:
        spool = Spool(folder, most_bytes=1_000)
        spool.append(records(1, size=800))
        with pytest.raises(OverloadedError, match="1000 bytes"):
            spool.append(records(2, size=800))
        assert everything(spool) == [1]
        spool.append(records(2, size=800))
        assert everything(spool) == [2]
        spool.close()

    def test_what_the_disk_does_not_take_leaves_the_rest_whole(
        self, spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spool.append(records(1))
        size = files(folder)[0].stat().st_size

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as disk:
            disk.setattr(os, "fdatasync", full)
            with pytest.raises(OSError, match="No space left"):
                spool.append(records(2, 3))
        assert (spool.waiting, files(folder)[0].stat().st_size) == (1, size)
        spool.append(records(4))
        assert everything(spool) == [1, 4]

    def test_nothing_is_taken_after_the_end(self, spool: Spool) -> None:
        spool.close()
        with pytest.raises(UnavailableError, match="closed"):
            spool.append(records(1))

    def test_a_folder_that_others_may_enter_is_refused(self, spool: Spool, folder: Path) -> None:
        folder.mkdir(parents=True, mode=0o755)
        with pytest.raises(ConfigurationError, match="not this account's alone") as caught:
            spool.append(records(1))
        assert "CONTEXTEN_HOME" in (caught.value.hint or "")
        folder.rmdir()


class TestAdoption:
    def test_what_a_process_left_is_read_before_what_is_new(self, spool: Spool, folder: Path) -> None:
        after_a_crash(folder, 1, 2)
        after_a_crash(folder, 3)
        assert spool.adopt() == 3
        assert spool.find(record(2).mark) == UUID(int=2)
        spool.append(records(4))

        assert everything(spool) == [1, 2, 3, 4]
        assert files(folder) == []

    def test_what_somebody_holds_is_left_to_them(self, spool: Spool, folder: Path) -> None:
        spool.append(records(1))
        other = Spool(folder, most_bytes=MOST)

        assert other.adopt() == 0
        spool.close()
        assert other.adopt() == 1
        assert everything(other) == [1]
        other.close()

    def test_a_file_of_somebody_elses_making_is_not_believed(self, spool: Spool, folder: Path, tmp_path: Path) -> None:
        path = after_a_crash(folder, 1)
        path.chmod(0o644)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_bytes(path.read_bytes())
        (folder / "00000000000000000001-1.spool").symlink_to(elsewhere)
        os.link(path, folder / "00000000000000000002-2.spool")

        assert spool.adopt() == 0

    @settings(deadline=None, max_examples=40)
    @given(cut=st.integers(min_value=1, max_value=120), junk=st.sampled_from([b"", b"\0" * 40, b"\xff" * 40]))
    def test_a_torn_end_loses_nothing_that_was_acknowledged(
        self, tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
    ) -> None:
        folder = tmp_path_factory.mktemp("torn") / "spool"
        path = after_a_crash(folder, 1, 2)
        whole = path.read_bytes()
        third = after_a_crash(folder, 3, size=64)
        torn = third.read_bytes()[:-1][:cut]
        third.unlink()
        path.write_bytes(whole + torn + junk)

        spool = Spool(folder, most_bytes=MOST)
        assert spool.adopt() == 2
        spool.append(records(4))
        assert everything(spool) == [1, 2, 4]
        spool.close()
        assert files(folder) == []

    def test_a_file_that_is_damaged_inside_is_kept_for_a_person(
        self, spool: Spool, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = after_a_crash(folder, 1, 2, 3)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)

        assert spool.adopt() == 1
        assert everything(spool) == [1]
        (kept,) = files(folder)
        assert kept == path.with_suffix(".damaged")
        assert "cannot be read to its end" in caplog.text

    def test_a_file_that_goes_bad_while_it_is_read_does_not_hold_up_the_others(
        self, spool: Spool, folder: Path
    ) -> None:
        path = after_a_crash(folder, 1)
        spool.adopt()
        path.write_bytes(b"\0" * path.stat().st_size)
        after = Spool(folder, most_bytes=MOST)
        after.append(records(2))
        after.close()
        spool.adopt()

        assert everything(spool) == [2]
        assert [path.suffix for path in files(folder)] == [".damaged"]

    def test_a_record_that_nobody_can_read_keeps_its_file(self, spool: Spool, folder: Path) -> None:
        spool.append(records(1))
        spool.keep_aside()

        assert everything(spool) == [1]
        assert [path.suffix for path in files(folder)] == [".damaged"]


class TestRecords:
    @pytest.fixture
    def vault(self, tmp_path: Path) -> Vault:
        return Vault(secret="a secret of the tests", key_file=tmp_path / "secrets" / "key")

    @pytest.mark.parametrize("encrypting", [False, True])
    @pytest.mark.parametrize(
        "changed",
        [
            {},
            {"key": b"v0:1531420618:{}"},
            {"key": b""},
            {"external_id": "72d3162e", "parked": "the body is not JSON", "payload": {}, "body": b"\xff\0"},
            {"payload": {"text": "\ud800 \0 \U0001f44d", "number": 0.1, "none": None, "deep": [[{}]]}},
        ],
    )
    def test_a_delivery_comes_out_as_it_went_in(self, vault: Vault, changed: dict[str, Any], encrypting: bool) -> None:
        delivery = a_delivery(**changed)
        record = record_of(delivery, vault=vault if encrypting else None)

        assert delivery_of(record, vault=vault) == delivery
        assert record.mark == mark_of(EventProvider.SLACK, delivery.digest)
        assert (b"a body of the tests" in record.content) is (not encrypting and delivery.body == a_delivery().body)

    def test_another_key_reads_nothing(self, vault: Vault, tmp_path: Path) -> None:
        record = record_of(a_delivery(), vault=vault)
        other = Vault(secret="another secret of the tests", key_file=tmp_path / "none")

        with pytest.raises(UnreadableRecordError, match=str(record.event_id)) as caught:
            delivery_of(record, vault=other)
        assert "SECRET_KEY" in (caught.value.hint or "")

    @settings(deadline=None)
    @given(content=st.binary(max_size=60))
    def test_whatever_else_a_record_holds_is_unreadable(self, content: bytes) -> None:
        vault = Vault(secret="a secret of the tests", key_file=Path("nowhere"))
        with pytest.raises(UnreadableRecordError):
            delivery_of(Record(b"m" * 32, uuid4(), content), vault=vault)

    @pytest.mark.parametrize("change", [{"provider": "nobody"}, {"event_id": 7}, {"received_at": None}, {"more": 1}])
    def test_a_record_of_another_version_is_unreadable(self, vault: Vault, change: dict[str, Any]) -> None:
        record = record_of(a_delivery(), vault=None)
        head_length = int.from_bytes(record.content[1:5], "big")
        head = json.dumps(json.loads(record.content[9 : 9 + head_length]) | change).encode()
        content = b"\x01" + len(head).to_bytes(4, "big") + record.content[5:9] + head
        with pytest.raises(UnreadableRecordError):
            delivery_of(Record(record.mark, record.event_id, content), vault=vault)


def a_delivery(**changed: Any) -> Delivery:
    body = changed.get("body", b'{"zen": "a body of the tests"}')
    given: dict[str, Any] = {
        "provider": EventProvider.SLACK,
        "event_type": "app_mention",
        "payload": {"zen": "a body of the tests"},
        "headers": {"x-slack-retry-num": "1"},
        "content_type": "application/json",
        "body": body,
        "key": body,
        "received_at": datetime(2026, 1, 7, 10, 0, 0, 123, tzinfo=UTC),
    }
    return Delivery(**(given | changed))
