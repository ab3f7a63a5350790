"""The web application."""

from importlib.metadata import version

from fastapi import Depends, FastAPI
from starlette.types import Lifespan

from contexten.server import docs, metrics, webhooks
from contexten.server.api import (
    analytics,
    analytics_events,
    analytics_metrics,
    approvals,
    codebase_analyses,
    codebase_metadata,
    codebases,
    errors,
    events,
    feedback,
    health,
    learning,
    patterns,
    performance,
    projects,
    prompt_checks,
    prompt_conditions,
    prompt_experiments,
    prompt_files,
    prompt_preview,
    prompt_templates,
    prompt_usage,
    prompt_versions,
    prompts,
    refusals,
    repositories,
    runs,
    system,
    tasks,
    tokens,
)
from contexten.server.auth import require_access
from contexten.server.dashboard import views
from contexten.server.gate import Gate
from contexten.server.limits import LimitMiddleware, WatchMiddleware
from contexten.server.problems import install_problem_handlers
from contexten.server.shortcut import Shortcut
from contexten_core.orchestrator import SystemOrchestrator

_API = (
    system,
    performance,
    errors,
    tasks,
    projects,
    repositories,
    prompt_checks,
    prompts,
    prompt_templates,
    prompt_conditions,
    prompt_versions,
    prompt_files,
    prompt_preview,
    prompt_experiments,
    prompt_usage,
    codebases,
    codebase_analyses,
    codebase_metadata,
    events,
    refusals,
    runs,
    approvals,
    analytics,
    analytics_events,
    analytics_metrics,
    learning,
    patterns,
    feedback,
    tokens,
)


def create_app(orchestrator: SystemOrchestrator, *, lifespan: Lifespan[FastAPI] | None) -> FastAPI:
    """Build the application over an orchestrator, which the lifespan opens and closes."""
    app = FastAPI(
        title="Contexten",
        version=version("contexten"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.orchestrator = orchestrator
    app.state.settings = orchestrator.settings
    app.state.database = orchestrator.database
    app.state.gate = Gate(orchestrator.settings, load=lambda: orchestrator.intake.load)
    app.state.metrics = metrics.Metrics(orchestrator.settings)
    install_problem_handlers(app)
    # The last one added is the first to see a request.
    app.add_middleware(
        LimitMiddleware,
        settings=orchestrator.settings,
        exempt=(*health.router.routes, *webhooks.router.routes),
    )
    app.add_middleware(WatchMiddleware, orchestrator=orchestrator, metrics=app.state.metrics)
    app.include_router(health.router)
    for module in (*_API, metrics, docs):
        app.include_router(module.router)
    app.include_router(views.router, dependencies=[Depends(require_access)])
    # Their aliases begin with names that anybody may have, and must not hide a route of the API.
    app.include_router(webhooks.router)
    app.router.routes.insert(0, Shortcut(webhooks.router))
    return app
