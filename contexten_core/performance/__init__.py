"""Performance: what the machine and every operation take, kept in the database, judged and explained."""

from contexten_core.performance.monitor import OperationContext, PerformanceMonitor

__all__ = ["OperationContext", "PerformanceMonitor"]
