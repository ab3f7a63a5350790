"""A changed tree and its commit at GitHub, made without a clone.

https://docs.github.com/en/rest/git
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from contexten_core.errors import OutboundError
from contexten_core.integrations.github_repository import GitHubRepository, Row

_PLAIN = frozenset({"100644", "100755"})
_NEW = "100644"
_FORBIDDEN = frozenset({"", ".", ".."})


async def tree_with(repository: GitHubRepository, *, base_tree: str, files: Mapping[str, str | None]) -> str:
    """Return the id of a tree that is `base_tree` with these files: base64, or None for one that goes.

    A file keeps its mode, so that a program stays one. Doing it again gives the same id.

    Raises:
        OutboundError: a path is none, or is that of a link, a folder or a submodule; GitHub refused or did not answer.
    """
    folders = _Folders(repository, base_tree)
    entries = []
    for path, content in files.items():
        entry = await folders.entry(path)
        mode = _NEW if entry is None else str(entry.get("mode"))
        if mode not in _PLAIN:
            raise OutboundError(f"{path} is no plain file at {repository.name}", hint="change it by hand")
        if content is None and entry is None:
            continue
        sha = None if content is None else await _blob(repository, path, content)
        entries.append({"path": path, "mode": mode, "type": "blob", "sha": sha})
    if not entries:
        return base_tree
    return _id(await repository.make("/git/trees", {"base_tree": base_tree, "tree": entries}))


async def tree_of(repository: GitHubRepository, commit: str) -> str:
    """Return the id of a commit's tree.

    Raises:
        OutboundError: GitHub does not know the commit, refused or did not answer.
    """
    return _id(_part(await repository.get(f"/git/commits/{quote(commit, safe='')}"), "tree"))


async def commit_of(repository: GitHubRepository, *, message: str, tree: str, parent: str) -> str:
    """Make a commit and return its id; nobody sees it before a branch leads to it.

    Raises:
        OutboundError: GitHub refused, or did not answer.
    """
    return _id(await repository.make("/git/commits", {"message": message, "tree": tree, "parents": [parent]}))


async def is_change(repository: GitHubRepository, *, branch: str, tree: str, parent: str) -> bool | None:
    """Tell whether a branch is one commit with this tree on top of `parent`; None when there is no such branch.

    Raises:
        OutboundError: GitHub refused, or did not answer.
    """
    # Asked like this, a branch that is not there is an empty list, and others begin with the same name.
    refs = await repository.call("GET", f"/git/matching-refs/heads/{quote(branch)}")
    found = [ref for ref in refs or () if isinstance(ref, Mapping) and ref.get("ref") == f"refs/heads/{branch}"]
    if not found:
        return None
    commit = await repository.get(f"/git/commits/{_id(_part(found[0], 'object'))}")
    parents = [_id(one) for one in commit.get("parents") or ()]
    return parents == [parent] and _id(_part(commit, "tree")) == tree


class _Folders:
    """The folders of a tree, each asked for once."""

    def __init__(self, repository: GitHubRepository, root: str) -> None:
        self._repository = repository
        self._root = root
        self._read: dict[str, Mapping[str, Row]] = {}

    async def entry(self, path: str) -> Row | None:
        """Return what is at a path, None where nothing is."""
        *folders, name = path.split("/")
        if not _FORBIDDEN.isdisjoint((*folders, name)):
            raise OutboundError(f"{path[:200]!r} is not the path of a file")
        sha = self._root
        for folder in folders:
            entry = (await self._entries(sha)).get(folder)
            if entry is None:
                return None
            if entry.get("type") != "tree":
                raise OutboundError(f"{path} is below something that is no folder", hint="change it by hand")
            sha = _id(entry)
        return (await self._entries(sha)).get(name)

    async def _entries(self, sha: str) -> Mapping[str, Row]:
        if sha not in self._read:
            rows = (await self._repository.get(f"/git/trees/{sha}")).get("tree")
            entries = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
            self._read[sha] = {str(row.get("path")): row for row in entries}
        return self._read[sha]


async def _blob(repository: GitHubRepository, path: str, content: str) -> str:
    try:
        base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise OutboundError(f"the new content of {path} is not base64") from error
    return _id(await repository.make("/git/blobs", {"content": content, "encoding": "base64"}))


def _part(row: Row, field: str) -> Row:
    part: Any = row.get(field)
    if not isinstance(part, Mapping):
        raise OutboundError(f"GitHub answered without {field!r}")
    return part


def _id(row: Row) -> str:
    sha = row.get("sha")
    if not isinstance(sha, str) or not sha.isalnum():
        raise OutboundError("GitHub answered without an id")
    return sha
