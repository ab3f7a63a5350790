"""Codebases, analyses and elements: made, changed, listed and removed; what is wrong is refused by its name."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from contexten_core.codebase import store
from contexten_core.codebase.change import (
    create_codebase,
    create_codebase_analysis,
    create_codebase_metadata,
    delete_codebase,
    update_codebase,
)
from contexten_core.codebase.inputs import (
    CodebaseAnalysisCreate,
    CodebaseCreate,
    CodebaseMetadataCreate,
    CodebaseUpdate,
)
from contexten_core.codebase.models import (
    CodebaseAnalysisModel,
    CodebaseMetadataModel,
    CodebaseModel,
    CodebaseStatus,
)
from contexten_core.db import Database
from contexten_core.db.paging import Page
from contexten_core.errors import ConflictError, InvalidInputError
from contexten_core.inputs import RowInput, checked
from contexten_core.projects.models import ProjectModel

NOBODY = UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
COMMIT = "4d1c2b3a" * 5
A_CODEBASE = {"repository_url": "https://github.com/acme/cashbox.git", "commit_sha": COMMIT}
AN_ANALYSIS = {
    "codebase_id": str(NOBODY),
    "analysis_type": "security_scan",
    "analyzer_name": "bandit",
    "analyzer_version": "1.8",
    "analysis_duration_seconds": 2.5,
}
AN_ELEMENT = {
    "codebase_id": str(NOBODY),
    "metadata_type": "function",
    "file_path": "src/till.py",
    "element_name": "count",
}


async def add(database: Database, **fields: Any) -> CodebaseModel:
    async with database.transaction() as session:
        return await create_codebase(session, checked(CodebaseCreate, A_CODEBASE | fields))


async def add_analysis(database: Database, codebase_id: UUID, **fields: Any) -> CodebaseAnalysisModel:
    given = AN_ANALYSIS | {"codebase_id": codebase_id} | fields
    async with database.transaction() as session:
        return await create_codebase_analysis(session, checked(CodebaseAnalysisCreate, given))


async def add_element(database: Database, codebase_id: UUID, **fields: Any) -> CodebaseMetadataModel:
    given = AN_ELEMENT | {"codebase_id": codebase_id} | fields
    async with database.transaction() as session:
        return await create_codebase_metadata(session, checked(CodebaseMetadataCreate, given))


def commit(number: int) -> str:
    return f"{number:040x}"


async def test_a_codebase_is_called_after_its_repository_and_commit(database: Database) -> None:
    made = await add(database, included_paths=["src"], languages={"python": 3}, metadata={"a": None})

    async with database.reading() as session:
        codebase = await store.get_codebase(session, made.id)

    assert codebase is not None
    row = json.loads(json.dumps(codebase.to_dict()))
    assert row == json.loads(json.dumps(made.to_dict()))
    assert (row["name"], row["branch"], row["status"]) == ("cashbox@4d1c2b3a4d", "main", "pending")
    assert (row["total_files"], row["included_paths"], row["metadata"]) == (0, ["src"], {"a": None})


async def test_a_commit_id_is_the_same_in_upper_case(database: Database) -> None:
    await add(database)

    with pytest.raises(ConflictError, match=f"the commit {COMMIT} of https://github.com/acme/cashbox.git is stored"):
        await add(database, commit_sha=COMMIT.upper())
    assert (await add(database, repository_url="git@github.com:acme/cashbox.git")).commit_sha == COMMIT


async def test_of_20_who_store_the_same_commit_at_once_one_does(database: Database) -> None:
    ready = asyncio.Barrier(20)

    async def create() -> str:
        await ready.wait()
        try:
            await add(database)
        except ConflictError as error:
            return error.message
        return "made"

    answers = sorted(await asyncio.gather(*(create() for _ in range(20))), key=len)

    assert answers[0] == "made"
    assert len(set(answers[1:])) == 1
    assert answers[1].startswith("repository_url, commit_sha: the commit")
    async with database.reading() as session:
        assert len((await store.page_codebases(session, limit=10)).rows) == 1


async def test_a_change_touches_what_is_given_and_nothing_else(database: Database) -> None:
    made = await add(database, excluded_paths=["build"], analysis_config={"deep": 1})
    async with database.transaction() as session:
        project = ProjectModel(id=uuid4(), name="Cashbox", slug="cashbox")
        session.add(project)

    async with database.transaction() as session:
        given = {
            "status": "completed",
            "project_id": project.id,
            "primary_language": "python",
            "analysis_config": {"deep": True},
            "analysis_completed_at": NOON,
        }
        changed = await update_codebase(session, made.id, checked(CodebaseUpdate, given))
        with pytest.raises(InvalidInputError, match=f"project_id: there is no {NOBODY}"):
            await update_codebase(session, made.id, checked(CodebaseUpdate, {"project_id": NOBODY}))

    async with database.reading() as session:
        stored = await store.get_codebase(session, made.id)
    assert stored is not None
    assert changed is not None
    assert stored.to_dict() == changed.to_dict()
    assert (stored.status, stored.project_id) == (CodebaseStatus.COMPLETED, project.id)
    assert (stored.excluded_paths, stored.analysis_completed_at) == (["build"], NOON)
    assert stored.analysis_config is not None
    assert stored.analysis_config["deep"] is True


async def test_a_codebase_is_removed_with_its_analyses_and_elements(database: Database) -> None:
    made = await add(database)
    analysis, element = await add_analysis(database, made.id), await add_element(database, made.id)

    async with database.transaction() as session:
        assert await delete_codebase(session, made.id)
        assert not await delete_codebase(session, made.id)
        assert await update_codebase(session, made.id, checked(CodebaseUpdate, {"name": "x"})) is None

    async with database.reading() as session:
        assert await store.get_codebase(session, made.id) is None
        assert await store.get_codebase_analysis(session, analysis.id) is None
        assert await store.get_codebase_metadata(session, element.id) is None


async def test_what_a_codebase_refers_to_has_to_exist(database: Database) -> None:
    with pytest.raises(InvalidInputError, match=f"project_id: there is no {NOBODY}"):
        await add(database, project_id=NOBODY)
    for create in (add_analysis, add_element):
        with pytest.raises(InvalidInputError, match=f"codebase_id: there is no {NOBODY}"):
            await create(database, NOBODY)


async def test_analyses_and_elements_are_stored_as_they_were_given(database: Database) -> None:
    made = await add(database)
    analysis = await add_analysis(database, made.id, results={"found": []}, completed_at=NOON, test_coverage=87.5)
    element = await add_element(
        database, made.id, content={"doc": None}, start_line=3, end_line=3, dependencies=["a", 1]
    )

    async with database.reading() as session:
        stored = await store.get_codebase_analysis(session, analysis.id)
        stored_element = await store.get_codebase_metadata(session, element.id)

    assert stored is not None
    assert stored_element is not None
    assert stored.to_dict() == analysis.to_dict()
    assert (stored.name, stored.status, stored.started_at) == ("bandit", CodebaseStatus.COMPLETED, NOON)
    assert stored_element.to_dict() == element.to_dict()
    assert (stored_element.name, stored_element.dependencies) == ("count", ["a", 1])


async def test_pages_go_on_where_the_last_ended_though_codebases_are_added(database: Database) -> None:
    made = [await add(database, commit_sha=commit(number)) for number in range(5)]

    async def read(cursor: str | None) -> Page[CodebaseModel]:
        async with database.reading() as session:
            return await store.page_codebases(session, limit=2, cursor=cursor, status=CodebaseStatus.PENDING)

    first = await read(None)
    await add(database)
    second = await read(first.next_cursor)
    third = await read(second.next_cursor)

    seen = [row.id for found in (first, second, third) for row in found.rows]
    assert seen == [row.id for row in reversed(made)]
    assert third.next_cursor is None


async def test_rows_are_listed_by_what_they_are_of(database: Database) -> None:
    async with database.transaction() as session:
        project = ProjectModel(id=uuid4(), name="Cashbox", slug="cashbox")
        session.add(project)
    made, other = await add(database, project_id=project.id), await add(database, commit_sha=commit(1))
    await add_analysis(database, made.id)
    for file_path, element_name in (("a.py", "count"), ("a.py", "add"), ("b.py", "count")):
        await add_element(database, made.id, file_path=file_path, element_name=element_name)

    async with database.reading() as session:
        codebases = await store.page_codebases(session, limit=9, project_id=project.id)
        analyses = await store.page_analyses(session, limit=9, codebase_id=made.id)
        none = await store.page_analyses(session, limit=9, codebase_id=other.id)
        found = [
            await store.page_metadata(session, limit=9, codebase_id=made.id, **filters)
            for filters in ({}, {"file_path": "a.py"}, {"element_name": "count"}, {"file_path": "c.py"})
        ]
        with pytest.raises(InvalidInputError, match="cursor"):
            await store.page_metadata(session, limit=9, codebase_id=made.id, cursor="x")

    assert (len(codebases.rows), len(analyses.rows), len(none.rows)) == (1, 1, 0)
    assert [len(page.rows) for page in found] == [3, 2, 2, 0]


def test_latest_is_not_a_commit() -> None:
    with pytest.raises(InvalidInputError, match="commit_sha: is a moving name; a codebase is of one commit"):
        checked(CodebaseCreate, A_CODEBASE | {"commit_sha": "latest"})


ANY_ROW: list[tuple[dict[str, Any], str]] = [
    ({"nmae": "x"}, "nmae"),
    ({"name": "x" * 501}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"description": "\udc00"}, "description"),
    ({"tags": ["x" * 201]}, "tags.0"),
    ({"metadata": {"a": 2**63}}, "metadata"),
]
KEY: list[tuple[dict[str, Any], str]] = [
    ({"repository_url": "cashbox"}, "repository_url"),
    ({"repository_url": "https://token@github.com/acme/cashbox.git"}, "repository_url"),
    ({"commit_sha": "main"}, "commit_sha"),
    ({"commit_sha": "4d1c2b3"}, "commit_sha"),
    ({"commit_sha": None}, "commit_sha"),
    ({"commit_sha": 5}, "commit_sha"),
    ({"commit_sha": f"{COMMIT}\n"}, "commit_sha"),
]
CODEBASE: list[tuple[dict[str, Any], str]] = [
    ({"branch": None}, "branch"),
    ({"branch": "a b"}, "branch"),
    ({"status": "done"}, "status"),
    ({"status": None}, "status"),
    ({"included_paths": "src"}, "included_paths"),
    ({"excluded_paths": ["\ud83d"]}, "excluded_paths.0"),
    ({"excluded_paths": ["x"] * 1_001}, "excluded_paths"),
    ({"languages": {"python": 2**64}}, "languages"),
    ({"analysis_started_at": 5}, "analysis_started_at"),
    ({"analysis_duration_seconds": -1}, "analysis_duration_seconds"),
    ({"analysis_duration_seconds": float("inf")}, "analysis_duration_seconds"),
    ({"project_id": "cashbox"}, "project_id"),
    ({"total_files": 1}, "total_files"),
    ({"total_lines": 1}, "total_lines"),
]
ANALYSIS: list[tuple[dict[str, Any], str]] = [
    ({"codebase_id": "x"}, "codebase_id"),
    ({"analysis_type": "guess"}, "analysis_type"),
    ({"analyzer_name": ""}, "analyzer_name"),
    ({"results": None}, "results"),
    ({"results": [1]}, "results"),
    ({"files_analyzed": -1}, "files_analyzed"),
    ({"issues_found": 2**31}, "issues_found"),
    ({"test_coverage": 101}, "test_coverage"),
    ({"analysis_duration_seconds": None}, "analysis_duration_seconds"),
    ({"started_at": "2026-11-22T12:00:00Z", "completed_at": "2026-11-22T11:00:00Z"}, "completed_at"),
    ({"error_message": "\0"}, "error_message"),
]
ELEMENT: list[tuple[dict[str, Any], str]] = [
    ({"metadata_type": None}, "metadata_type"),
    ({"file_path": ""}, "file_path"),
    ({"file_path": "/etc/passwd"}, "file_path"),
    ({"file_path": "src/../../x"}, "file_path"),
    ({"element_name": "\ud83d"}, "element_name"),
    ({"start_line": -1}, "start_line"),
    ({"start_line": 2**63}, "start_line"),
    ({"start_line": 5, "end_line": 4}, "end_line"),
    ({"content": None}, "content"),
    ({"dependents": {"a": 1}}, "dependents"),
]


@pytest.mark.parametrize(
    ("model", "valid", "bad", "field"),
    [
        *((CodebaseCreate, A_CODEBASE, bad, field) for bad, field in ANY_ROW + KEY + CODEBASE),
        *((CodebaseUpdate, {}, bad, field) for bad, field in [*ANY_ROW, *CODEBASE, ({"name": None}, "name")]),
        *((CodebaseAnalysisCreate, AN_ANALYSIS, bad, field) for bad, field in ANY_ROW + ANALYSIS),
        *((CodebaseMetadataCreate, AN_ELEMENT, bad, field) for bad, field in ANY_ROW + ELEMENT),
        (CodebaseUpdate, {}, {"commit_sha": COMMIT}, "commit_sha"),
        (CodebaseUpdate, {}, {"repository_url": A_CODEBASE["repository_url"]}, "repository_url"),
        (CodebaseCreate, {"commit_sha": COMMIT}, {}, "repository_url"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(
    model: type[RowInput], valid: dict[str, Any], bad: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        checked(model, valid | bad)

    assert set(caught.value.fields) == {field}
