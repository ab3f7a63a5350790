"""The web process as a program that may be killed, and a sender that does not give up."""

import asyncio
import hmac
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path

import httpx
from sqlalchemy import func, select

from contexten_core.db import Database
from contexten_core.events.models import EventModel, EventPayloadModel, EventProvider
from contexten_core.settings import DatabaseConfig

SECRET = "a webhook secret of the tests"
PROGRAM = Path(__file__).with_name("web_program.py")
PATIENCE_SECONDS = 60.0
IS_LONG = "CONTEXTEN_SOAK_SECONDS" in os.environ


class Web:
    """One web process after the other, all at the same port."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.pid = 0
        self._process = process

    async def follow(self) -> None:
        """Keep the process id up to date."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.pid = int(line)

    def kill(self) -> None:
        """`kill -9` the one that serves now, if it has not ended by itself."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


@asynccontextmanager
async def running_web(config: DatabaseConfig, folder: Path) -> AsyncIterator[Web]:
    """Serve webhooks over this database until the block ends."""
    address = config.address.render_as_string(hide_password=False)
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(folder),
        "CONTEXTEN_HOME": str(folder / "home"),
        "DATABASE_URL": address,
        "GITHUB_WEBHOOK_SECRET": SECRET,
        "ENABLE_PERFORMANCE_MONITORING": "false",
    }
    with (folder / "web.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROGRAM),
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        port = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
        assert port, (folder / "web.log").read_text()
        web = Web(process, int(port))
        following = asyncio.create_task(web.follow())
        yield web
        following.cancel()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


class Sender:
    """Sends each delivery until it is acknowledged, as a person would who presses `Redeliver`."""

    def __init__(self, web: Web) -> None:
        self.acknowledged: dict[str, bytes] = {}
        self.answers: Counter[int] = Counter()
        self.failures = 0
        self.heard = asyncio.Event()
        self._url = f"{web.url}/github/events"
        self._client = httpx.AsyncClient(trust_env=False, timeout=30)

    async def send(self, subject: int, number: int) -> None:
        body = json.dumps({"zen": "Keep it logically awesome.", "subject": subject, "number": number}).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "ping",
            "X-GitHub-Delivery": f"{subject}-{number}",
            "X-Hub-Signature-256": f"sha256={hmac.new(SECRET.encode(), body, sha256).hexdigest()}",
        }
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self._try(body, headers):
                self.failures += 1
                await asyncio.sleep(0.02)

    async def _try(self, body: bytes, headers: dict[str, str]) -> bool:
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except httpx.TransportError:
            return False
        self.answers[answer.status_code] += 1
        if answer.status_code not in (200, 202):
            return False
        self.acknowledged[sha256(body).hexdigest()] = body
        self.heard.set()
        return True

    async def close(self) -> None:
        await self._client.aclose()


async def stored_bodies(database: Database) -> list[bytes]:
    async with database.reading() as session:
        return list((await session.execute(select(EventPayloadModel.raw_payload))).scalars())


async def all_stored(database: Database, number: int) -> list[EventModel]:
    """Return what came from outside, in the order in which it is handled, once there is so much of it.

    What is in the spool takes a moment.
    """
    is_outside = EventModel.provider != EventProvider.SYSTEM
    counting = select(func.count()).select_from(EventModel).where(is_outside)
    async with asyncio.timeout(PATIENCE_SECONDS):
        found = -1
        while found < number:
            await asyncio.sleep(0.1)
            async with database.reading() as session:
                found = (await session.execute(counting)).scalar_one()
    async with database.reading() as session:
        statement = select(EventModel).where(is_outside).order_by(EventModel.created_at)
        return list((await session.execute(statement)).scalars())
