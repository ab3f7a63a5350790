"""Contexten: every event from a team's tools becomes one well-chosen, bounded, explained action."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contexten.client import CodegenClient
    from contexten.contexten_app import CodegenApp, ContextenApp
    from contexten.run import FlowResult, run_flow, run_flow_async

    __version__: str

__all__ = [
    "CodegenApp",
    "CodegenClient",
    "ContextenApp",
    "FlowResult",
    "__version__",
    "run_flow",
    "run_flow_async",
]

# The command line and the worker import this package too, and need neither a web framework nor a database to start.
_LATE = {
    "CodegenApp": "contexten.contexten_app",
    "CodegenClient": "contexten.client",
    "ContextenApp": "contexten.contexten_app",
    "FlowResult": "contexten.run",
    "run_flow": "contexten.run",
    "run_flow_async": "contexten.run",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("contexten")
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
