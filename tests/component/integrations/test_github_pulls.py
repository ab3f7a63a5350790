"""Draft pull requests over real HTTP to the emulator, whose ids are those of git."""

import base64
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from contexten.emulators.github import RunningEmulator, run_emulator
from contexten.emulators.recorder import Fault
from contexten_core.db import Database
from contexten_core.errors import OutboundError
from contexten_core.integrations.github_pulls import GitHubPulls
from contexten_core.settings import Settings

REPOSITORY = "/repos/acme/cashbox"
BRANCH = "contexten/fix-1f0c"
PROGRAM, LINK = "100755", "120000"
STEPS = ["/git/blobs", "/git/trees", "/git/commits", "/git/refs", "/pulls", "/labels"]


class Server:
    """The emulator, with a repository that has one commit."""

    def __init__(self, running: RunningEmulator, http: httpx.AsyncClient) -> None:
        self.running = running
        self.http = http
        self.base = ""

    async def begin(self) -> None:
        files = {
            "till.py": ("100644", "total = 1\n"),
            "src/tax.py": ("100644", "rate = 19\n"),
            "src/run.sh": (PROGRAM, "#!/bin/sh\n"),
            "latest": (LINK, "/etc/passwd"),
        }
        entries = [
            {"path": path, "mode": mode, "type": "blob", "content": text} for path, (mode, text) in files.items()
        ]
        tree = await self.make("/git/trees", {"tree": entries})
        self.base = (await self.make("/git/commits", {"message": "First", "tree": tree["sha"], "parents": []}))["sha"]
        await self.make("/git/refs", {"ref": "refs/heads/main", "sha": self.base})

    async def make(self, path: str, json: Mapping[str, Any]) -> Any:
        return (await self.http.post(f"{REPOSITORY}{path}", json=json)).raise_for_status().json()

    async def get(self, path: str) -> Any:
        return (await self.http.get(f"{REPOSITORY}{path}")).raise_for_status().json()

    async def files(self, branch: str) -> dict[str, tuple[str, str]]:
        """Return mode and content of every file of a branch."""
        commit = await self.get(f"/git/commits/{(await self.get(f'/git/ref/heads/{branch}'))['object']['sha']}")
        found: dict[str, tuple[str, str]] = {}
        waiting = [("", commit["tree"]["sha"])]
        while waiting:
            at, sha = waiting.pop()
            for entry in (await self.get(f"/git/trees/{sha}"))["tree"]:
                if entry["type"] == "tree":
                    waiting.append((f"{at}{entry['path']}/", entry["sha"]))
                else:
                    blob = await self.get(f"/git/blobs/{entry['sha']}")
                    found[f"{at}{entry['path']}"] = (entry["mode"], base64.b64decode(blob["content"]).decode())
        return found

    def change(self, **changed: Any) -> dict[str, Any]:
        return {
            "api_url": self.running.url,
            "repository": "acme/cashbox",
            "base": "main",
            "base_commit": self.base,
            "branch": BRANCH,
            "title": "Round to the cent",
            "body": "It rounded down.",
            "files": {"till.py": _base64("total = 2\n"), "src/tax.py": None, "src/run.sh": _base64("#!/bin/bash\n")},
            "labels": ["contexten"],
            **changed,
        }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with (
        run_emulator() as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False, verify=False) as http,
    ):
        server = Server(running, http)
        await server.begin()
        yield server


@pytest.fixture
def pulls(server: Server) -> GitHubPulls:
    settings = Settings(github_api_url=server.running.url, github_token=None, api_timeout_seconds=5)
    return GitHubPulls(settings, Database())


async def test_a_patch_becomes_a_branch_and_a_draft(server: Server, pulls: GitHubPulls) -> None:
    answer = await pulls.post(server.change(), key="p", maybe_done=False)
    (pull,) = server.running.recorder.pulls

    assert (pull["number"], pull["draft"], pull["title"]) == (answer["number"], True, "Round to the cent")
    assert (pull["head"]["ref"], pull["base"]["ref"]) == (BRANCH, "main")
    assert pull["body"].startswith("<!-- contexten:p:")
    assert pull["body"].endswith("-->\nIt rounded down.")
    assert await server.files(BRANCH) == {
        "till.py": ("100644", "total = 2\n"),
        "src/run.sh": (PROGRAM, "#!/bin/bash\n"),
        "latest": (LINK, "/etc/passwd"),
    }
    assert await server.files("main") != await server.files(BRANCH)
    commit = await server.get(f"/git/commits/{pull['head']['sha']}")
    assert [parent["sha"] for parent in commit["parents"]] == [server.base]
    (labelled,) = server.running.recorder.labels
    assert (labelled["issue"], labelled["names"]) == (f"acme/cashbox#{pull['number']}", ["contexten"])


@pytest.mark.parametrize("step", STEPS)
async def test_whichever_reply_is_lost_there_is_one_branch_and_one_pull_request(
    server: Server, pulls: GitHubPulls, step: str
) -> None:
    server.running.recorder.queue_fault(Fault(method="POST", path_contains=step, drop_after=True))
    with pytest.raises(OutboundError) as lost:
        await pulls.post(server.change(), key="p", maybe_done=False)
    assert lost.value.transient
    answer = await pulls.post(server.change(), key="p", maybe_done=True)
    again = await pulls.post(server.change(), key="p", maybe_done=True)

    assert answer == again
    assert [pull["number"] for pull in server.running.recorder.pulls] == [answer["number"]]
    assert [ref["ref"] for ref in server.running.recorder.refs] == ["refs/heads/main", f"refs/heads/{BRANCH}"]
    assert [thing["names"] for thing in server.running.recorder.labels] == [["contexten"]]


async def test_one_that_somebody_closed_is_not_opened_again(server: Server, pulls: GitHubPulls) -> None:
    first = await pulls.post(server.change(), key="p", maybe_done=False)
    await server.http.patch(f"{REPOSITORY}/pulls/{first['number']}", json={"state": "closed"})
    await pulls.post(server.change(), key="p", maybe_done=True)

    assert [pull["state"] for pull in server.running.recorder.pulls] == ["closed"]


async def test_what_is_there_and_ours_is_a_success_even_when_nobody_expects_it(
    server: Server, pulls: GitHubPulls
) -> None:
    first = await pulls.post(server.change(), key="p", maybe_done=False)
    assert await pulls.post(server.change(), key="p", maybe_done=False) == first
    assert len(server.running.recorder.pulls) == 1


async def test_a_branch_with_something_else_is_left_alone(server: Server, pulls: GitHubPulls) -> None:
    await server.make("/git/refs", {"ref": f"refs/heads/{BRANCH}", "sha": server.base})
    for maybe_done in (False, True):
        with pytest.raises(OutboundError, match="Reference already exists") as caught:
            await pulls.post(server.change(), key="p", maybe_done=maybe_done)
        assert not caught.value.transient
    assert (await server.get(f"/git/ref/heads/{BRANCH}"))["object"]["sha"] == server.base
    assert len(server.running.recorder.pulls) == 0


async def test_a_pull_request_of_somebody_else_on_that_branch_is_not_ours(server: Server, pulls: GitHubPulls) -> None:
    await pulls.post(server.change(), key="theirs", maybe_done=False)
    with pytest.raises(OutboundError, match="A pull request already exists for acme:contexten"):
        await pulls.post(server.change(), key="p", maybe_done=True)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"latest": _base64("/root")}, "latest is no plain file"),
        ({"src": _base64("x")}, "src is no plain file"),
        ({"till.py/x": _base64("x")}, "no folder"),
        ({"../x": _base64("x")}, "is not the path of a file"),
        ({"/etc/x": _base64("x")}, "is not the path of a file"),
        ({"a//b": _base64("x")}, "is not the path of a file"),
        ({"new.py": "not base64!"}, "is not base64"),
        ({"never-there.py": None}, "changes nothing"),
        ({"till.py": _base64("total = 1\n")}, "changes nothing"),
    ],
)
async def test_what_is_no_change_of_plain_files_is_refused(
    server: Server, pulls: GitHubPulls, files: dict[str, str | None], problem: str
) -> None:
    with pytest.raises(OutboundError, match=problem) as caught:
        await pulls.post(server.change(files=files), key="p", maybe_done=False)
    assert not caught.value.transient
    assert [ref["ref"] for ref in server.running.recorder.refs] == ["refs/heads/main"]


def test_an_empty_change_is_withheld(server: Server, pulls: GitHubPulls) -> None:
    assert pulls.unable(server.change(files={})) == "the change is empty"


def test_what_is_no_branch_of_ours_is_withheld(server: Server, pulls: GitHubPulls) -> None:
    for branch in ("", "../main", "a..b", "a//b", "/a", "a/", "a b", "a~1", "a.", ".a", "a\n", "@{"):
        assert "is not the name of a branch" in str(pulls.unable(server.change(branch=branch)))
    assert pulls.unable(server.change(branch="contexten/fix-1.2_3")) is None
