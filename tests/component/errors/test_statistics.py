import asyncio
import sys
from asyncio.subprocess import PIPE
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contexten_core.db import Database
from contexten_core.errors import InvalidInputError, UnavailableError
from contexten_core.errors.handler import ErrorHandler
from contexten_core.errors.store import MOST_PATTERNS
from contexten_core.settings import DatabaseConfig, Settings

TALKING = "Connection timeout talking to api.github.com"

ELSEWHERE = """
import asyncio, sys
from pydantic import SecretStr
from contexten_core.db import Database
from contexten_core.errors.handler import ErrorHandler
from contexten_core.settings import DatabaseConfig, Settings

async def main():
    config = DatabaseConfig(url=SecretStr(sys.stdin.read()))
    database = Database(config)
    handler = ErrorHandler(database, settings=Settings(db=config))
    print(handler.get_error_statistics()["total_errors"])
    await handler.handle_error(KeyError("elsewhere"))
    await database.close()

asyncio.run(main())
"""


@pytest.fixture
def settings(database_config: DatabaseConfig) -> Settings:
    return Settings(db=database_config, api_retry_delay_seconds=0.001)


@pytest.fixture
def handler(database: Database, settings: Settings) -> ErrorHandler:
    return ErrorHandler(database, settings=settings, component="worker")


async def _handle_four(handler: ErrorHandler) -> list[str]:
    errors = [ValueError("first"), ValueError("second"), RuntimeError(TALKING), MemoryError()]
    return [(await handler.handle_error(error))["error_id"] for error in errors]


async def test_before_the_first_error_there_is_only_a_nought(handler: ErrorHandler) -> None:
    assert handler.get_error_statistics() == {"total_errors": 0}
    assert await handler.read_statistics() == {"total_errors": 0}
    assert ErrorHandler().get_error_statistics() == {"total_errors": 0}


@pytest.mark.parametrize("kept_in", ["the database", "memory"])
async def test_the_shape_is_the_same_with_and_without_a_database(
    handler: ErrorHandler, settings: Settings, kept_in: str
) -> None:
    if kept_in == "memory":
        handler = ErrorHandler(settings=settings, component="worker")
    ids = await _handle_four(handler)

    statistics = handler.get_error_statistics()
    recent = statistics.pop("recent_errors")

    assert statistics == {
        "total_errors": 4,
        "categories": {"validation": 2, "external_service": 1, "performance": 1},
        "severities": {"low": 2, "medium": 1, "critical": 1},
        "recoverable_percentage": 50.0,
        "error_patterns": {
            "validation:ValueError": 2,
            "external_service:RuntimeError": 1,
            "performance:MemoryError": 1,
        },
    }
    assert [one["error_id"] for one in recent] == ids
    assert datetime.fromisoformat(recent[0].pop("timestamp")).utcoffset() == timedelta(0)
    assert recent[0] == {
        "error_id": ids[0],
        "category": "validation",
        "severity": "low",
        "error_type": "ValueError",
        "message": "first",
        "component": "worker",
        "recoverable": False,
        "recovery_attempted": False,
        "recovery_successful": False,
        "recovery_details": None,
    }


async def test_blocking_or_not_it_is_the_same(handler: ErrorHandler) -> None:
    await _handle_four(handler)

    assert handler.get_error_statistics() == await handler.read_statistics()


async def test_they_are_the_same_in_every_process_and_after_a_restart(
    handler: ErrorHandler, database_config: DatabaseConfig
) -> None:
    await _handle_four(handler)
    address = database_config.address.render_as_string(hide_password=False)
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", ELSEWHERE, stdin=PIPE, stdout=PIPE)
    answer, _ = await other.communicate(address.encode())

    assert answer == b"4\n"
    statistics = handler.get_error_statistics()
    assert statistics["total_errors"] == 5
    assert statistics["recent_errors"][-1]["message"] == "'elsewhere'"


async def test_the_last_ten_are_shown_and_all_are_counted(handler: ErrorHandler) -> None:
    for number in range(12):
        await handler.record(ValueError(str(number)))

    statistics = await handler.read_statistics()

    assert statistics["total_errors"] == 12
    assert [one["message"] for one in statistics["recent_errors"]] == [str(number) for number in range(2, 12)]


async def test_what_was_deleted_stays_counted(handler: ErrorHandler, settings: Settings) -> None:
    await _handle_four(handler)
    now = datetime.now(UTC)

    assert await handler.prune(now) == 0
    assert await handler.prune(now + timedelta(days=settings.errors_retention_days, hours=1)) == 4

    statistics = await handler.read_statistics()
    assert statistics["total_errors"] == 4
    assert statistics["recent_errors"] == []


async def test_a_database_that_does_not_answer_is_said_to_be_away(tmp_path: Path) -> None:
    away = Database(DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "empty.db"))
    lost = ErrorHandler(away)
    try:
        with pytest.raises(UnavailableError, match="cannot be read"):
            await lost.read_statistics()
        with pytest.raises(UnavailableError, match="cannot be read"):
            lost.get_error_statistics()
    finally:
        await away.close()


async def test_in_memory_the_patterns_are_bounded_and_the_rarest_goes() -> None:
    handler = ErrorHandler()
    await handler.record(InvalidInputError("x", fields={}))
    await handler.record(InvalidInputError("x", fields={}))
    for number in range(MOST_PATTERNS + 5):
        await handler.record(type(f"Error{number}", (Exception,), {})())

    assert len(handler.error_patterns) == MOST_PATTERNS
    assert handler.error_patterns["user_input:InvalidInputError"] == 2
    assert handler.get_error_statistics()["total_errors"] == MOST_PATTERNS + 7
