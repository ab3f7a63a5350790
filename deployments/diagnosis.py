"""Look at everything a stack needs, and say for each what is wrong and what helps."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version

from sqlalchemy.exc import SQLAlchemyError

from contexten_core.db import Database, migrate
from contexten_core.errors import ContextenError
from contexten_core.execution.sandbox import SandboxLevel, find_sandbox
from contexten_core.settings import DatabaseKind, Settings
from deployments.attach import attached, running_state
from deployments.postgres_binaries import find_binaries
from deployments.prefect_server import USUAL_PORT, health_check

_OLDEST_GIT = (2, 31)
_GIT_SECONDS = 10


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. A problem keeps the main job from working; a warning does not."""

    subject: str
    level: Level
    message: str
    hint: str | None = None


async def diagnose(settings: Settings) -> AsyncIterator[Finding]:
    """Yield a finding for each part, in the order that the parts build on each other. Changes nothing."""
    running = running_state(settings) is not None
    yield _versions()
    yield _home(settings)
    for finding in _ports(settings, running=running):
        yield finding
    yield await _database(settings, running=running)
    yield await _prefect(settings, running=running)
    yield _git()
    yield _sandbox()
    yield _github(settings)


def _versions() -> Finding:
    python = ".".join(map(str, sys.version_info[:3]))
    parts = ", ".join(f"{name} {version(name)}" for name in ("contexten", "prefect", "sqlalchemy"))
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("versions", Level.PROBLEM, f"Python {python}, {parts}", "use Python 3.11, 3.12 or 3.13")
    return Finding("versions", Level.OK, f"Python {python}, {parts}")


def _home(settings: Settings) -> Finding:
    home = settings.home.absolute()
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding("home", Level.PROBLEM, f"{home} cannot be written to", "set CONTEXTEN_HOME to a folder of yours")
    free = shutil.disk_usage(existing).free / 1e9
    return Finding("home", Level.OK, f"{home}, {free:.0f} GB free")


def _ports(settings: Settings, *, running: bool) -> list[Finding]:
    if running:
        return [Finding("ports", Level.OK, "a stack runs on this home")]
    wanted = [("web", settings.api_port)]
    if settings.prefect_api_url is None:
        wanted.append(("Prefect", USUAL_PORT))
    return [_port(name, port) for name, port in wanted]


def _port(name: str, port: int) -> Finding:
    with socket.socket() as probe:
        probe.settimeout(1)
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if taken:
        return Finding(f"port {port}", Level.WARNING, f"taken; {name} will get another one", "`serve` prints which")
    return Finding(f"port {port}", Level.OK, f"free for {name}")


async def _database(settings: Settings, *, running: bool) -> Finding:
    kind = settings.db.kind
    if kind is DatabaseKind.EMBEDDED and not running:
        try:
            where = find_binaries(settings.postgres_bin)
        except ContextenError as error:
            return Finding("database", Level.PROBLEM, error.message, error.hint)
        return Finding("database", Level.OK, f"embedded PostgreSQL, starts with the stack ({where})")
    try:
        config = attached(settings).db
        database = Database(config)
        try:
            await database.ping()
        finally:
            await database.close()
        revision, newest = migrate.current_revision(config), migrate.newest_revision()
    except ContextenError as error:
        return Finding("database", Level.PROBLEM, error.message, error.hint)
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        return Finding("database", Level.PROBLEM, f"{kind} does not answer: {reason}", "check DB_HOST or DATABASE_URL")
    if revision != newest:
        return Finding(
            "database", Level.WARNING, f"{kind} at revision {revision}, newest is {newest}", "`serve` migrates it"
        )
    return Finding("database", Level.OK, f"{kind} at revision {revision}")


async def _prefect(settings: Settings, *, running: bool) -> Finding:
    if settings.prefect_api_url is None and not running:
        return Finding("prefect", Level.OK, "our own server, starts with the stack")
    url = attached(settings).prefect_api_url
    assert url is not None
    if await health_check(url)():
        return Finding("prefect", Level.OK, f"{url} answers")
    return Finding("prefect", Level.PROBLEM, f"{url} does not answer", "check PREFECT_API_URL, or unset it")


def _git() -> Finding:
    program = shutil.which("git")
    if program is None:
        return Finding("git", Level.PROBLEM, "git is not installed", "install git 2.31 or newer")
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)
    words = answer.stdout.split()
    number = words[2] if len(words) > 2 else "unknown"  # noqa: PLR2004 - "git version 2.39.5"
    parts = tuple(int(part) for part in number.split(".")[:2] if part.isdigit())
    if parts < _OLDEST_GIT:
        return Finding("git", Level.PROBLEM, f"git {number} is too old", "install git 2.31 or newer")
    return Finding("git", Level.OK, f"git {number}")


def _sandbox() -> Finding:
    found = find_sandbox()
    if found.level is SandboxLevel.NONE:
        return Finding(
            "sandbox",
            Level.WARNING,
            f"commands run as this account, with limits but without a sandbox: {found.reason}",
            f"{found.hint}; until then add only repositories whose code you would run yourself",
        )
    return Finding(
        "sandbox",
        Level.OK,
        f"{found.level} works: commands see their checkout, a read-only system, and the hosts that a prompt allows",
    )


def _github(settings: Settings) -> Finding:
    secrets = "its webhook secret is configured" if settings.github_webhook_secrets else "a webhook secret is generated"
    if settings.github_token is None:
        return Finding(
            "github",
            Level.WARNING,
            f"{secrets}; without a token no status appears at GitHub",
            "set GITHUB_ACCESS_TOKEN (`statuses: write`, `contents: read`)",
        )
    return Finding("github", Level.OK, f"{secrets}, and so is a token; statuses go to {settings.github_api_url}")
