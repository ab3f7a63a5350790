"""Folders whose content somebody untrusted has decided."""

import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path


def remove_tree(root: Path) -> None:
    """Remove a folder and everything in it, however deep it is and whatever modes its folders have.

    Symbolic links are removed and never followed. Nothing may be writing in the folder any more. A folder that does
    not exist is fine.

    Raises:
        OSError: something in it cannot be removed.
    """
    if not os.path.lexists(root):
        return
    root.chmod(0o700)
    waiting, moved = [root], 0
    while waiting:
        folder = waiting.pop()
        with os.scandir(folder) as entries:
            found = [(Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries]
        for path, is_folder in found:
            if not is_folder:
                path.unlink()
                continue
            # Emptied beside the root and not in place: no path may outgrow the system's limit.
            path.chmod(0o700)
            moved += 1
            waiting.append(path.rename(root.with_name(f"{root.name}.removing-{moved}")))
        folder.rmdir()


def confine_links(folder: Path, paths: Sequence[bytes]) -> None:
    """Turn those symbolic links among `paths`, relative to `folder`, that lead out of it into files with their text."""
    # The shallow ones first: a link that stays can then lead no deeper one out of the folder.
    for path in sorted(paths, key=lambda path: path.count(b"/")):
        link = folder / os.fsdecode(path)
        if not link.is_symlink():
            continue
        # Path.readlink would tidy up the text.
        target = os.readlink(os.fsencode(link))  # noqa: PTH115
        if _stays_inside(target, depth=path.count(b"/")):
            continue
        link.unlink()
        with link.open("xb") as plain:
            plain.write(target)


def _stays_inside(target: bytes, *, depth: int) -> bool:
    if target.startswith(b"/"):
        return False
    parts = [part for part in target.split(b"/") if part not in {b"", b"."}]
    climbs = len(list(takewhile(b"..".__eq__, parts)))
    # What `..` means after a name depends on where that name leads.
    return climbs <= depth and b".." not in parts[climbs:]
