"""A commit's facts from the database: only what was never seen is read, and the answer is that of a first analysis."""

import os
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from contexten_core.codebase import keep, store
from contexten_core.codebase.collect import commit_facts, file_facts, find_facts
from contexten_core.codebase.keep import CommitName, Examined, examine_commit, store_commit
from contexten_core.codebase.models import (
    AnalysisType,
    CodebaseAnalysisModel,
    CodebaseMetadataModel,
    CodebaseModel,
    CodebaseSnapshotModel,
    CodebaseStatus,
    FileFactsModel,
)
from contexten_core.codebase.whole import Limits, facts_of_commit
from contexten_core.db import Database
from contexten_core.errors import ConflictError
from contexten_core.execution.git import GitMirrors, Mirror

SHOP = {
    "shop/__init__.py": "",
    "shop/order.py": "from .tax import rate\n\n\nclass Order(object):\n    def total(self):\n        return rate(1)\n",
    "shop/tax.py": 'def rate(order):\n    """The rate."""\n    return 7 if order else 0  # TODO: by country\n',
    "main.py": "import shop.order\n\nshop.order.Order().total()\n",
}


class Shop:
    """A repository, our mirror of it, and the database of what is known of it."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder / "origin"
        self.folder.mkdir()
        self.database = database
        self.git("init", "--quiet", "--initial-branch=main")
        self.mirror: Mirror = GitMirrors(folder / "mirrors").open(str(self.folder), allow_local=True)

    def git(self, *arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.folder, env=environment, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def commit(self, files: Mapping[str, str | None]) -> str:
        """Write files, remove those that are None, and have the mirror fetch the commit."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=work")
        commit = self.git("rev-parse", "HEAD")
        self.mirror.fetch(commit)
        return commit

    async def analyse(self, commit: str) -> Examined:
        name = CommitName("acme/shop", self.mirror.url, commit, "main", None)
        examined = await examine_commit(self.database, self.mirror, name)
        async with self.database.transaction() as session:
            await store_commit(session, examined)
        return examined

    async def rows(self, model: Any, **wanted: object) -> list[Any]:
        async with self.database.reading() as session:
            return list((await session.execute(select(model).filter_by(**wanted).order_by(model.created_at))).scalars())


@pytest.fixture
def shop(tmp_path: Path, database: Database) -> Shop:
    return Shop(tmp_path, database)


async def test_only_what_was_never_seen_is_read(shop: Shop) -> None:
    first = await shop.analyse(shop.commit(SHOP))
    changed = await shop.analyse(shop.commit({"main.py": "import shop.tax\n"}))
    back = await shop.analyse(shop.commit({"main.py": SHOP["main.py"], "copy.py": SHOP["shop/tax.py"]}))

    assert [one.found.analysed for one in (first, changed, back)] == [4, 1, 0]
    assert [one.found.base_id for one in (first, changed, back)] == [None, first.codebase_id, changed.codebase_id]
    assert changed.found.facts.imports_of("main.py") == ("shop/tax.py",)
    assert back.found.facts.importers_of("shop/order.py") == ("main.py",)
    assert back.found.facts.totals.functions == first.found.facts.totals.functions + 1


async def test_edits_end_where_a_first_analysis_does(shop: Shop) -> None:
    draw = random.Random(11)
    present = set(SHOP)
    await shop.analyse(shop.commit(SHOP))
    for number in range(4):
        gone = draw.sample(sorted(present), 1)
        new = f"shop/m{number}.py"
        text = f"import shop.m{number}\nfrom . import tax\n\ndef f{number}(): rate()\n"
        edits = dict.fromkeys((new, "main.py"), text)
        commit = shop.commit(edits | dict.fromkeys(gone))
        present = (present | set(edits)) - set(gone)

        updated = (await shop.analyse(commit)).found.facts

        fresh = facts_of_commit(shop.mirror, commit)
        assert set(updated.files) == present
        assert updated.files == fresh.files
        assert (updated.modules, updated.totals, updated.entry_points) == (
            fresh.modules,
            fresh.totals,
            fresh.entry_points,
        )
        assert list(updated.calls.edges()) == list(fresh.calls.edges())


async def test_forks_share_what_is_known_of_contents(shop: Shop, tmp_path: Path) -> None:
    commit = shop.commit(SHOP)
    await shop.analyse(commit)
    fork = tmp_path / "fork"
    shop.git("clone", "--quiet", "--bare", ".", str(fork))
    mirror = GitMirrors(tmp_path / "others").open(str(fork), allow_local=True)
    mirror.fetch(commit)

    found = await find_facts(shop.database, mirror, commit)

    assert (found.analysed, found.base_id) == (0, None)
    assert found.facts.files == facts_of_commit(shop.mirror, commit).files


async def test_the_nearest_ancestor_is_the_start(shop: Shop) -> None:
    base = await shop.analyse(shop.commit(SHOP))
    branch = shop.commit({"a.py": "x = 1\n"})
    await shop.analyse(shop.commit({"b.py": "x = 2\n"}))
    shop.git("checkout", "--quiet", base.name.commit)

    other = await shop.analyse(shop.commit({"c.py": "x = 3\n"}))

    assert other.found.base_id == base.codebase_id
    assert branch not in other.found.facts.files


async def test_a_mirror_that_was_made_anew_costs_a_listing(shop: Shop, tmp_path: Path) -> None:
    await shop.analyse(shop.commit(SHOP))
    shop.git("commit", "--quiet", "--amend", "--allow-empty", "--message=other")
    commit = shop.git("rev-parse", "HEAD")
    shop.mirror = GitMirrors(tmp_path / "new").open(str(shop.folder), allow_local=True)
    shop.mirror.fetch(commit)

    examined = await shop.analyse(commit)

    assert (examined.found.base_id, examined.found.analysed) == (None, 0)


async def test_a_commit_of_which_something_was_left_out_is_no_start(shop: Shop) -> None:
    await shop.analyse(shop.commit(SHOP))
    commit = shop.commit({"a.py": "x = 1\n"})
    found = await find_facts(shop.database, shop.mirror, commit, limits=Limits(files=3))
    assert (len(found.facts.files), found.base_id) == (3, None)


async def test_a_first_analysis_is_stored_part_by_part(shop: Shop) -> None:
    commit = shop.commit(SHOP)

    found = await find_facts(shop.database, shop.mirror, commit, limits=Limits(files_at_once=2))

    assert len(await shop.rows(FileFactsModel)) == found.analysed == 4
    again = await find_facts(shop.database, shop.mirror, commit)
    assert (again.analysed, again.facts.files) == (0, found.facts.files)


async def test_rows_of_a_first_analysis(shop: Shop) -> None:
    examined = await shop.analyse(shop.commit(SHOP))

    (codebase,) = await shop.rows(CodebaseModel)
    assert (codebase.status, codebase.total_files, codebase.total_functions) == (CodebaseStatus.COMPLETED, 4, 2)
    assert (codebase.primary_language, codebase.analysis_config) == ("Python", {"base": None})
    (analysis,) = await shop.rows(CodebaseAnalysisModel)
    assert (analysis.analysis_type, analysis.files_analyzed) == (AnalysisType.FULL_SCAN, 4)
    assert (analysis.issues_found, analysis.warnings_count, analysis.errors_count) == (1, 0, 0)
    assert analysis.complexity_score == 1.5
    assert analysis.maintainability_score == examined.found.facts.maintainability
    assert analysis.results["modules"]["imports"] == 2
    assert analysis.results["elements"] == {"stored": 3, "files_left_out": 0}
    elements = {row.element_name: row for row in await shop.rows(CodebaseMetadataModel)}
    assert set(elements) == {"Order", "Order.total", "rate"}
    rate = elements["rate"]
    assert (rate.metadata_type, rate.file_path, rate.element_type) == ("function", "shop/tax.py", "Python")
    assert (rate.start_line, rate.end_line, rate.lines_of_code, rate.complexity) == (1, 3, 3, 2.0)
    assert (rate.content["docstring"], rate.content["parameters"]) == ("The rate.", ["order"])
    assert (elements["Order.total"].dependencies, rate.dependents) == (["rate"], ["shop/order.py"])
    assert (elements["Order"].metadata_type, elements["Order"].dependencies) == ("class", ["object"])


async def test_rows_of_an_update_are_those_of_changed_files(shop: Shop) -> None:
    first = await shop.analyse(shop.commit(SHOP))
    second = await shop.analyse(shop.commit({"shop/tax.py": "def other():\n    pass\n"}))

    codebase = (await shop.rows(CodebaseModel))[-1]
    assert (codebase.id, codebase.analysis_config) == (second.codebase_id, {"base": str(first.codebase_id)})
    (analysis,) = await shop.rows(CodebaseAnalysisModel, codebase_id=second.codebase_id)
    assert analysis.analysis_type is AnalysisType.INCREMENTAL
    (element,) = await shop.rows(CodebaseMetadataModel, codebase_id=second.codebase_id)
    assert (element.element_name, element.file_path) == ("other", "shop/tax.py")


async def test_analysing_a_commit_again_adds_no_rows_but_the_pass(shop: Shop) -> None:
    commit = shop.commit(SHOP)
    first, second = await shop.analyse(commit), await shop.analyse(commit)

    assert first.codebase_id == second.codebase_id
    counts = [len(await shop.rows(model)) for model in (CodebaseModel, CodebaseSnapshotModel, CodebaseAnalysisModel)]
    assert counts == [1, 1, 2]
    assert len(await shop.rows(CodebaseMetadataModel)) == 3
    assert (await shop.rows(CodebaseModel))[0].analysis_config == {"base": None}


async def test_what_is_stored_is_read_again(shop: Shop) -> None:
    examined = await shop.analyse(shop.commit(SHOP))

    async with shop.database.reading() as session:
        facts = await commit_facts(session, examined.codebase_id)
        assert facts is not None
        files = await file_facts(session, facts, ["shop/tax.py", "nowhere.py"])
        assert await commit_facts(session, UUID(int=0)) is None

    assert (facts.files, facts.modules, facts.commit) == (
        examined.found.facts.files,
        examined.found.facts.modules,
        examined.name.commit,
    )
    assert [function.docstring for function in files["shop/tax.py"].functions] == ["The rate."]
    assert list(files) == ["shop/tax.py"]


async def test_the_newest_snapshots_are_kept(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SNAPSHOTS_KEPT", 2)
    examined = [await shop.analyse(shop.commit({"a.py": f"x = {number}\n"})) for number in range(4)]

    kept = {row.codebase_id for row in await shop.rows(CodebaseSnapshotModel)}

    assert kept == {one.codebase_id for one in examined[-2:]}


async def test_elements_are_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep, "MOST_ELEMENTS", 0)
    await shop.analyse(shop.commit(SHOP))
    (analysis,) = await shop.rows(CodebaseAnalysisModel)
    assert analysis.results["elements"] == {"stored": 0, "files_left_out": 4}


async def test_a_codebase_that_is_removed_meanwhile_is_a_conflict(shop: Shop) -> None:
    name = CommitName("acme/shop", shop.mirror.url, shop.commit(SHOP), "main", None)
    examined = await examine_commit(shop.database, shop.mirror, name)
    async with shop.database.transaction() as session:
        row = await store.get_codebase(session, examined.codebase_id)
        await session.delete(row)

    with pytest.raises(ConflictError, match="was removed while it was analysed"):
        async with shop.database.transaction() as session:
            await store_commit(session, examined)


async def test_an_update_takes_few_statements(shop: Shop, statements: list[str]) -> None:
    await shop.analyse(shop.commit(SHOP))
    commit = shop.commit({"main.py": "x = 1\n", "a.py": "def f(): ...\n"})
    statements.clear()

    await shop.analyse(commit)

    assert len([one for one in statements if not one.startswith("BEGIN")]) <= 16, statements
    async with shop.database.reading() as session:
        assert (await session.execute(select(func.count()).select_from(CodebaseModel))).scalar_one() == 2


@pytest.fixture
def statements(database: Database) -> list[str]:
    """Every statement that is sent to the database, transactions apart."""
    from sqlalchemy import event

    sent: list[str] = []
    event.listen(
        database.engine.sync_engine, "before_cursor_execute", lambda _c, _u, statement, *_: sent.append(statement)
    )
    return sent
