"""Access tokens: made once, kept as digests, expired and revoked."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from contexten.cli.tokens import app as command
from contexten_core.db import Database, migrate, utc_now
from contexten_core.errors import ConflictError, InvalidInputError
from contexten_core.security.models import AccessTokenModel
from contexten_core.security.tokens import create_token, ensure_admin_token, revoke_token, verify_token
from contexten_core.settings import DatabaseConfig, get_settings

FORM = r"ctx_[A-Za-z0-9_-]{43}"


async def test_only_the_digest_is_kept(database: Database) -> None:
    async with database.transaction() as session:
        token = await create_token(session, "ci")
    async with database.reading() as session:
        (row,) = (await session.execute(select(AccessTokenModel))).scalars()
        assert row.digest == sha256(token.encode()).hexdigest()
        assert token not in json.dumps(row.to_dict())
        verified = await verify_token(session, token)
    assert verified is not None
    assert (verified.name, verified.role) == ("ci", "admin")


async def test_the_admin_token_is_made_once_ever_by_whoever_is_first(database: Database) -> None:
    async def ensure() -> str | None:
        async with database.transaction() as session:
            return await ensure_admin_token(session)

    made = [token for token in await asyncio.gather(*(ensure() for _ in range(5))) if token is not None]
    assert len(made) == 1
    async with database.transaction() as session:
        assert await verify_token(session, made[0]) is not None
        assert await revoke_token(session, "admin")
    assert await ensure() is None


async def test_a_token_ends_when_it_expires_or_is_revoked(database: Database) -> None:
    async with database.transaction() as session:
        lasting = await create_token(session, "lasting", expires_at=utc_now() + timedelta(hours=1))
        token = await create_token(session, "revoked")
        assert await verify_token(session, token) is not None
        assert await revoke_token(session, "revoked")
        assert await revoke_token(session, "revoked")
        assert not await revoke_token(session, "nobody")
        assert await verify_token(session, token) is None
        row = await verify_token(session, lasting)
        assert row is not None
        row.expires_at = utc_now()
        await session.flush()
        assert await verify_token(session, lasting) is None


async def test_a_name_is_given_once_and_a_token_ends_in_the_future(database: Database) -> None:
    async with database.transaction() as session:
        await create_token(session, "ci")
        with pytest.raises(ConflictError, match="a token named 'ci'"):
            await create_token(session, "ci")
        for wrong in ("", "x" * 201, "a\0b"):
            with pytest.raises(InvalidInputError) as caught:
                await create_token(session, wrong)
            assert set(caught.value.fields) == {"name"}
        with pytest.raises(InvalidInputError, match="expires_at: has passed"):
            await create_token(session, "late", expires_at=utc_now())


async def test_tokens_over_http(client: httpx.AsyncClient) -> None:
    made = await client.post("/api/tokens", json={"name": "ci"})
    assert made.status_code == 201
    token, token_id = made.json()["token"], made.json()["id"]
    assert made.headers["cache-control"] == "no-store"
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await client.post("/api/projects", json={"name": "Shop"}, headers=bearer)).status_code == 201
    shown = await client.get(f"/api/tokens/{token_id}")
    listed = await client.get("/api/tokens")
    assert [row["name"] for row in listed.json()["items"]] == ["ci", "tests"]
    for answer in (shown, listed):
        assert token not in answer.text
        assert "digest" not in answer.text
    assert (await client.post("/api/tokens", json={"name": "ci"})).status_code == 409
    assert (await client.delete(f"/api/tokens/{token_id}")).status_code == 204
    assert (await client.get("/api/tasks", headers=bearer)).status_code == 401
    assert (await client.get(f"/api/tokens/{token_id}")).json()["revoked_at"] is not None


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabaseConfig]:
    """A home with a database, found as the command line finds it."""
    config = DatabaseConfig(use_sqlite=True, sqlite_path=tmp_path / "contexten.db")
    migrate.upgrade(config)
    monkeypatch.setenv("CONTEXTEN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DB_USE_SQLITE", "true")
    monkeypatch.setenv("DB_SQLITE_PATH", str(config.sqlite_path))
    get_settings.cache_clear()
    yield config
    get_settings.cache_clear()


def test_tokens_on_the_command_line(home: DatabaseConfig) -> None:
    run = CliRunner()
    made = run.invoke(command, ["create", "ci", "--expires-days", "7"])
    assert made.exit_code == 0, made.output
    (token,) = made.stdout.split()
    assert "not shown again" in " ".join(made.stderr.split())
    again = run.invoke(command, ["create", "ci", "--json"])
    assert (again.exit_code, json.loads(again.stderr)["error"]["code"]) == (1, "conflict")
    (line,) = json.loads(run.invoke(command, ["list", "--json"]).stdout)
    assert (line["name"], line["state"], "digest" in line) == ("ci", "active", False)
    assert run.invoke(command, ["revoke", "ci"]).exit_code == 0
    assert run.invoke(command, ["revoke", "nobody"]).exit_code == 1
    listed = run.invoke(command, ["list"]).stdout
    assert "revoked" in listed
    assert token not in listed
