"""Contexten: every event from a team's tools becomes one well-chosen, bounded, explained action."""

from importlib.metadata import version

from contexten.run import FlowResult, run_flow, run_flow_async

__all__ = ["FlowResult", "__version__", "run_flow", "run_flow_async"]

__version__ = version("contexten")
