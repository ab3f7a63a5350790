"""Addresses, refs, ids, paths, variables and configurations that try to give git an order.

What comes from outside either means what it says or is refused, by every function that takes it; see
`test_git_hostile` for more addresses and refs at the first of these functions.
"""

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr, ValidationError

from contexten_core.codebase.local import LocalCodebase
from contexten_core.codebase.mirror import mirror_of
from contexten_core.codebase.whole import newest_commit
from contexten_core.errors import GitError, OutboundError
from contexten_core.execution.git import GitMirrors, Mirror
from contexten_core.execution.git_borrowed import BorrowingMirror
from contexten_core.execution.git_names import check_object_id, full_ref_names, parse_source
from contexten_core.execution.git_token import token_for
from contexten_core.integrations.github_client import GitHubClient
from contexten_core.integrations.github_repository import GitHubRepository
from contexten_core.integrations.github_trees import tree_with
from contexten_core.outputs.patch import PatchError, read_patch
from contexten_core.projects.inputs import ProjectCreate, RepositoryUpdate
from contexten_core.settings import Settings

if TYPE_CHECKING:
    from tests.component.execution.conftest import Canary, Origin

RUN = "RUN"
"""Stands for the program that must not run."""

ADDRESSES = [
    f"--upload-pack={RUN}",
    f"--config=core.sshCommand={RUN}",
    f"-u{RUN}",
    f"ext::{RUN} %S",
    f"ext::sh -c {RUN}% ",
    f"EXT::{RUN}",
    f"ext::ssh -oProxyCommand={RUN} host %S path",
    "fd::3,4",
    f"canary::{RUN}",
    f"file::ext::{RUN}",
    f"ssh://-oProxyCommand={RUN}/x",
    f"ssh://host:-oProxyCommand={RUN}/x",
    f"ssh://git@-oProxyCommand={RUN}:22/x",
    f"ssh://host/-oProxyCommand={RUN}",
    f"git@-oProxyCommand={RUN}:x",
    f"host:--upload-pack={RUN}",
    f"-oProxyCommand={RUN}:x",
    "host:/\n--upload-pack=x",
    "https://host/a\n[core]\n\tfsmonitor = x",
    "https://host/a\r\nAuthorization: x",
    "https://host/a\0b",
    "https://host/a\x9b31m",
    "https://host/a\u202eb",
    "https://[::1",
    "https://[x/a",
    "https://a\u2100b/c",
    "https://github.com:token@-evil/x",
    "https://github.com?@evil/x",
    "https://github.com#@evil/x",
    f"https://host/a --upload-pack={RUN}",
    "git://host/a",
    "gopher://host/a",
    f"$({RUN})",
    f"`{RUN}`;{RUN}|{RUN}",
    "~/repository",
    "./repository",
]

REFS = [
    f"--upload-pack={RUN}",
    f"--exec={RUN}",
    f"-oProxyCommand={RUN}",
    "--all",
    "+main",
    "+refs/heads/main:refs/heads/evil",
    "main:refs/contexten/evil",
    ":main",
    "^main",
    "refs/heads/*",
    "refs/heads/*:refs/heads/*",
    "main@{upstream}",
    "@{-1}",
    "main@{1 day ago}",
    "main^{/evil}",
    ":/evil",
    "main..evil",
    "../main",
    "refs/../config",
    "refs/heads/../../config",
    "main\n+refs/heads/main:refs/heads/evil",
    "main\0evil",
    "main\x9bevil",
    "main.lock",
    "ma?n",
    "[m]ain",
    f"$({RUN})",
    f"main;{RUN}",
]
_NAMES_OF_NOTHING = {"--all", "+main", f"$({RUN})", f"main;{RUN}", f"--exec={RUN}", f"--upload-pack={RUN}"}
"""Names that git itself allows: there could be such a branch."""

IDS = [
    f"--output={RUN}",
    f"-O{RUN}",
    "--no-index",
    "--ext-diff",
    "--textconv",
    "--stdin",
    "--git-dir=/",
    "HEAD",
    "main",
    "@{u}",
    "a" * 39,
    "a" * 40 + "^{/x}",
    "a" * 40 + ":a",
    "a" * 40 + "..",
    "^" + "a" * 40,
    "a" * 40 + "\n" + "b" * 40,
    "a" * 40 + "\0",
    "\uff41" * 40,
    "",
]

PATHS = [
    ".git/config",
    ".GIT/hooks/post-checkout",
    ".git /config",
    ".git./config",
    "git~1/config",
    "GIT~1/hooks/x",
    ".g\u200cit/config",
    "a/.git/config",
    "../a",
    "a/../../b",
    "/etc/passwd",
    "a\\..\\b",
    "C:/a",
    "a\tb",
    ":(exclude)a",
    ":!a",
    "a//b",
    ".gitmodules",
    ".gitattributes",
    ".github/workflows/ci.yml",
    "a\x1b[31m",
]


def _armed(value: str, canary: "Canary") -> str:
    return value.replace(RUN, str(canary.program))


@pytest.fixture
def honest(origin: "Origin") -> str:
    origin.commit({"a": "one\n"})
    return origin.commit({"a": "two\n", ".gitattributes": "* filter=evil diff=evil merge=evil\n"})


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_that_gives_an_order_is_refused_by_all_that_take_one(
    address: str, canary: "Canary", mirrors: GitMirrors, tmp_path: Path
) -> None:
    address = _armed(address, canary)
    settings = Settings(_env_file=None, github_token=SecretStr("ghp_ours"))
    takers: list[Callable[[], object]] = [
        lambda: mirrors.open(address),
        lambda: mirrors.open(address, "token", allow_local=True),
        lambda: parse_source(address, allow_local=True),
        lambda: BorrowingMirror(tmp_path / "borrowed", address),
        lambda: LocalCodebase(address, tmp_path / "borrowed"),
        lambda: mirror_of(settings, mirrors, address, "a" * 40),
    ]

    with canary.watching():
        for take in takers:
            with pytest.raises(GitError) as caught:
                take()
            assert caught.value.hint
            assert not caught.value.transient
        token_for(settings, address)
        if not address.startswith("git://host"):
            with pytest.raises(ValidationError):
                RepositoryUpdate(clone_url=address)
    assert not (tmp_path / "mirrors").exists()


@pytest.mark.parametrize(
    "path", [f"--upload-pack={RUN}", f"ext::{RUN}", f"$({RUN})", "-c", "a.bundle", "%2e%2e/origin", "nul"]
)
def test_a_path_that_looks_like_an_order_is_a_path(
    path: str, canary: "Canary", mirrors: GitMirrors, tmp_path: Path
) -> None:
    armed = _armed(path, canary).replace("/", ":")
    (tmp_path / "outside" / armed).write_text("PACK")
    for address in (f"{tmp_path}/outside/{armed}", f"file://{tmp_path}/outside/{armed}"):
        mirror = mirrors.open(address, allow_local=True)
        with canary.watching():
            for use in (mirror.head, lambda mirror=mirror: mirror.fetch("a" * 40, "main")):
                with pytest.raises(GitError) as caught:
                    use()
                assert caught.value.hint


@pytest.mark.parametrize("ref", REFS)
def test_a_ref_that_gives_an_order_is_refused_or_the_name_of_nothing(
    ref: str, origin: "Origin", canary: "Canary", mirror: Mirror, honest: str, tmp_path: Path
) -> None:
    armed = _armed(ref, canary)
    borrowing = BorrowingMirror(tmp_path / "borrowed", str(origin.folder), timeout_seconds=20)
    codebase = LocalCodebase(str(origin.folder), tmp_path / "borrowed")
    mirror.fetch(honest)
    refs = origin.git("for-each-ref")
    takers: list[Callable[[], object]] = [
        lambda: mirror.head(armed),
        lambda: newest_commit(mirror, armed),
        lambda: borrowing.head(armed),
        lambda: codebase.commit(armed),
    ]
    if ref not in _NAMES_OF_NOTHING:
        takers += [
            lambda: full_ref_names(armed),
            lambda: mirror.fetch("a" * 40, armed),
            lambda: borrowing.fetch("a" * 40, armed),
        ]
        with pytest.raises(ValidationError):
            ProjectCreate(name="cashbox", default_branch=armed)

    with canary.watching():
        for take in takers:
            with pytest.raises(GitError) as caught:
                take()
            assert caught.value.hint
            assert not caught.value.transient
        assert mirror.resolve(armed) is None
    assert origin.git("for-each-ref") == refs


def test_a_branch_that_is_called_like_an_option_is_a_branch(
    origin: "Origin", canary: "Canary", mirrors: GitMirrors, honest: str
) -> None:
    for name in (f"refs/heads/--upload-pack={canary.program}", "refs/tags/+main", f"refs/heads/$({canary.program})"):
        origin.git("update-ref", name, honest)
    mirror = mirrors.open(str(origin.folder), allow_local=True)

    with canary.watching():
        for name in (f"refs/heads/--upload-pack={canary.program}", "+main", f"$({canary.program})"):
            assert mirror.head(name) == honest
        mirror.fetch(honest, f"$({canary.program})")


@pytest.mark.parametrize("value", IDS)
def test_an_id_that_gives_an_order_is_refused_by_all_that_take_one(
    value: str, canary: "Canary", mirror: Mirror, honest: str
) -> None:
    armed = _armed(value, canary)
    mirror.fetch(honest)
    takers: list[Callable[[], object]] = [
        lambda: check_object_id(armed),
        lambda: mirror.fetch(armed),
        lambda: mirror.tree(armed),
        lambda: mirror.files(armed),
        lambda: mirror.listing(armed, limit=5),
        lambda: list(mirror.read([armed])),
        lambda: mirror.checkout(armed, canary.checkouts / "checkout"),
        lambda: mirror.changes(armed, honest),
        lambda: mirror.changes(honest, armed),
        lambda: mirror.first_parents(armed, limit=5),
        lambda: mirror.merge_base(honest, armed),
        lambda: list(mirror.log(armed, limit=5)),
        lambda: list(mirror.diff(armed, honest)),
        lambda: list(mirror.diff(honest, armed)),
        lambda: list(mirror.hunks(armed, honest)),
        lambda: list(mirror.hunks(honest, armed)),
    ]

    with canary.watching():
        for take in takers:
            with pytest.raises(GitError, match="full commit id") as caught:
                take()
            assert caught.value.hint
        assert value == "a" * 39 or mirror.resolve(armed) is None
    assert not any(canary.checkouts.iterdir())


@pytest.mark.parametrize("path", PATHS)
def test_a_patch_that_touches_what_gives_git_orders_is_refused(path: str) -> None:
    diff = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"

    with pytest.raises(PatchError):
        read_patch(diff, paths=None)


VARIABLES = {
    "GIT_SSH": RUN,
    "GIT_SSH_COMMAND": RUN,
    "GIT_PROXY_COMMAND": RUN,
    "GIT_EXTERNAL_DIFF": RUN,
    "GIT_ASKPASS": RUN,
    "GIT_PAGER": RUN,
    "PAGER": RUN,
    "GIT_EDITOR": RUN,
    "GIT_EXEC_PATH": "BIN",
    "GIT_TEMPLATE_DIR": "OUTSIDE",
    "GIT_DIR": "OUTSIDE",
    "GIT_COMMON_DIR": "OUTSIDE",
    "GIT_WORK_TREE": "OUTSIDE",
    "GIT_INDEX_FILE": "OUTSIDE/index",
    "GIT_OBJECT_DIRECTORY": "OUTSIDE",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES": "OUTSIDE",
    "GIT_NAMESPACE": "evil",
    "GIT_CONFIG": "OUTSIDE/config",
    "GIT_CONFIG_GLOBAL": "OUTSIDE/config",
    "GIT_CONFIG_SYSTEM": "OUTSIDE/config",
    "GIT_CONFIG_PARAMETERS": f"'filter.evil.smudge={RUN}' 'core.fsmonitor={RUN}'",
    "GIT_CONFIG_COUNT": "1",
    "GIT_ATTR_SOURCE": "HEAD",
    "GIT_REPLACE_REF_BASE": "refs/heads/",
    "GIT_SHALLOW_FILE": "OUTSIDE/shallow",
    "GIT_GRAFT_FILE": "OUTSIDE/grafts",
    "GIT_DIFF_OPTS": "--unified=9",
    "GIT_TRACE": "OUTSIDE/trace",
    "GIT_TRACE2_EVENT": "OUTSIDE/trace2",
    "GIT_TRACE_PACKET": "1",
    "GIT_REDIRECT_STDOUT": "OUTSIDE/out",
    "GIT_ALLOW_PROTOCOL": "ext:file",
    "GIT_DEFAULT_HASH": "sha256",
    "GIT_CEILING_DIRECTORIES": "/",
    "LD_PRELOAD": "OUTSIDE/none.so",
    "BASH_ENV": RUN,
    "ENV": RUN,
}


def test_no_variable_of_the_service_reaches_git(
    canary: "Canary", mirror: Mirror, honest: str, origin: "Origin", monkeypatch: pytest.MonkeyPatch
) -> None:
    base = origin.git("rev-parse", "HEAD~1")
    # GitPython asks git for its version when it is first imported, with all of the service's variables.
    mirror.fetch(base)
    _write_config(canary.outside / "config", canary, str(origin.folder))
    for name, value in VARIABLES.items():
        armed = _armed(value, canary).replace("OUTSIDE", str(canary.outside)).replace("BIN", str(canary.program.parent))
        monkeypatch.setenv(name, armed)
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "filter.evil.smudge")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(canary.program))

    with canary.watching():
        failed = canary.visit(mirror, honest, base)

    assert not failed
    assert (canary.checkouts / f"Mirror-{honest[:8]}/a").read_text() == "two\n"


def _write_config(path: Path, canary: "Canary", url: str) -> None:
    program = shlex.quote(str(canary.program))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"""
[core]
    fsmonitor = {program}
    hooksPath = {canary.program.parent}
    sshCommand = {program}
    gitProxy = {program}
    askPass = {program}
    pager = {program}
    editor = {program}
    attributesFile = {canary.outside}/attributes
    alternateRefsCommand = {program}
    worktree = {canary.outside}
[filter "evil"]
    smudge = {program}
    clean = {program}
    process = {program}
    required = true
[diff]
    external = {program}
[diff "evil"]
    command = {program}
    textconv = {program}
[merge "evil"]
    driver = {program} %A
[credential]
    helper = !{program}
[credential "{url}"]
    helper = !{program}
[remote "{url}"]
    url = ext::{program}
    vcs = canary
    uploadpack = {program}
    promisor = true
[url "ext::{program} "]
    insteadOf = {url}
[uploadpack]
    packObjectsHook = {program}
[protocol]
    allow = always
[protocol "ext"]
    allow = always
[alias]
    fetch = !{program}
    ls-tree = !{program}
[pager]
    log = {program}
    diff-tree = {program}
[gpg]
    program = {program}
[log]
    showSignature = true
[trace2]
    eventTarget = {canary.outside}/trace2
[include]
    path = {canary.outside}/included
[extensions]
    worktreeConfig = true
    partialClone = {url}
"""
    )


@pytest.mark.parametrize("place", ["home/.gitconfig", "home/.config/git/config", "cwd/.git/config", "cwd/.gitconfig"])
def test_no_configuration_that_lies_about_is_read(
    place: str, canary: "Canary", mirror: Mirror, honest: str, origin: "Origin", tmp_path: Path
) -> None:
    _write_config(tmp_path / place, canary, mirror.url)
    (canary.home / ".config/git").mkdir(parents=True, exist_ok=True)
    (canary.home / ".config/git/attributes").write_text("* filter=evil diff=evil\n")

    with canary.watching():
        failed = canary.visit(mirror, honest, origin.git("rev-parse", "HEAD~1"))

    assert not failed


@pytest.mark.parametrize("planted", ["config", "a link to one", "commondir", "config.worktree", "nonsense", "a pipe"])
def test_a_configuration_that_was_planted_in_a_mirror_is_put_right(
    planted: str, origin: "Origin", canary: "Canary", mirror: Mirror, honest: str, tmp_path: Path
) -> None:
    base = origin.git("rev-parse", "HEAD~1")
    mirror.fetch(base)
    (folder,) = (path for path in (tmp_path / "mirrors").iterdir() if path.is_dir())
    _write_config(canary.outside / "planted/config", canary, mirror.url)
    (folder / "info").mkdir(exist_ok=True)
    (folder / "info/attributes").write_text("* filter=evil diff=evil merge=evil\n")
    (folder / "hooks").mkdir(exist_ok=True)
    (folder / "hooks/reference-transaction").symlink_to(canary.program)
    config = folder / "config"
    match planted:
        case "config" | "config.worktree":
            _write_config(folder / planted, canary, mirror.url)
        case "a link to one":
            config.unlink()
            config.symlink_to(canary.outside / "planted/config")
        case "commondir":
            (folder / "commondir").write_text(f"{canary.outside}/planted\n")
        case "nonsense":
            config.write_bytes(b"[\0\xff")
        case _:
            config.unlink()
            os.mkfifo(config)

    with canary.watching():
        failed = canary.visit(mirror, honest, base)

    assert not failed
    assert str(canary.program) not in config.read_text()


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/etc/passwd", "a//b", "./a", ""])
async def test_github_is_never_asked_for_a_path_out_of_a_tree(path: str) -> None:
    repository = GitHubRepository(GitHubClient(Settings(_env_file=None)), "https://api.github.invalid", "acme/cashbox")

    with pytest.raises(OutboundError, match="is not the path of a file"):
        await tree_with(repository, base_tree="a" * 40, files={path: "eA=="})
