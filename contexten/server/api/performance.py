"""Performance: what the machine and each operation take, and what would help."""

from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict

from contexten.server.api.routing import api_router
from contexten.server.dependencies import OrchestratorOf
from contexten_core.errors import NotFoundError
from contexten_core.performance.monitor import PerformanceMonitor

router = api_router("/api/performance", "performance")

_HOURS_OF_A_YEAR = 8_760
Figures = dict[str, int | float | None]


class _Figures(BaseModel):
    model_config = ConfigDict(extra="allow")


class PerformanceMetrics(_Figures):
    """The newest sample, in percent and seconds; only `status` is there before the first one."""

    status: str | None = None
    timestamp: str | None = None
    cpu_usage: float | None = None
    memory_usage: float | None = None
    memory_available_gb: float | None = None
    disk_usage: float | None = None
    active_connections: int | None = None
    network: Figures | None = None
    average_response_times: Figures | None = None
    operation_counts: dict[str, int] | None = None
    error_rates: Figures | None = None
    performance_score: float | None = None


class PerformanceReport(_Figures):
    """What a time came to, in percent and seconds; only `error` is there when nothing was measured in it."""

    error: str | None = None
    period_hours: float | None = None
    total_samples: int | None = None
    cpu_usage: Figures | None = None
    memory_usage: Figures | None = None
    response_times: dict[str, Figures] | None = None
    operation_counts: dict[str, int] | None = None
    error_rates: Figures | None = None


class Suggestion(BaseModel):
    type: str
    issue: str
    suggestion: str


class PerformanceSuggestions(_Figures):
    """What is wrong, why, and which setting helps; only `error` is there when nothing was measured."""

    error: str | None = None
    performance_score: float | None = None
    suggestions: list[Suggestion] | None = None
    metrics: dict[str, Any] | None = None


def _monitor(orchestrator: OrchestratorOf) -> PerformanceMonitor:
    if orchestrator.performance_monitor is None:
        raise NotFoundError("Performance monitoring not enabled", hint="set ENABLE_PERFORMANCE_MONITORING=true")
    return orchestrator.performance_monitor


MonitorOf = Annotated[PerformanceMonitor, Depends(_monitor)]


@router.get("/metrics", response_model=PerformanceMetrics, response_model_exclude_unset=True)
async def get_performance_metrics(monitor: MonitorOf) -> Any:
    """Return the newest figures of the machine and of every operation."""
    return await monitor.get_current_metrics()


@router.get("/report", response_model=PerformanceReport, response_model_exclude_unset=True)
async def get_performance_report(
    monitor: MonitorOf, hours: Annotated[int, Query(ge=1, le=_HOURS_OF_A_YEAR)] = 24
) -> Any:
    """Return what the last hours came to."""
    return await monitor.get_performance_report(hours)


@router.get("/suggestions", response_model=PerformanceSuggestions, response_model_exclude_unset=True)
async def get_performance_suggestions(monitor: MonitorOf) -> Any:
    """Say what is wrong with the figures, and what to change."""
    return await monitor.optimize_performance()
