"""The application that users build, extend with handlers, and serve. `python -m contexten.contexten_app` serves one."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import httpx
import uvicorn
from fastapi import FastAPI, Request

from contexten.handlers.github import GitHub
from contexten.handlers.linear import Linear
from contexten.handlers.slack import Slack
from contexten.handlers.system import SystemHandlers
from contexten.place import Place
from contexten.server import webhooks
from contexten.server.app import create_app
from contexten.server.serving import make_server
from contexten.server.waiting import WAITS_FOR_DATABASE, started_or_waiting
from contexten.serving_thread import serve_in_thread
from contexten.simulation import simulate
from contexten_core.codebase.context import Context
from contexten_core.codebase.event_context import context_for
from contexten_core.codebase.repository import Codebase, parse_repository
from contexten_core.events.models import EventProvider
from contexten_core.execution.git import GitMirrors
from contexten_core.execution.private_folder import private_folder
from contexten_core.learning.seed import seed
from contexten_core.orchestrator import SystemOrchestrator
from contexten_core.security.tokens import ensure_admin_token
from contexten_core.settings import Settings, get_settings
from deployments.listening import listen

logger = logging.getLogger(__name__)

COMPONENT = "contexten_app"
DEFAULT_TMP_DIR = "/tmp/contexten"  # noqa: S108 - the documented default, which stands for TMP_DIR; made private


class ContextenApp:
    """One application over one system: repositories to know, handlers to call, a web server to run.

    What needs the system initializes it at the first call; `initialize()` does so at a moment of your choice.

    Attributes:
        settings: this process's, as they were when the application was built.
        orchestrator: creates tasks and projects, logs and emits events.
        db_manager: the database, open from `initialize()` to `shutdown()`.
        error_handler, performance_monitor: the ones of the orchestrator; the monitor is None when monitoring is off.
        github, linear, slack: where handlers are registered, with the clients of these services.
        codebases: what `add_repo` has parsed, by the names that were given.
        app: the FastAPI application; it initializes and shuts down with its lifespan.
    """

    def __init__(
        self,
        name: str,
        repo: str | None = None,
        tmp_dir: str = DEFAULT_TMP_DIR,
        commit: str | None = "latest",
        enable_monitoring: bool = True,
        enable_learning: bool = True,
        *,
        settings: Settings | None = None,
    ) -> None:
        self.name = name
        self.repo = repo
        self.commit = commit
        self.settings = (settings if settings is not None else get_settings()).model_copy(deep=True)
        self.tmp_dir = str(self.settings.tmp_dir) if tmp_dir == DEFAULT_TMP_DIR else tmp_dir
        self.enable_monitoring = enable_monitoring and self.settings.enable_performance_monitoring
        self.enable_learning = enable_learning and self.settings.enable_continuous_learning
        self.db_config = self.settings.db
        self.integrations_config = self.settings
        self.orchestrator = SystemOrchestrator(
            self.settings, enable_monitoring=enable_monitoring, start=self.initialize
        )
        self.db_manager = self.orchestrator.database
        self.error_handler = self.orchestrator.error_handler
        self.performance_monitor = self.orchestrator.performance_monitor
        self.github = GitHub(self.orchestrator.functions, self.settings)
        self.linear = Linear(self.orchestrator.functions, self.settings)
        self.slack = Slack(self.orchestrator.functions, self.settings)
        self.codebases: dict[str, Codebase] = {}
        self.codebase: Codebase | None = None
        self.app = create_app(self.orchestrator, lifespan=self._lifespan)
        self._handlers = SystemHandlers(
            self.orchestrator, learning=self.enable_learning, analytics=self.settings.enable_analytics
        )
        self._handlers.register()
        self._place = Place(self.settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[Any] | None = None
        self._is_stopped = False

    @property
    def _initialized(self) -> bool:
        return self._loop is not None

    async def initialize(self) -> None:
        """Find or start the database, bring it up to date, take the first measurements, and parse `repo` if given.

        Safe to call again, and in another event loop than before. Where neither a database is configured nor a stack
        runs on this `CONTEXTEN_HOME`, our own PostgreSQL is started, and ended by `shutdown()`.

        Raises:
            ContextenError: what kept it from starting; it was also handed to the error handler.
        """
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        async with self._starting.setdefault(loop, asyncio.Lock()):
            if self._loop is not loop:
                await self._initialize(loop)

    async def _initialize(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            await asyncio.to_thread(self._place.find_database)
            await self.orchestrator.initialize()
            self.orchestrator.register_component(COMPONENT, self)
            await self._seed_learning()
            if self.repo is not None and self.codebase is None:
                await self._parse(self.repo, self.commit)
            self._loop = loop
        except asyncio.CancelledError:
            await self.shutdown()
            raise
        except Exception as error:
            await self.error_handler.handle_error(error, {"during": "initialize"}, attempt_recovery=False)
            await self.shutdown()
            raise

    async def shutdown(self) -> None:
        """Finish what is in progress, close the database, and end what `initialize` started. Safe to call again."""
        self._loop = None
        await self.orchestrator.shutdown()
        await asyncio.to_thread(self._place.leave)

    async def add_repo(self, repo_name: str, commit: str | None = None) -> None:
        """Parse a repository, and make it the default codebase.

        Args:
            repo_name: `owner/name` (a project's repository, or GitHub's), an address, or an absolute path.
            commit: a commit id, a branch or a tag; the newest commit of the default branch when left out.

        Raises:
            GitError: the repository or the commit cannot be had.
        """
        await self.initialize()
        await self._parse(repo_name, commit)

    async def _parse(self, repo_name: str, commit: str | None) -> None:
        folder = await asyncio.to_thread(private_folder, Path(self.tmp_dir) / "mirrors")
        codebase = await parse_repository(
            self.db_manager, self.settings, GitMirrors(folder), name=repo_name, commit=commit
        )
        self.codebases[repo_name] = self.codebase = codebase

    def get_codebase(self, repo_name: str | None = None) -> Codebase:
        """Return what is in a repository that was added; the one added last without a name.

        Raises:
            KeyError: it was not added.
        """
        if repo_name is not None:
            if repo_name not in self.codebases:
                raise KeyError(f"Repository {repo_name} has not been parsed")
            return self.codebases[repo_name]
        if self.codebase is None:
            raise KeyError("No default repository has been parsed")
        return self.codebase

    async def context_for(self, event_id: UUID, budget_tokens: int) -> Context:
        """Choose what of the code an executor should see for a stored event: ranked pieces, each with its reason.

        Raises:
            NotFoundError: there is no such event.
            ConflictError: its commit has not been analysed, or is not known any more.
        """
        await self.initialize()
        mirrors = GitMirrors(self.settings.mirrors)
        return await context_for(self.db_manager, self.settings, mirrors, event_id, budget_tokens=budget_tokens)

    def parse_repo(self) -> Codebase:
        """Parse `repo` now, from code that is not async, and return its codebase.

        Raises:
            KeyError: the application was built without `repo`.
            RuntimeError: called in a running event loop, where it is `await app.add_repo(...)`.
        """
        if self.repo is None:
            raise KeyError("No default repository has been parsed")
        if _running_loop() is not None:
            raise RuntimeError("parse_repo() would block the running event loop; use `await app.add_repo(name)` there")
        repo = self.repo

        async def parse() -> Codebase:
            await self.initialize()
            try:
                if repo not in self.codebases:
                    await self.add_repo(repo, self.commit)
            finally:
                await self.shutdown()
            return self.codebases[repo]

        return asyncio.run(parse())

    async def simulate_event(self, provider: str, event_type: str, payload: Mapping[str, Any]) -> Any:
        """Store an event as if it had come from a provider, call the functions registered for it, return their answer.

        The event is a record: no flow runs for it. With several functions the answer is the list of theirs.

        Args:
            provider: `github`, `linear` or `slack`.
            event_type: as in the decorators, such as `push` or `pull_request`.

        Raises:
            ValueError: another provider.
            Exception: whatever a function raised, after all have run; it is recorded, and the event shows it.
        """
        handlers = {"github": self.github, "linear": self.linear, "slack": self.slack}.get(provider)
        if handlers is None:
            raise ValueError(f"Unknown provider: {provider}")
        await self.initialize()
        return await simulate(self.orchestrator, handlers, event_type=event_type, payload=payload)

    async def root(self) -> str:
        """Return the dashboard as HTML, as somebody on this machine sees it."""
        transport = httpx.ASGITransport(app=self.app, client=("127.0.0.1", 0))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get("/")).text

    async def health_check(self) -> dict[str, Any]:
        return await self.orchestrator.get_system_health()

    async def handle_github_event(self, request: Request) -> Any:
        """Verify and store a delivery of GitHub's, as `POST /github/events` does."""
        return await webhooks.receive(request, EventProvider.GITHUB, app=self.app)

    async def handle_linear_event(self, request: Request) -> Any:
        """Verify and store a delivery of Linear's, as `POST /linear/events` does."""
        return await webhooks.receive(request, EventProvider.LINEAR, app=self.app)

    async def handle_slack_event(self, request: Request) -> Any:
        """Verify and store a delivery of Slack's, as `POST /slack/events` does."""
        return await webhooks.receive(request, EventProvider.SLACK, app=self.app)

    def run(self, host: str = "0.0.0.0", port: int = 8000, **options: Any) -> None:  # noqa: S104 - the documented default; everything but webhooks is guarded
        """Serve until SIGINT or SIGTERM: webhooks, API and pages here, and the flows in a worker process.

        Blocks, also at the end of a coroutine that has called `initialize()`: the server runs in a thread of its own.

        Args:
            options: uvicorn's own.

        Raises:
            RuntimeError: called in a running event loop before `initialize()`.
            StackError: the port is taken, or a part does not start.
        """
        running = _running_loop()
        if running is not None and self._loop is not running:
            raise RuntimeError("run() would block the running event loop; use `await app.serve(host, port)` there")
        serve_in_thread(lambda: self.serve(host, port, **options), stop=self.stop)

    async def serve(self, host: str = "0.0.0.0", port: int = 8000, **options: Any) -> None:  # noqa: S104 - see run
        """Do what `run` does, in a running event loop."""
        self.settings.api_host, self.settings.api_port = host, port
        listener = listen(host, port)
        self._serving, self._is_stopped = asyncio.current_task(), False
        try:
            await self.initialize()
            self.settings.api_port = listener.getsockname()[1]
            await asyncio.to_thread(self._place.start_services)
            await self._show_token()
            self._server = make_server(self.app, **options)
            self._place.on_failure = self.stop
            logger.info("serving on http://%s:%d", host, self.settings.api_port)
            await self._server.serve(sockets=[listener])
            self._place.check()
        except asyncio.CancelledError:
            if not self._is_stopped:
                raise
        finally:
            self._server = self._serving = None
            listener.close()
            await self.shutdown()

    async def _show_token(self) -> None:
        async with self.db_manager.transaction() as session:
            token = await ensure_admin_token(session)
        if token is not None:
            note = "Contexten's API token (kept as a digest, so not shown again):"
            print(f"{note} {token}", file=sys.stderr)  # noqa: T201 - shown once, to whoever started this, in no log

    def stop(self) -> None:
        """Have `serve` and `run` end soon. May be called from any thread, and from a signal handler."""
        if self._server is not None:
            self._server.should_exit = True
        elif self._serving is not None:
            # Still starting. Cancelled once only, so that nothing interrupts the clearing up.
            serving, self._serving, self._is_stopped = self._serving, None, True
            serving.get_loop().call_soon_threadsafe(serving.cancel)

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        try:
            if getattr(app.state, WAITS_FOR_DATABASE, False):
                async with started_or_waiting(self.orchestrator, initialize=self.initialize):
                    yield
            else:
                await self.initialize()
                yield
        finally:
            await self.shutdown()

    async def _update_learning_from_task(self, task_data: Mapping[str, Any], success: bool) -> None:
        await self._handlers.learn(task_data, succeeded=success)

    async def _seed_learning(self) -> None:
        """Note, once per name, that this application takes part; two that start at once make one row."""
        if not self.enable_learning:
            return
        async with self.db_manager.transaction() as session:
            await seed(session, component=COMPONENT, name=self.name)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


CodegenApp = ContextenApp


def main() -> None:
    """Serve the whole system, as `contexten serve` does."""
    from contexten.cli import app  # the command line loads more than an application needs

    app(["serve"])


if __name__ == "__main__":
    main()
