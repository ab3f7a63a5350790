"""Contexten: every event from a team's tools becomes one well-chosen, bounded, explained action."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from contexten.run import FlowResult, run_flow, run_flow_async

if TYPE_CHECKING:
    from contexten.client import CodegenClient
    from contexten.contexten_app import CodegenApp, ContextenApp

__all__ = [
    "CodegenApp",
    "CodegenClient",
    "ContextenApp",
    "FlowResult",
    "__version__",
    "run_flow",
    "run_flow_async",
]

__version__ = version("contexten")

# The command line and the worker import this package too, and need no web framework.
_LATE = {
    "CodegenApp": "contexten.contexten_app",
    "CodegenClient": "contexten.client",
    "ContextenApp": "contexten.contexten_app",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATE[name]), name)
