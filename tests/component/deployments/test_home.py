import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals

import pytest

from contexten_core.errors import ConfigurationError, StackError
from contexten_core.settings import default_home
from deployments.home import Home
from deployments.process_table import ProcessId
from deployments.state import RunningChild, StackState

REPOSITORY = Path(__file__).parents[3]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def with_home(home: Home, code: str) -> subprocess.Popen[str]:
    """Another process that does something with the same home."""
    lines = (
        "import sys",
        "from pathlib import Path",
        "from deployments.home import Home",
        "home = Home(Path(sys.argv[1]))",
    )
    return subprocess.Popen(
        [sys.executable, "-c", "\n".join((*lines, code)), str(home.root)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def state(pid: int | None = None) -> StackState:
    this = ProcessId.of(os.getpid())
    assert this is not None
    return StackState(
        supervisor=this if pid is None else ProcessId(pid, "elsewhere:1"),
        started_at="2026-01-01T00:00:00+00:00",
        urls={"web": "http://127.0.0.1:8000"},
        database="postgresql://contexten@/contexten?host=%2Fhome",
        children=(
            RunningChild(
                name="postgres",
                process=ProcessId(4711, "some boot:42"),
                command="/usr/bin/postgres",
                stop_signals=(Signals.SIGINT, Signals.SIGQUIT),
                patience=5.0,
            ),
        ),
    )


def test_the_default_home_of_root_is_where_other_accounts_can_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_home() == Path("/var/lib/contexten")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_home() == Path("/home/ada/.contexten")


def test_a_home_needs_an_absolute_path() -> None:
    with pytest.raises(ConfigurationError, match="not an absolute path"):
        Home(Path("somewhere"))


def test_the_folders_are_private_and_let_others_pass_only_for_root(tmp_path: Path) -> None:
    home = Home(tmp_path / "new" / "home")
    home.create()
    passage = 0o711 if os.geteuid() == 0 else 0o700
    assert mode(home.root.parent) == mode(home.root) == mode(home.postgres) == passage
    for folder in (home.prefect, home.mirrors, home.checkouts, home.logs, home.secrets, home.run, home.demo):
        assert mode(folder) == 0o700


def test_existing_folders_keep_their_permissions(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for folder in (home.root, home.postgres, home.secrets):
        folder.mkdir()
        folder.chmod(0o750)
    before = mode(tmp_path)
    home.create()
    assert mode(tmp_path) == before
    assert {mode(home.root), mode(home.postgres), mode(home.secrets)} == {0o750}


def test_a_home_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="cannot be made") as caught:
        Home(tmp_path / "file" / "home").create()
    assert "CONTEXTEN_HOME" in (caught.value.hint or "")


def test_a_secret_is_random_private_and_stays(home: Home) -> None:
    first = home.secret("postgres")
    assert len(first) >= 40
    assert home.secret("postgres") == first
    assert home.secret("webhook") != first
    assert mode(home.secrets / "postgres") == 0o600
    assert sorted(path.name for path in home.secrets.iterdir()) == ["postgres", "webhook"]


def test_processes_that_ask_at_once_get_the_same_secret(home: Home) -> None:
    racers = [with_home(home, "sys.stdin.read(); print(home.secret('shared'))") for _ in range(4)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.close()
        racer.stdin = None
    answers = {racer.communicate(timeout=30)[0].strip() for racer in racers}
    assert answers == {home.secret("shared")}


def test_a_secret_that_others_can_read_is_refused(home: Home) -> None:
    home.secret("postgres")
    (home.secrets / "postgres").chmod(0o644)
    with pytest.raises(StackError, match="open to other accounts") as caught:
        home.secret("postgres")
    assert "chmod 600" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["", "../run/stack", "a/b", ".hidden", "UPPER"])
def test_a_secret_has_a_plain_name(home: Home, name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a secret"):
        home.secret(name)


def test_the_state_is_read_as_it_was_written(home: Home) -> None:
    assert home.read_state() is None
    home.write_state(state())
    assert home.read_state() == state()
    assert mode(home.state_file) == 0o600
    home.clear_state()
    home.clear_state()
    assert home.read_state() is None
    assert list(home.run.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"supervisor": 1}', "\N{SNOWMAN}"])
def test_a_damaged_state_file_says_what_to_do(home: Home, text: str) -> None:
    home.state_file.write_text(text, encoding="utf-8")
    with pytest.raises(StackError, match="damaged") as caught:
        home.read_state()
    assert "remove that file" in (caught.value.hint or "")


@contextmanager
def locked_elsewhere(home: Home) -> Iterator[int]:
    with with_home(home, "with home.lock(): print('locked', flush=True); sys.stdin.read()") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        yield holder.pid


def test_a_second_holder_is_told_who_has_the_home_and_where_it_serves(home: Home) -> None:
    with locked_elsewhere(home) as pid:
        with pytest.raises(StackError, match=rf"pid {pid}\).*still starting"), home.lock():
            pass
        home.write_state(state(pid))
        with pytest.raises(StackError, match=rf"pid {pid}\).*http://127.0.0.1:8000") as caught, home.lock():
            pass
        assert f"kill {pid}" in (caught.value.hint or "")
    with home.lock():
        pass


def test_the_state_of_an_earlier_supervisor_is_not_taken_for_that_of_the_holder(home: Home) -> None:
    home.write_state(state())
    with locked_elsewhere(home), pytest.raises(StackError, match="still starting"), home.lock():
        pass


def test_a_child_does_not_keep_the_lock(home: Home) -> None:
    with home.lock():
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=False,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
    with child, home.lock():
        assert child.poll() is None
