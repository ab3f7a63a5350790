"""Register functions for what GitHub, Linear and Slack tell us: `@app.github.event("pull_request:labeled")`."""

from contexten.handlers.github import GitHub
from contexten.handlers.linear import Linear
from contexten.handlers.provider import ProviderHandlers
from contexten.handlers.slack import Slack

__all__ = ["GitHub", "Linear", "ProviderHandlers", "Slack"]
