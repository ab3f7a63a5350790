"""Each noun of the API: created, found again, listed in pages, changed and deleted, on both databases."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest

on_sqlite = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)
MISSING = "3f0c1f1e-6a7b-4c8d-9e0f-1a2b3c4d5e6f"
ENDS_OF_TIME = "MDAwMS0wMS0wMVQwMDowMDowMCsyMzo1OXwzZjBjMWYxZS02YTdiLTRjOGQtOWUwZi0xYTJiM2M0ZDVlNmY"


@dataclass(frozen=True)
class Noun:
    """Where a noun is, what one needs, and what of it may be changed. `{}` in a text becomes something unique."""

    path: str
    given: Mapping[str, Any]
    parents: Mapping[str, str] = field(default_factory=dict)
    change: Mapping[str, Any] | None = None
    deleted: bool = False
    asks_for_parent: bool = False


NOUNS = {
    "project": Noun("projects", {"name": "Shop {}"}, change={"description": "sells"}, deleted=True),
    "repository": Noun(
        "repositories",
        {"provider": "github", "full_name": "acme/shop-{}"},
        {"project_id": "project"},
        change={"is_private": True},
        deleted=True,
    ),
    "task": Noun(
        "tasks",
        {"name": "Fix it", "task_type": "bug_fix", "metadata": {"tëxt": [1, None, "x"]}, "tags": ["a"]},
        {"project_id": "project"},
        change={"status": "in_progress"},
        deleted=True,
    ),
    "prompt": Noun(
        "prompts",
        {"name": "Run {}", "prompt_type": "testing", "template": "Run them.", "executor_config": {"command": "pytest"}},
        change={"priority": 7},
        deleted=True,
    ),
    "template": Noun(
        "prompt-templates",
        {"template_name": "python {}", "content": "Run pytest.", "language": "python"},
        {"prompt_id": "prompt"},
        change={"is_default": True},
        deleted=True,
        asks_for_parent=True,
    ),
    "condition": Noun(
        "prompt-conditions",
        {"field_name": "event.branch", "operator": "in", "expected_value": ["main", "next"]},
        {"prompt_id": "prompt"},
        change={"is_active": False},
        deleted=True,
        asks_for_parent=True,
    ),
    "codebase": Noun(
        "codebases",
        {"repository_url": "https://github.com/acme/shop-{}", "commit_sha": "a" * 40},
        {"project_id": "project"},
        change={"status": "completed"},
        deleted=True,
    ),
    "analysis": Noun(
        "codebase-analyses",
        {
            "analysis_type": "full_scan",
            "analyzer_name": "count",
            "analyzer_version": "1",
            "analysis_duration_seconds": 1.5,
        },
        {"codebase_id": "codebase"},
        asks_for_parent=True,
    ),
    "element": Noun(
        "codebase-metadata",
        {"metadata_type": "function", "file_path": "shop/totals.py", "element_name": "total"},
        {"codebase_id": "codebase"},
        asks_for_parent=True,
    ),
    "event": Noun("events", {"event_type": "deploy_finished", "payload": {"where": "staging"}}),
    "analytics": Noun(
        "analytics",
        {"event_type": "user_interaction", "component": "cli", "operation": "list", "success": True},
        {"project_id": "project"},
    ),
    "analytics event": Noun(
        "analytics-events",
        {"event_name": "click", "event_category": "ui", "event_action": "press"},
        {"analytics_id": "analytics"},
    ),
    "analytics metric": Noun(
        "analytics-metrics",
        {"metric_name": "rows {}", "metric_type": "gauge", "value": 3},
        {"analytics_id": "analytics"},
    ),
    "learning": Noun(
        "learning",
        {"learning_type": "code_quality", "source_component": "review", "data": {"found": "duplication"}},
        {"task_id": "task"},
        change={"status": "analyzed"},
    ),
    "feedback": Noun(
        "feedback",
        {"feedback_type": "positive", "feedback_content": "It helped.", "source_type": "user", "rating": 5},
        {"learning_id": "learning"},
        change={"is_processed": True},
    ),
}


def filled(noun: Noun) -> dict[str, Any]:
    unique = uuid4().hex[:8]
    return {
        name: value.replace("{}", unique) if isinstance(value, str) else value for name, value in noun.given.items()
    }


async def make(client: httpx.AsyncClient, noun: Noun) -> dict[str, Any]:
    parents = {name: (await make(client, NOUNS[parent]))["id"] for name, parent in noun.parents.items()}
    given = filled(noun)
    answer = await client.post(f"/api/{noun.path}", json={**given, **parents})
    assert answer.status_code == 201, answer.text
    row: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/{noun.path}/{row['id']}"
    assert {name: row[name] for name in given if name in row} == {name: given[name] for name in given if name in row}
    return row


@pytest.mark.parametrize("noun", NOUNS.values(), ids=NOUNS)
async def test_a_noun_from_beginning_to_end(client: httpx.AsyncClient, noun: Noun) -> None:
    row = await make(client, noun)
    where = f"/api/{noun.path}/{row['id']}"
    found = (await client.get(where)).json()
    assert {name: found[name] for name in row} == row
    if noun.change is not None:
        changed = await client.patch(where, json=dict(noun.change))
        assert changed.status_code == 200, changed.text
        assert changed.json().items() >= noun.change.items()
        assert (await client.get(where)).json() == changed.json()
    if noun.deleted:
        gone = await client.delete(where)
        assert (gone.status_code, gone.content) == (204, b"")
        assert (await client.get(where)).status_code == 404


@on_sqlite
@pytest.mark.parametrize("noun", NOUNS.values(), ids=NOUNS)
async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient, noun: Noun) -> None:
    where = f"/api/{noun.path}/{MISSING}"
    answers = [await client.get(where)]
    if noun.change is not None:
        answers.append(await client.patch(where, json=dict(noun.change)))
    if noun.deleted:
        answers.append(await client.delete(where))
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), answer.text


@on_sqlite
@pytest.mark.parametrize("noun", [noun for noun in NOUNS.values() if noun.parents], ids=lambda noun: noun.path)
async def test_a_parent_that_is_not_there_is_named(client: httpx.AsyncClient, noun: Noun) -> None:
    answer = await client.post(f"/api/{noun.path}", json=filled(noun) | dict.fromkeys(noun.parents, MISSING))
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == list(noun.parents)


@pytest.mark.parametrize("name", ["project", "task", "condition", "event", "analytics metric", "feedback"])
async def test_a_list_comes_in_pages(client: httpx.AsyncClient, name: str) -> None:
    noun = NOUNS[name]
    parents = {key: (await make(client, NOUNS[parent]))["id"] for key, parent in noun.parents.items()}
    asked = parents if noun.asks_for_parent else {}
    made = [(await client.post(f"/api/{noun.path}", json=filled(noun) | parents)).json()["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2, **asked, **({"cursor": cursor} if cursor else {})}
        page = (await client.get(f"/api/{noun.path}", params=params)).json()
        assert len(page["items"]) <= 2
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [one for one in seen if one in made] == made[::-1]
    assert len(set(seen)) == len(seen)


async def test_filters_narrow_a_list(client: httpx.AsyncClient) -> None:
    for name in ("task", "event", "learning", "prompt"):
        await make(client, NOUNS[name])
    for path, filters in (
        ("tasks", {"status": "in_progress"}),
        ("tasks", {"task_type": "testing"}),
        ("tasks", {"priority": "critical"}),
        ("tasks", {"project_id": MISSING}),
        ("projects", {"status": "archived"}),
        ("events", {"provider": "github"}),
        ("events", {"status": "failed"}),
        ("events", {"event_type": "push"}),
        ("learning", {"learning_type": "error_analysis"}),
        ("prompts", {"category": "none of that"}),
    ):
        assert (await client.get(f"/api/{path}")).json()["items"] != []
        assert (await client.get(f"/api/{path}", params=filters)).json()["items"] == [], f"{path} {filters}"


@on_sqlite
@pytest.mark.parametrize("cursor", ["x", "é", "\0", "MjAyNi0xMS0yMg", "fA", "e30=", ENDS_OF_TIME])
async def test_a_cursor_that_is_none_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await client.get("/api/tasks", params={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "cursor"
