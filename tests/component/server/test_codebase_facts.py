"""What the API says of an analysed commit: its facts, its symbols, and what the change to it means."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from contexten_core.codebase.repository import parse_repository
from contexten_core.execution.git import GitMirrors
from contexten_core.execution.trees import remove_tree
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.settings import Settings

on_sqlite = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
MISSING = "3f0c1f1e-6a7b-4c8d-9e0f-1a2b3c4d5e6f"
SHOP = {
    "shop/tax.py": "def tax_rate(order):\n    return 7\n",
    "shop/order.py": "from shop.tax import tax_rate\n\n\ndef total(order):\n    return tax_rate(order)\n",
    "package.json": '{"dependencies": {"react": "^18.0.0"}}',
}


@dataclass(frozen=True)
class Change:
    """Two analysed commits of one repository."""

    base: str
    head: str
    base_id: UUID
    head_id: UUID


def commit(folder: Path, files: Mapping[str, str]) -> str:
    def git(*arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=folder, env=environment, capture_output=True, check=True, text=True
        )
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    git("add", "--all")
    git("commit", "--quiet", "--message=work")
    return git("rev-parse", "HEAD")


@pytest.fixture
async def change(orchestrator: SystemOrchestrator, settings: Settings, tmp_path: Path) -> Change:
    folder = tmp_path / "shop"
    folder.mkdir()
    found = []
    for files in (SHOP, {"shop/tax.py": "def tax_rate(order):\n    return 19\n"}):
        sha = commit(folder, files)
        codebase = await parse_repository(
            orchestrator.database, settings, GitMirrors(settings.mirrors), name=str(folder), commit=sha
        )
        found.append((sha, codebase.id))
    return Change(found[0][0], found[1][0], found[0][1], found[1][1])


async def test_the_facts_of_a_commit(client: httpx.AsyncClient, change: Change) -> None:
    answer = await client.get(f"/api/codebases/{change.head_id}/facts")

    facts = answer.json()
    assert (answer.status_code, facts["commit"]) == (200, change.head)
    assert facts["totals"] == {"files": 3, "lines": 8, "functions": 2, "classes": 0}
    assert facts["modules"]["shop/order.py"]["imports"] == ["shop/tax.py"]
    assert [(one["name"], one["ecosystem"]) for one in facts["dependencies"]] == [("react", "npm")]
    assert [(one["path"], one["function_count"]) for one in facts["files"]] == [
        ("package.json", 0),
        ("shop/order.py", 1),
        ("shop/tax.py", 1),
    ]


@on_sqlite
async def test_symbols_by_a_part_of_their_name(client: httpx.AsyncClient, change: Change) -> None:
    async def names(**parameters: str | int) -> list[str]:
        answer = await client.get(f"/api/codebases/{change.head_id}/symbols", params=parameters)
        assert answer.status_code == 200, answer.text
        return [symbol["name"] for symbol in answer.json()["items"]]

    assert await names(search="TAX") == ["tax_rate"]
    assert await names(search="t") == ["total", "tax_rate"]
    assert await names(search="t", limit=1) == ["total"]
    assert await names(search="nothing") == []


async def test_what_the_change_to_a_commit_means(client: httpx.AsyncClient, change: Change) -> None:
    answer = await client.get(f"/api/codebases/{change.head_id}/impact", params={"base": change.base})

    impact = answer.json()
    assert (answer.status_code, impact["base"], impact["head"]) == (200, change.base, change.head)
    assert [one["name"] for one in impact["symbols"]] == ["tax_rate"]
    assert ("shop/order.py", "total", 1) in {(one["path"], one["name"], one["depth"]) for one in impact["reached"]}
    assert impact["risk"]["level"] in {"low", "medium"}


@on_sqlite
async def test_what_is_not_known_is_a_conflict_with_a_hint(client: httpx.AsyncClient, change: Change) -> None:
    unknown = await client.get(f"/api/codebases/{change.head_id}/impact", params={"base": "c" * 40})
    assert unknown.status_code == 409
    assert "contexten analyse" in unknown.text
    given = {"repository_url": "https://github.com/acme/shop", "commit_sha": "a" * 40}
    created = (await client.post("/api/codebases", json=given)).json()["id"]
    for path in ("facts", "symbols?search=a", f"impact?base={change.base}"):
        assert (await client.get(f"/api/codebases/{created}/{path}")).status_code == 409, path


@on_sqlite
async def test_a_mirror_that_is_gone_is_fetched_again(
    client: httpx.AsyncClient, change: Change, settings: Settings, tmp_path: Path
) -> None:
    questions = [f"/api/codebases/{change.head_id}/{path}" for path in ("facts", f"impact?base={change.base}")]
    remove_tree(settings.mirrors)
    assert [(await client.get(question)).status_code for question in questions] == [200, 200]

    remove_tree(settings.mirrors)
    remove_tree(tmp_path / "shop")
    for question in questions:
        answer = await client.get(question)
        assert answer.status_code == 409, question
        assert "not to be had any more" in answer.text


@on_sqlite
async def test_bad_questions(client: httpx.AsyncClient, change: Change) -> None:
    for path in ("facts", "symbols?search=a", f"impact?base={change.base}"):
        assert (await client.get(f"/api/codebases/{MISSING}/{path}")).status_code == 404, path
    for path in ("symbols", "symbols?search=", "symbols?search=a&limit=0", "impact", "impact?base=main"):
        assert (await client.get(f"/api/codebases/{change.head_id}/{path}")).status_code == 422, path
