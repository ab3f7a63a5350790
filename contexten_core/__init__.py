"""What Contexten knows: events, projects, prompts, code, tasks, analytics and learning, without Prefect or FastAPI.

The tables are in `contexten_core.db.models`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contexten_core.errors.handler import ErrorHandler
    from contexten_core.orchestrator import SystemOrchestrator
    from contexten_core.performance.monitor import PerformanceMonitor

__all__ = ["ErrorHandler", "PerformanceMonitor", "SystemOrchestrator"]

# Late, because every module of the core imports this package first.
_LATE = {
    "ErrorHandler": "contexten_core.errors.handler",
    "PerformanceMonitor": "contexten_core.performance.monitor",
    "SystemOrchestrator": "contexten_core.orchestrator",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
