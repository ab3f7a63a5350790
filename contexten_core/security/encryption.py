"""Encryption of what is kept secret at rest. The key comes from the environment or a file, never from the database."""

import base64
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contexten_core.errors import ConfigurationError
from contexten_core.settings import DEFAULT_SECRET_KEY, Settings

_PURPOSE: Final = b"contexten encryption at rest, 1"
_LARGEST_KEY: Final = 4096
_PRIVATE: Final = 0o700
_PASSAGE: Final = 0o711


class Vault:
    """Encrypts and decrypts; its keys are read, and the key file is made, when the first of either is asked for.

    The key is derived from the secret or, without one, from the key file. With a secret, what was encrypted by the key
    file before there was one can still be decrypted.

    Args:
        secret: what to derive the key from; None for the key file.
        key_file: an absolute path; private to this account (0600).
    """

    def __init__(self, *, secret: str | None, key_file: Path) -> None:
        self._secret = secret
        self._key_file = key_file

    def encrypt(self, data: bytes) -> bytes:
        """Return `data` encrypted and authenticated, as printable ASCII.

        Raises:
            ConfigurationError: the key file cannot be made or read, or is open to other accounts.
        """
        return self._keys.encrypt(data)

    def decrypt(self, data: bytes) -> bytes:
        """Return what `encrypt` was given.

        Raises:
            ConfigurationError: it was encrypted with another key or changed since, or there is no usable key file.
        """
        try:
            return self._keys.decrypt(data)
        except InvalidToken as error:
            raise ConfigurationError(
                "something that is kept encrypted cannot be decrypted: its key was another one, or it is damaged",
                hint=f"Set SECRET_KEY to what it was when this was stored, or restore {self._key_file} from a backup; "
                "or else store the value again.",
            ) from error

    @cached_property
    def _keys(self) -> MultiFernet:
        if self._secret is None:
            return MultiFernet([_fernet(_key_of(self._key_file))])
        keys = [_fernet(self._secret.encode())]
        if self._key_file.exists():
            keys.append(_fernet(_key_of(self._key_file)))
        return MultiFernet(keys)


def open_vault(settings: Settings) -> Vault:
    """Return the vault of these settings: by `secret_key` when one is set, by the key file of the home otherwise."""
    secret = settings.secret_key.get_secret_value()
    return Vault(
        secret=None if secret in {"", DEFAULT_SECRET_KEY} else secret,
        key_file=settings.home.absolute() / "secrets" / "encryption-key",
    )


def _fernet(material: bytes) -> Fernet:
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(material)
    return Fernet(base64.urlsafe_b64encode(key))


def _key_of(path: Path) -> bytes:
    try:
        if not path.exists():
            _create_once(path)
        return _read_key(path)
    except OSError as error:
        raise ConfigurationError(
            f"the key file {path} cannot be used: {error.strerror}",
            hint="Set SECRET_KEY, or set CONTEXTEN_HOME to a folder that this account may write to.",
        ) from error


def _create_once(path: Path) -> None:
    """Make the key file unless there is one: of several processes that try at once, one does, and all read its key."""
    home = path.parent.parent
    # PostgreSQL's own account has to pass through the home of root, as in deployments.home.
    home.mkdir(mode=_PASSAGE if os.geteuid() == 0 else _PRIVATE, parents=True, exist_ok=True)
    path.parent.mkdir(mode=_PRIVATE, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(scratch)
    finally:
        scratch.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Have the folder's entries on disk before anything is encrypted with a key that could still be lost."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_key(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        key = file.read(_LARGEST_KEY).strip()
    if mode & 0o077:
        raise ConfigurationError(
            f"the key file {path} is open to other accounts ({mode:o})",
            hint=f"chmod 600 {path}, and think of what it protects as read by them.",
        )
    if not key:
        raise ConfigurationError(f"the key file {path} is empty", hint="Restore it from a backup.")
    return key
