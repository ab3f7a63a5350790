import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deployments import launch
from deployments.readiness import READY_FD_VARIABLE, report_ready


def launched(*command: str, **order: Any) -> subprocess.CompletedProcess[str]:
    usual = {
        "parent": os.getpid(),
        "death_signal": int(signal.SIGTERM),
        "account": None,
        "mount": None,
        "cwd": "/",
    }
    return subprocess.run(
        [sys.executable, "-I", "-S", launch.__file__, json.dumps({**usual, **order}), *command],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_takes_the_place_of_the_launcher() -> None:
    ran = launched("/bin/sh", "-c", "pwd; exit 7")
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, "/\n", "")


def test_nothing_starts_when_the_supervisor_is_gone_already() -> None:
    ran = launched("/bin/echo", "orphan", parent=1)
    assert (ran.returncode, ran.stdout) == (launch.CANNOT_PREPARE, "")
    assert "the supervisor ended before /bin/echo could start" in ran.stderr


def test_a_folder_that_does_not_exist_is_named() -> None:
    ran = launched("/bin/echo", cwd="/no/such/folder")
    assert ran.returncode == launch.CANNOT_PREPARE
    assert "/no/such/folder" in ran.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may become anybody")
def test_another_account_needs_root() -> None:
    ran = launched("/bin/echo", account=[1, 1])
    assert ran.returncode == launch.CANNOT_PREPARE
    assert "Operation not permitted" in ran.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_an_account_comes_without_the_groups_of_root() -> None:
    ran = launched("/usr/bin/id", "--groups", account=[12345, 23456])
    assert ran.stdout == "23456\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a death signal")
@pytest.mark.parametrize("account", [None, [12345, 23456]], ids=["own account", "other account"])
def test_the_death_signal_is_set_whatever_the_account(account: list[int] | None) -> None:
    if account is not None and os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    code = "import ctypes; seen = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(seen)); print(seen.value)"
    python = sys.executable if account is None else "/usr/bin/python3"
    if not Path(python).exists():
        pytest.skip("there is no Python that every account can run")
    ran = launched(python, "-c", code, account=account, death_signal=int(signal.SIGINT))
    assert ran.stdout == f"{int(signal.SIGINT)}\n", ran.stderr


def test_a_process_that_nobody_waits_for_reports_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(READY_FD_VARIABLE, raising=False)
    assert report_ready() is False


def test_a_report_is_made_once_and_hides_the_pipe_from_grandchildren(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setenv(READY_FD_VARIABLE, str(writer))
    assert report_ready({"port": 8000}) is True
    assert READY_FD_VARIABLE not in os.environ
    assert report_ready() is False
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b'{"port": 8000}\n'


def test_a_report_to_a_supervisor_that_died_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setenv(READY_FD_VARIABLE, str(writer))
    assert report_ready() is False
