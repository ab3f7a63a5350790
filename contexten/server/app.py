"""The web application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from contexten.server import webhooks
from contexten.server.api import events, health, patterns, runs
from contexten.server.auth import require_access
from contexten.server.dashboard import views
from contexten.server.problems import install_problem_handlers
from contexten_core.db import Database
from contexten_core.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Build the application; its database pool opens with the lifespan and closes with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.database = Database(settings.db)
        try:
            yield
        finally:
            await app.state.database.close()

    app = FastAPI(title="Contexten", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.settings = settings
    install_problem_handlers(app)
    app.include_router(webhooks.router)
    app.include_router(health.router)
    guarded = [Depends(require_access)]
    for router in (events.router, runs.router, patterns.router):
        app.include_router(router, prefix="/api", dependencies=guarded)
    app.include_router(views.router, dependencies=guarded)
    return app
