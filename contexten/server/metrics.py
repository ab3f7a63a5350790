"""Figures of this process and of the database, in the form that Prometheus reads.

Requests are counted in each web process on its own; figures of the database are the same in all.
"""

import asyncio
import logging
import time
from importlib.metadata import version

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from sqlalchemy.exc import SQLAlchemyError

from contexten.server.api.routing import GuardedRoute
from contexten_core.db import Database
from contexten_core.errors import store as error_store
from contexten_core.errors.breaker import BREAKERS, BreakerState
from contexten_core.errors.kinds import ErrorCategory
from contexten_core.events import outbox_store
from contexten_core.events import store as event_store
from contexten_core.events.models import EventStatus
from contexten_core.settings import Settings

logger = logging.getLogger(__name__)

_FRESH_SECONDS = 5.0
_OPEN = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 0.5, BreakerState.OPEN: 1.0}
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)

router = APIRouter(route_class=GuardedRoute)


class Metrics:
    """The registry of one application."""

    def __init__(self, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        info = Info("contexten", "The application.", registry=self.registry)
        info.info(
            {"version": version("contexten"), "name": settings.app_name, "environment": settings.environment.value}
        )
        labels = ("method", "route")
        self._requests = Counter(
            "contexten_http_requests", "Requests answered.", (*labels, "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "contexten_http_request_duration_seconds",
            "Time until the answer was sent.",
            labels,
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._reachable = Gauge("contexten_database_up", "1 while the database answers.", registry=self.registry)
        self._events = Gauge("contexten_events", "Events by status.", ("status",), registry=self.registry)
        self._outbox = Gauge("contexten_outbox_pending", "Effects that wait to be sent.", registry=self.registry)
        self._errors = Gauge(
            "contexten_errors", "Errors handled so far, by category.", ("category",), registry=self.registry
        )
        self._dependencies = Gauge(
            "contexten_dependency_open",
            "1 while a dependency is left alone, 0.5 while it is tried, 0 while it answers.",
            ("kind", "host"),
            registry=self.registry,
        )
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    def observe(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    async def refresh(self, database: Database) -> None:
        """Read the figures of the database, unless that was done in the last few seconds."""
        self._dependencies.clear()
        for dependency in BREAKERS.statuses():
            self._dependencies.labels(dependency.kind.value, dependency.host).set(_OPEN[dependency.state])
        async with self._reading:
            if time.monotonic() - self._read_at < _FRESH_SECONDS:
                return
            self._reachable.set(await self._read(database))
            self._read_at = time.monotonic()

    async def _read(self, database: Database) -> bool:
        if not database.is_open:
            return False
        try:
            await self._count(database)
        except SQLAlchemyError as error:
            logger.warning("the figures of the database cannot be read: %s", error)
            return False
        return True

    async def _count(self, database: Database) -> None:
        async with database.reading() as session:
            events = await event_store.count_by_status(session)
            waiting = await outbox_store.count_waiting(session)
            errors = await error_store.count_by_category(session)
        for status in EventStatus:
            self._events.labels(status.value).set(events.get(status, 0))
        self._outbox.set(waiting)
        for category in ErrorCategory:
            self._errors.labels(category.value).set(errors.get(category, 0))


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Answer a Prometheus scrape."""
    state: Metrics = request.app.state.metrics
    await state.refresh(request.app.state.database)
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(state.registry), media_type=media_type)
