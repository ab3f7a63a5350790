"""The configuration of our own bare repositories: always the same few lines, whatever anybody has made of them."""

import os
import secrets
import stat
from pathlib import Path

from contexten_core.errors import GitError

_SHA1 = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
_SHA256 = _SHA1.replace(b"= 0", b"= 1") + b"[extensions]\n\tobjectformat = sha256\n"
_MOST_BYTES = 64 * 1024


def restore_config(git_dir: Path) -> None:
    """Give a repository of ours its own configuration back where it is another one; one that is not made yet is fine.

    A command that ran without a sandbox may have written to it, and a configuration can name programs to run.

    Raises:
        GitError: something is in the way.
    """
    config = git_dir / "config"
    try:
        state = config.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        # With this file git would take the configuration of another folder.
        (git_dir / "commondir").unlink(missing_ok=True)
        content = _beginning(config) if stat.S_ISREG(state.st_mode) else b""
        if content in {_SHA1, _SHA256}:
            return
        new = git_dir / f"config.{secrets.token_hex(4)}.new"
        new.write_bytes(_SHA256 if b"sha256" in content.lower() else _SHA1)
        new.replace(config)
    except OSError as error:
        raise GitError(
            f"the configuration of the mirror {git_dir} cannot be put right: {os.strerror(error.errno or 0)}",
            hint="Remove the folder; it is made again.",
        ) from error


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES)
