"""The application against its OpenAPI document: requests made from it, right and wrong, find no mistake of ours."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from contexten.server.app import create_app
from contexten.server.openapi import openapi_text
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.security.tokens import create_token
from contexten_core.settings import DatabaseConfig, Settings
from tests.component.server.test_nouns import NOUNS, make

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 15
SCHEMA = schemathesis.openapi.from_dict(json.loads(openapi_text()))
Operation = APIOperation[Any, Any, Any, Any]
OPERATIONS: dict[str, Operation] = {
    f"{operation.method.upper()} {operation.path}": operation
    for operation in (result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok))
    if not operation.path.endswith("/events") or operation.path.startswith("/api/")
}


class Server:
    """The application in an event loop of its own, with one row of each noun."""

    def __init__(self, runner: asyncio.Runner, folder: Path) -> None:
        self._runner = runner
        database = DatabaseConfig(use_sqlite=True, sqlite_path=folder / "contexten.db")
        self.orchestrator = SystemOrchestrator(Settings(home=folder, db=database, response_timeout_seconds=60))
        runner.run(self.orchestrator.initialize())
        app = create_app(self.orchestrator, lifespan=None)
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://localhost",
            headers={"Authorization": f"Bearer {runner.run(self._token())}"},
        )
        self.ids = [row["id"] for row in runner.run(self._rows())]

    async def _token(self) -> str:
        async with self.orchestrator.database.transaction() as session:
            return await create_token(session, "tests")

    async def _rows(self) -> list[dict[str, Any]]:
        return [await make(self._client, noun) for noun in NOUNS.values()]

    def ask(self, case: Case[Any]) -> httpx.Response:
        request = case.as_transport_kwargs(base_url="http://localhost")
        request.pop("cookies", None)
        content = request.pop("data", None)
        headers = {name: value for name, value in request.pop("headers").items() if name.lower() != "authorization"}
        return self._runner.run(self._client.request(**request, content=content, headers=headers))

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.run(self.orchestrator.shutdown())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with asyncio.Runner() as runner:
        server = Server(runner, tmp_path_factory.mktemp("server"))
        yield server
        server.close()


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_every_answer_is_one_that_the_document_knows(server: Server, operation: Operation) -> None:
    right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    known = st.none() | st.sampled_from(server.ids)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=right | wrong if takes_anything(operation) else right, known=known)
    def ask(case: Case[Any], known: str | None) -> None:
        if known is not None:
            case.path_parameters = dict.fromkeys(case.path_parameters or {}, known)
        case.validate_response(server.ask(case), checks=CHECKS)

    ask()


def takes_anything(operation: Operation) -> bool:
    return bool(list(operation.iter_parameters()) or operation.body)
