"""Secrets are encrypted by SECRET_KEY, or by a key file that is made once; another key is refused with what to do."""

import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from contexten_core.errors import ConfigurationError
from contexten_core.security.encryption import Vault, open_vault
from contexten_core.settings import DEFAULT_SECRET_KEY, Settings

KEY = "a-secret-key-of-the-tests"


def settings(home: Path, secret_key: str = DEFAULT_SECRET_KEY) -> Settings:
    return Settings(home=home, secret_key=SecretStr(secret_key))


@given(data=st.binary(max_size=2_000))
def test_what_goes_in_comes_out_again_and_cannot_be_read_in_between(data: bytes) -> None:
    vault = Vault(secret=KEY, key_file=Path("/nowhere/encryption-key"))

    stored = vault.encrypt(data)

    assert vault.decrypt(stored) == data
    assert stored.isascii()
    assert len(data) < 8 or data not in stored


def test_the_same_text_is_never_encrypted_twice_alike(tmp_path: Path) -> None:
    vault = open_vault(settings(tmp_path, KEY))

    assert vault.encrypt(b"token") != vault.encrypt(b"token")


def test_a_secret_key_needs_no_file(tmp_path: Path) -> None:
    stored = open_vault(settings(tmp_path / "home", KEY)).encrypt(b"token")

    assert open_vault(settings(tmp_path / "elsewhere", KEY)).decrypt(stored) == b"token"
    assert list(tmp_path.iterdir()) == []


def test_without_a_secret_key_a_private_key_file_is_made_when_it_is_first_needed(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    vault = open_vault(settings(home))
    assert not home.exists()

    stored = vault.encrypt(b"token")

    key_file = home / "secrets" / "encryption-key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file.parent.stat().st_mode) == 0o700
    assert list(key_file.parent.iterdir()) == [key_file]
    assert open_vault(settings(home)).decrypt(stored) == b"token"


def test_vaults_that_need_the_key_file_at_the_same_moment_share_one_key(tmp_path: Path) -> None:
    vaults = [open_vault(settings(tmp_path)) for _ in range(20)]
    barrier = threading.Barrier(len(vaults))
    stored: list[bytes] = []

    def encrypt(vault: Vault) -> None:
        barrier.wait(10)
        stored.append(vault.encrypt(b"token"))

    threads = [threading.Thread(target=encrypt, args=(vault,)) for vault in vaults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert [vaults[0].decrypt(token) for token in stored] == [b"token"] * len(vaults)


def test_processes_that_need_the_key_file_at_the_same_moment_share_one_key(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from contexten_core.security.encryption import Vault;"
        "vault = Vault(secret=None, key_file=Path(sys.argv[1])); sys.stdin.readline();"
        "sys.stdout.write(vault.encrypt(b'token').decode())"
    )
    key_file = tmp_path / "secrets" / "encryption-key"
    argv = [sys.executable, "-c", code, str(key_file)]
    processes = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
    stored = [process.communicate(timeout=60)[0] for process in processes]

    vault = Vault(secret=None, key_file=key_file)
    assert [vault.decrypt(token.encode()) for token in stored] == [b"token"] * len(processes)


def test_what_the_key_file_encrypted_can_be_read_after_a_secret_key_is_set(tmp_path: Path) -> None:
    before = open_vault(settings(tmp_path)).encrypt(b"token")
    vault = open_vault(settings(tmp_path, KEY))

    assert vault.decrypt(before) == b"token"
    with pytest.raises(ConfigurationError):
        open_vault(settings(tmp_path)).decrypt(vault.encrypt(b"token"))


def test_another_key_is_refused_with_what_to_do(tmp_path: Path) -> None:
    stored = open_vault(settings(tmp_path, KEY)).encrypt(b"token")

    with pytest.raises(ConfigurationError, match="cannot be decrypted") as caught:
        open_vault(settings(tmp_path, "another-secret-key-of-the-tests")).decrypt(stored)

    assert caught.value.hint is not None
    assert "SECRET_KEY" in caught.value.hint
    assert str(tmp_path / "secrets" / "encryption-key") in caught.value.hint
    assert not caught.value.transient


@pytest.mark.parametrize("damaged", [b"", b"token", b"\xff\x00", b"gAAAAA"])
def test_what_was_never_encrypted_is_refused_in_the_same_way(tmp_path: Path, damaged: bytes) -> None:
    with pytest.raises(ConfigurationError, match="cannot be decrypted"):
        open_vault(settings(tmp_path, KEY)).decrypt(damaged)


def test_changed_data_is_refused(tmp_path: Path) -> None:
    vault = open_vault(settings(tmp_path, KEY))
    stored = bytearray(vault.encrypt(b"token"))
    stored[40] ^= 1

    with pytest.raises(ConfigurationError, match="cannot be decrypted"):
        vault.decrypt(bytes(stored))


def test_a_key_file_open_to_others_is_refused(tmp_path: Path) -> None:
    open_vault(settings(tmp_path)).encrypt(b"token")
    key_file = tmp_path / "secrets" / "encryption-key"
    key_file.chmod(0o640)

    with pytest.raises(ConfigurationError, match="open to other accounts"):
        open_vault(settings(tmp_path)).encrypt(b"token")


def test_an_empty_key_file_is_refused(tmp_path: Path) -> None:
    key_file = tmp_path / "secrets" / "encryption-key"
    key_file.parent.mkdir()
    key_file.touch(mode=0o600)

    with pytest.raises(ConfigurationError, match="is empty"):
        open_vault(settings(tmp_path)).encrypt(b"token")


def test_a_key_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("key")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "encryption-key").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ConfigurationError, match="cannot be used"):
        open_vault(settings(tmp_path)).encrypt(b"token")


def test_a_home_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match="cannot be used") as caught:
        open_vault(settings(tmp_path / "file" / "home")).encrypt(b"token")

    assert caught.value.hint is not None
    assert "CONTEXTEN_HOME" in caught.value.hint
