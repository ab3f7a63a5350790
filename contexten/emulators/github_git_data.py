"""Git's own objects over HTTP: blobs, trees, commits and branches, with the ids that git gives them.

Every commit is taken to exist, as one of a repository whose files nobody knows: its tree is empty.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from contexten.emulators.github_problems import GitHubProblem
from contexten.emulators.github_recorder import GitHubRecorder
from contexten.emulators.github_requests import RecorderOf, api_url, page_of, read_object, read_text
from contexten.emulators.shapes import Json, node_id, stable_id, timestamp

MODES = frozenset({"100644", "100755", "040000", "160000", "120000"})
FOLDER = "040000"
MAX_ENTRIES = 1_000
MAX_MESSAGE = 65_536
AUTHOR = {"name": "contexten-emulator[bot]", "email": "contexten-emulator@users.noreply.github.com"}

router = APIRouter(prefix="/git")

Files = Mapping[str, tuple[str, str]]
"""Mode and id of each file of a tree, by its whole path."""


@router.post("/blobs", status_code=201)
async def create_blob(owner: str, repo: str, request: Request, recorder: RecorderOf) -> Json:
    """Keep a file's content."""
    body = read_object(await request.body())
    content, encoding = body.get("content"), body.get("encoding", "utf-8")
    if not isinstance(content, str) or encoding not in {"utf-8", "base64"}:
        raise GitHubProblem(422, "Invalid request.\n\nFor 'properties/content', it is not a string.")
    try:
        data = base64.b64decode(content, validate=True) if encoding == "base64" else content.encode()
    except (binascii.Error, UnicodeEncodeError) as error:
        raise GitHubProblem(422, "content is not valid Base64") from error
    sha = _id("blob", data)
    recorder.blobs.put(sha, {"sha": sha, "size": len(data), "content": base64.b64encode(data).decode()})
    return {"sha": sha, "url": f"{_base(request, owner, repo)}/blobs/{sha}"}


@router.get("/blobs/{sha}")
async def get_blob(owner: str, repo: str, sha: str, request: Request, recorder: RecorderOf) -> Json:
    """Show a file's content."""
    blob = recorder.blobs.get(sha)
    if blob is None:
        raise GitHubProblem(404, "Not Found")
    return {**blob, "encoding": "base64", "url": f"{_base(request, owner, repo)}/blobs/{sha}"}


@router.post("/trees", status_code=201)
async def create_tree(owner: str, repo: str, request: Request, recorder: RecorderOf) -> Json:
    """Make a tree of entries, on top of another."""
    body = read_object(await request.body())
    entries, base = body.get("tree"), body.get("base_tree")
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_ENTRIES:
        raise GitHubProblem(422, "Invalid tree info")
    files = dict(_files(str(base), recorder)) if base is not None else {}
    for entry in entries:
        path, mode, sha = _entry(entry, recorder)
        if sha is not None:
            files[path] = (mode, sha)
        elif files.pop(path, None) is None:
            raise GitHubProblem(422, "GitRPC::BadObjectState")
    return _tree(_keep(files, recorder), _base(request, owner, repo), recorder)


@router.get("/trees/{sha}")
async def get_tree(owner: str, repo: str, sha: str, request: Request, recorder: RecorderOf) -> Json:
    """Show what is directly in a tree; of a commit's id, its tree."""
    commit = recorder.commits.get(sha)
    return _tree(sha if commit is None else commit["tree"]["sha"], _base(request, owner, repo), recorder)


@router.post("/commits", status_code=201)
async def create_commit(owner: str, repo: str, request: Request, recorder: RecorderOf) -> Json:
    """Make a commit, which no branch leads to yet."""
    body = read_object(await request.body())
    message = read_text(body, "message", limit=MAX_MESSAGE, resource="Commit")
    tree, parents = _sha(body.get("tree")), body.get("parents", [])
    if message is None or recorder.trees.get(tree) is None or not isinstance(parents, list):
        raise GitHubProblem(422, "Tree SHA does not exist")
    above = [_sha(parent) for parent in parents]
    signature = {**AUTHOR, "date": timestamp(datetime.now(UTC))}
    told = "\n".join([f"tree {tree}", *(f"parent {parent}" for parent in above), signature["date"], "", message])
    commit: Json = {
        "sha": _id("commit", told.encode()),
        "message": message,
        "author": signature,
        "committer": signature,
    }
    commit |= {"tree": {"sha": tree}, "parents": [{"sha": parent} for parent in above]}
    recorder.commits.put(commit["sha"], commit)
    return _commit(commit, _base(request, owner, repo))


@router.get("/commits/{sha}")
async def get_commit(owner: str, repo: str, sha: str, request: Request, recorder: RecorderOf) -> Json:
    """Show a commit."""
    sha = _sha(sha)
    commit = recorder.commits.get(sha)
    if commit is None:
        signature = {**AUTHOR, "date": timestamp(datetime.now(UTC))}
        commit = {"sha": sha, "message": "A commit from outside", "author": signature, "committer": signature}
        commit |= {"tree": {"sha": _keep({}, recorder)}, "parents": []}
    return _commit(commit, _base(request, owner, repo))


@router.post("/refs", status_code=201)
async def create_ref(owner: str, repo: str, request: Request, recorder: RecorderOf) -> Json:
    """Make a branch."""
    body = read_object(await request.body())
    name, sha = body.get("ref"), _sha(body.get("sha"))
    if not isinstance(name, str) or re.fullmatch(r"refs/[^\s~^:?*\[\\]+/[^\s~^:?*\[\\]+", name) is None or ".." in name:
        raise GitHubProblem(422, f"{name} is not a valid ref name.")
    if recorder.commits.get(sha) is None:
        raise GitHubProblem(422, "Object does not exist")
    key = _ref_key(owner, repo, name)
    if recorder.refs.get(key) is not None:
        raise GitHubProblem(422, "Reference already exists")
    recorder.refs.put(key, {"key": key, "repository": f"{owner}/{repo}", "ref": name, "sha": sha})
    return _ref(name, sha, _base(request, owner, repo))


@router.get("/ref/{name:path}")
async def get_ref(owner: str, repo: str, name: str, request: Request, recorder: RecorderOf) -> Json:
    """Show a branch: `heads/main`."""
    ref = recorder.refs.get(_ref_key(owner, repo, f"refs/{name}"))
    if ref is None:
        raise GitHubProblem(404, "Not Found")
    return _ref(ref["ref"], ref["sha"], _base(request, owner, repo))


@router.get("/matching-refs/{name:path}")
async def list_matching_refs(
    owner: str, repo: str, name: str, request: Request, response: Response, recorder: RecorderOf
) -> list[Json]:
    """List the branches whose name begins like this: `heads/contexten`."""
    begin, base = _ref_key(owner, repo, f"refs/{name}"), _base(request, owner, repo)
    found = [ref for ref in recorder.refs if ref["key"].startswith(begin)]
    return page_of([_ref(ref["ref"], ref["sha"], base) for ref in found], request, response)


def commit_at(recorder: GitHubRecorder, owner: str, repo: str, branch: str) -> str | None:
    """Give the commit that a branch leads to, None where there is no such branch."""
    ref = recorder.refs.get(_ref_key(owner, repo, f"refs/heads/{branch}"))
    return None if ref is None else str(ref["sha"])


def _ref_key(owner: str, repo: str, name: str) -> str:
    return f"{owner}/{repo} ".lower() + name


def _entry(entry: Any, recorder: GitHubRecorder) -> tuple[str, str, str | None]:
    given = entry if isinstance(entry, dict) else {}
    path, mode = given.get("path"), given.get("mode")
    if not isinstance(path, str) or {"", ".", "..", ".git"} & set(path.lower().split("/")):
        raise GitHubProblem(422, "tree.path contains a malformed path component")
    if mode not in MODES - {FOLDER}:
        raise GitHubProblem(422, "Must supply a valid tree.mode")
    if isinstance(text := given.get("content"), str):
        sha = _id("blob", text.encode("utf-8", "replace"))
        data = base64.b64encode(text.encode("utf-8", "replace")).decode()
        recorder.blobs.put(sha, {"sha": sha, "size": len(text), "content": data})
        return path, mode, sha
    if given.get("sha") is None:
        return path, mode, None
    sha = _sha(given["sha"])
    if recorder.blobs.get(sha) is None:
        raise GitHubProblem(422, f"tree.sha {sha} is not a valid blob")
    return path, mode, sha


def _files(tree: str, recorder: GitHubRecorder, at: str = "") -> Files:
    """Give all files below a tree."""
    found: dict[str, tuple[str, str]] = {}
    for entry in _known(tree, recorder)["tree"]:
        path = f"{at}{entry['path']}"
        if entry["mode"] == FOLDER:
            found |= _files(entry["sha"], recorder, f"{path}/")
        else:
            found[path] = (entry["mode"], entry["sha"])
    return found


def _keep(files: Files, recorder: GitHubRecorder) -> str:
    """Keep the trees that hold these files, and give the id of the topmost."""
    entries: dict[str, tuple[str, str]] = {}
    below: dict[str, dict[str, tuple[str, str]]] = {}
    for path, file in files.items():
        first, _, rest = path.partition("/")
        if rest:
            below.setdefault(first, {})[rest] = file
        else:
            entries[first] = file
    for name, inner in below.items():
        entries[name] = (FOLDER, _keep(inner, recorder))
    # Git sorts a folder as if its name ended in a slash, and writes its mode without the zero.
    ordered = sorted(entries.items(), key=lambda entry: entry[0] + "/" * (entry[1][0] == FOLDER))
    lines = [f"{mode.lstrip('0')} {name}\0".encode() + bytes.fromhex(sha) for name, (mode, sha) in ordered]
    sha = _id("tree", b"".join(lines))
    shown = [{"path": name, "mode": mode, "type": _type(mode), "sha": inner} for name, (mode, inner) in ordered]
    recorder.trees.put(sha, {"sha": sha, "tree": shown})
    return sha


def _type(mode: str) -> str:
    return {FOLDER: "tree", "160000": "commit"}.get(mode, "blob")


def _known(sha: str, recorder: GitHubRecorder) -> Json:
    tree = recorder.trees.get(_sha(sha))
    if tree is None:
        raise GitHubProblem(404, "Not Found")
    return tree


def _tree(sha: str, base: str, recorder: GitHubRecorder) -> Json:
    entries = [
        {**entry, "url": f"{base}/{'trees' if entry['type'] == 'tree' else 'blobs'}/{entry['sha']}"}
        for entry in _known(sha, recorder)["tree"]
    ]
    return {"sha": sha, "url": f"{base}/trees/{sha}", "tree": entries, "truncated": False}


def _commit(commit: Json, base: str) -> Json:
    tree = commit["tree"]["sha"]
    return {
        **commit,
        **_addresses(commit["sha"], base),
        "node_id": node_id("Commit", stable_id("Commit", commit["sha"])),
        "tree": {"sha": tree, "url": f"{base}/trees/{tree}"},
        "parents": [{**parent, **_addresses(parent["sha"], base)} for parent in commit["parents"]],
        "verification": {
            "verified": False,
            "reason": "unsigned",
            "signature": None,
            "payload": None,
            "verified_at": None,
        },
    }


def _addresses(commit: str, base: str) -> Json:
    return {"url": f"{base}/commits/{commit}", "html_url": f"{base.removesuffix('/git')}/commit/{commit}"}


def _ref(name: str, sha: str, base: str) -> Json:
    target = {"type": "commit", "sha": sha, "url": f"{base}/commits/{sha}"}
    return {"ref": name, "node_id": node_id("Ref", stable_id("Ref", name)), "url": f"{base}/{name}", "object": target}


def _sha(value: Any) -> str:
    if not isinstance(value, str) or re.fullmatch(r"[0-9a-fA-F]{40}", value) is None:
        raise GitHubProblem(422, "The sha parameter must be exactly 40 characters and contain only [0-9a-f].")
    return value.lower()


def _id(kind: str, data: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


def _base(request: Request, owner: str, repo: str) -> str:
    return f"{api_url(request)}/repos/{owner}/{repo}/git"
