"""Folders in places that others may write to, such as /tmp."""

import os
import stat
from pathlib import Path

from contexten_core.errors import ConfigurationError

_PRIVATE = 0o700
_OTHERS = 0o077
_OTHERS_WRITE = 0o022
_ROOT = 0


def private_folder(path: Path) -> Path:
    """Make a folder, and those above it that are missing, for this account alone, and return its absolute path.

    Raises:
        ConfigurationError: it cannot be made, belongs to another account, others may enter it, or others may put
            something else in its place.
    """
    folder = path.absolute()
    hint = "set TMP_DIR, or tmp_dir, to a folder of your own"
    try:
        for part in reversed((folder, *folder.parents)):
            if not part.exists():
                part.mkdir(mode=_PRIVATE, exist_ok=True)
        found, above = folder.lstat(), (folder.parent.lstat(), folder.parent.stat())
    except OSError as error:
        raise ConfigurationError(f"the folder {folder} cannot be made: {error}", hint=hint) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
        raise ConfigurationError(f"the folder {folder} is not this account's alone", hint=hint)
    if any(map(_is_at_others_mercy, above)):
        raise ConfigurationError(f"the folder {folder.parent} is another account's, or open to others", hint=hint)
    return folder


def _is_at_others_mercy(folder: os.stat_result) -> bool:
    """Tell whether another account could rename what is in a folder."""
    if folder.st_uid not in (os.geteuid(), _ROOT):
        return True
    return bool(folder.st_mode & _OTHERS_WRITE) and not folder.st_mode & stat.S_ISVTX and stat.S_ISDIR(folder.st_mode)
