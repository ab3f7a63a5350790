import asyncio
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from contexten_core.db import Database, migrate
from contexten_core.errors import ConfigurationError, ErrorCategory, ErrorSeverity, RecoverableError, store
from contexten_core.errors.handler import ErrorHandler
from contexten_core.errors.models import ErrorModel
from contexten_core.settings import DatabaseConfig, Settings

TALKING = "Connection timeout talking to api.github.com"
LOGGER = "contexten_core.errors.handler"


@pytest.fixture
def settings(database_config: DatabaseConfig) -> Settings:
    return Settings(db=database_config, api_retry_delay_seconds=0.001, api_retry_attempts=3)


@pytest.fixture
def handler(database: Database, settings: Settings) -> ErrorHandler:
    return ErrorHandler(database, settings=settings)


async def _row(database: Database, error_id: str) -> ErrorModel:
    async with database.reading() as session:
        row = await store.get(session, error_id)
    assert row is not None
    return row


async def test_the_answer_has_the_documented_shape(handler: ErrorHandler) -> None:
    answer = await handler.handle_error(ValueError("no"), {"task": 7})

    assert re.fullmatch(r"err_\d{8}_\d{6}_\d+", answer.pop("error_id"))
    assert answer == {
        "category": ErrorCategory.VALIDATION,
        "severity": ErrorSeverity.LOW,
        "recoverable": False,
        "recovery_attempted": False,
        "recovery_successful": False,
        "recovery_details": None,
    }


async def test_it_works_without_a_database() -> None:
    handler = ErrorHandler(history_size=3)

    for number in range(5):
        await handler.handle_error(KeyError(number))

    assert [one["message"] for one in handler.error_history] == ["2", "3", "4"]
    assert handler.error_patterns == {"validation:KeyError": 5}
    assert handler.get_error_statistics()["total_errors"] == 5


async def test_an_error_is_kept_with_its_context_and_traceback_but_no_secret(
    handler: ErrorHandler, database: Database
) -> None:
    def fail() -> None:
        raise RuntimeError("refused https://mona:hunter2@acme.example with password=hunter2")

    try:
        fail()
    except RuntimeError as error:
        error_id = await handler.record(
            error, context={"step": "report", "api_token": "hunter2", "headers": {"Authorization": "hunter2"}}
        )
    row = await _row(database, error_id)

    assert row.context == {"step": "report", "api_token": "[redacted]", "headers": {"Authorization": "[redacted]"}}
    assert row.traceback is not None
    assert "in fail" in row.traceback
    assert "hunter2" not in f"{row.to_dict()}"


async def test_the_component_is_the_calls_the_contexts_or_the_handlers(database: Database, settings: Settings) -> None:
    handler = ErrorHandler(database, settings=settings, component="worker")

    ids = [
        await handler.record(ValueError()),
        await handler.record(ValueError(), context={"component": "outbox"}),
        await handler.record(ValueError(), context={"component": "outbox"}, component="slack"),
    ]

    assert [(await _row(database, error_id)).component for error_id in ids] == ["worker", "outbox", "slack"]


async def test_fifty_at_once_lose_nothing(handler: ErrorHandler, database: Database, settings: Settings) -> None:
    other = ErrorHandler(database, settings=settings)
    errors = [ValueError("x"), KeyError("x"), TypeError("x")]

    async def handle(number: int) -> str:
        handled = await (other if number % 2 else handler).handle_error(errors[number % 3])
        error_id: str = handled["error_id"]
        return error_id

    ids = await asyncio.gather(*(handle(number) for number in range(50)))

    assert len(set(ids)) == 50
    statistics = await handler.read_statistics()
    assert statistics["total_errors"] == 50
    assert sum(statistics["error_patterns"].values()) == 50
    assert sum(statistics["severities"].values()) == 50


class Flaky:
    """Fails once, then answers."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls == 1:
            raise httpx.ReadTimeout("still away")
        return "secret answer"


async def test_recovered_means_that_the_operation_succeeded(handler: ErrorHandler, database: Database) -> None:
    operation = Flaky()

    answer = await handler.handle_error(RuntimeError(TALKING), {"operation": operation, "step": "report"})
    row = await _row(database, answer["error_id"])

    assert answer["category"] is ErrorCategory.EXTERNAL_SERVICE
    assert (answer["recovery_attempted"], answer["recovery_successful"], operation.calls) == (True, True, 2)
    assert answer["recovery_details"]["result"] == "secret answer"
    assert answer["recovery_details"]["strategy"] == "api_timeout"
    assert (row.recovery_attempted, row.recovery_successful) == (True, True)
    assert row.recovery_details is not None
    assert set(row.recovery_details) == {"success", "strategy", "attempts", "action"}
    assert "secret answer" not in f"{row.to_dict()}{handler.error_history}"


async def test_no_recovery_is_tried_when_none_is_wanted(handler: ErrorHandler) -> None:
    operation = Flaky()

    answer = await handler.handle_error(RuntimeError(TALKING), {"operation": operation}, attempt_recovery=False)

    assert (answer["recovery_attempted"], answer["recoverable"], operation.calls) == (False, True, 0)


async def test_a_registered_strategy_is_used_by_its_name(handler: ErrorHandler) -> None:
    async def warm_up(error: BaseException, context: dict[str, Any]) -> dict[str, Any]:
        return {"success": True, "strategy": "warm_up", "action": f"warmed up attempt {context['recovery_attempt']}"}

    handler.register_recovery_strategy("warm_up", warm_up)
    answer = await handler.handle_error(RecoverableError("cold", recovery_action="warm_up"), {"operation": dict})

    assert set(handler.recovery_strategies) == {
        "api_timeout",
        "database_connection",
        "memory_limit",
        "rate_limit",
        "warm_up",
    }
    assert answer["recovery_details"] == {
        "success": True,
        "strategy": "warm_up",
        "attempts": 1,
        "action": "warmed up attempt 1",
        "result": {},
    }


def test_what_is_no_strategy_cannot_be_registered(handler: ErrorHandler) -> None:
    with pytest.raises(ConfigurationError):
        handler.register_recovery_strategy("three", lambda one, two, three: None)


async def test_a_lost_connection_recovers_when_the_database_answers(handler: ErrorHandler, database: Database) -> None:
    async with database.reading() as session:
        await session.execute(text("SELECT 1"))
    before = database.engine.pool
    error = OperationalError("SELECT 1", {}, Exception("server closed the connection"))

    answer = await handler.handle_error(error, {"operation": database.ping})

    assert answer["recovery_successful"]
    assert answer["recovery_details"]["strategy"] == "database_connection"
    assert answer["recovery_details"]["action"] == "the database answers"
    assert database.engine.pool is before


@pytest.mark.parametrize("named", [{}, {"recovery_strategy": "database_connection"}])
async def test_the_pool_survives_trouble_with_a_service(
    handler: ErrorHandler, database: Database, named: dict[str, str]
) -> None:
    before = database.engine.pool

    async with database.reading() as session:
        answer = await handler.handle_error(RuntimeError(TALKING), named)
        assert (await session.execute(text("SELECT 7"))).scalar_one() == 7

    assert answer["category"] is ErrorCategory.EXTERNAL_SERVICE
    assert not answer["recovery_successful"]
    assert database.engine.pool is before


@pytest.fixture
async def unready(tmp_path: Path) -> AsyncIterator[Database]:
    """A database that has no tables yet."""
    database = Database(DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "later.db"))
    yield database
    await database.close()


async def test_errors_wait_for_a_database_that_is_away(
    unready: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handler = ErrorHandler(unready)
    with caplog.at_level(logging.INFO, logger=LOGGER):
        ids = [await handler.record(ValueError(str(number))) for number in range(3)]
        assert sum("cannot be stored now" in line.getMessage() for line in caplog.records) == 1
        await asyncio.to_thread(migrate.upgrade, DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "later.db"))
        ids.append(await handler.record(ValueError("3")))

    statistics = await handler.read_statistics()
    assert statistics["total_errors"] == 4
    assert [one["error_id"] for one in statistics["recent_errors"]] == ids
    assert "3 errors that had waited for the database are stored" in caplog.text


async def test_errors_do_not_wait_long_for_a_database_that_hangs(
    handler: ErrorHandler, database: Database, database_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contexten_core.errors.handler._STORE_SECONDS", 0.2)
    other = Database(database_config)
    try:
        async with other.transaction() as session:
            if not other.is_sqlite:
                await session.execute(text("LOCK TABLE errors IN ACCESS EXCLUSIVE MODE"))
            async with asyncio.timeout(20):
                await handler.record(ValueError("while it hangs"))
    finally:
        await other.close()
    monkeypatch.undo()
    await handler.record(ValueError("afterwards"))

    recent = (await handler.read_statistics())["recent_errors"]
    assert [one["message"] for one in recent] == ["while it hangs", "afterwards"]


async def test_an_error_whose_handling_is_cancelled_is_not_lost(handler: ErrorHandler) -> None:
    began = asyncio.Event()

    async def hang() -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(handler.handle_error(TimeoutError(), {"operation": hang}))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await handler.record(ValueError())

    assert (await handler.read_statistics())["error_patterns"] == {
        "performance:TimeoutError": 1,
        "validation:ValueError": 1,
    }


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ValueError("two\nlines"), logging.INFO),
        (RuntimeError(TALKING), logging.WARNING),
        (PermissionError("no"), logging.ERROR),
        (MemoryError(), logging.CRITICAL),
    ],
    ids=["low", "medium", "high", "critical"],
)
async def test_every_error_is_one_line_of_the_log(
    error: Exception, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger=LOGGER):
        answer = await ErrorHandler().handle_error(error, attempt_recovery=False)

    (line,) = caplog.records
    told = vars(line)
    assert line.levelno == level
    assert "\n" not in line.getMessage()
    assert (told["error_id"], told["category"], told["severity"]) == (
        answer["error_id"],
        answer["category"],
        answer["severity"],
    )
    assert f"error_id={answer['error_id']} category={answer['category']}" in line.getMessage()


class HostileError(TimeoutError):
    @property
    def response(self) -> None:
        raise RuntimeError("no")

    retry_after = response


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "context"),
    [
        (MuteError(), None),
        (HostileError(), {}),
        (ValueError("a\x00b\ud800"), {"text": "\x00\ud800", "number": 10**400, "nan": float("nan")}),
        (
            ValueError("x" * 1_000_000),
            {"deep": [[[[[[[[[["x"]]]]]]]]]], "wide": dict.fromkeys(range(10_000), "x" * 100)},
        ),
        (ValueError(), "not a mapping"),
        (ValueError(), {"operation": "create_task", "recovery_strategy": 7, "component": 7}),
        (type("É" * 5_000, (Exception,), {})(), {}),
        (KeyboardInterrupt(), {}),
        (ExceptionGroup("g", [ValueError(), TimeoutError()]), {}),
    ],
    ids=["mute", "hostile", "unstorable", "huge", "no mapping", "odd types", "long name", "interrupt", "group"],
)
async def test_whatever_comes_is_kept(
    handler: ErrorHandler, database: Database, error: BaseException, context: Any
) -> None:
    answer = await handler.handle_error(error, context)

    row = await _row(database, answer["error_id"])
    assert len(row.message) <= 4_000
    assert len(f"{row.context}") < 1_000_000
