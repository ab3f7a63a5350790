"""The OpenAPI document: stable names, and a copy in the repository that says the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import contexten.server
from contexten.server.openapi import openapi_text

COPY = Path(contexten.server.__file__).parents[2] / "docs" / "reference" / "openapi.json"


@pytest.fixture(scope="module")
def text() -> str:
    return openapi_text()


@pytest.fixture(scope="module")
def operations(text: str) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in json.loads(text)["paths"].items()
        for method, operation in methods.items()
    }


def test_the_copy_in_the_repository_is_the_applications_document(text: str) -> None:
    assert COPY.read_text("utf-8") == text, "run `python -m contexten.server.openapi > docs/reference/openapi.json`"


def test_every_operation_has_a_name_of_its_own(operations: dict[str, dict[str, Any]]) -> None:
    names = [operation["operationId"] for operation in operations.values()]
    assert sorted(set(names)) == sorted(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)


def test_names_that_scripts_rely_on(operations: dict[str, dict[str, Any]]) -> None:
    wanted = {
        "GET /health": "health",
        "GET /api/system/status": "get_system_status",
        "GET /api/performance/metrics": "get_performance_metrics",
        "GET /api/performance/report": "get_performance_report",
        "GET /api/errors/statistics": "get_error_statistics",
        "GET /api/tasks": "list_tasks",
        "POST /api/tasks": "create_task",
        "PATCH /api/tasks/{task_id}": "update_task",
        "POST /api/projects": "create_project",
    }
    assert {route: operations[route]["operationId"] for route in wanted} == wanted


def test_every_operation_of_the_api_says_how_it_answers(operations: dict[str, dict[str, Any]]) -> None:
    for route, operation in operations.items():
        if " /api/" not in route:
            continue
        assert operation["security"] == [{"token": []}], route
        assert operation["description"], route
        assert set(operation["responses"]) >= {"4XX", "5XX"}, route
        (success,) = set(operation["responses"]) - {"4XX", "5XX"}
        if success != "204":
            (media_type,) = operation["responses"][success]["content"].values()
            assert media_type["schema"], route


def test_every_list_has_the_same_shape(text: str) -> None:
    schemas = json.loads(text)["components"]["schemas"]
    lists = [schema for name, schema in schemas.items() if name.endswith("List")]
    assert len(lists) > 15
    assert all(set(schema["properties"]) == {"items", "next_cursor"} for schema in lists)


def test_nobody_is_told_the_digest_of_a_token(text: str) -> None:
    schemas = json.loads(text)["components"]["schemas"]
    told = {name: schema["properties"] for name, schema in schemas.items() if "AccessToken" in name}
    assert told
    assert not any("digest" in properties for properties in told.values())
