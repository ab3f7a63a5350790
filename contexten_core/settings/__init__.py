"""What can be configured, from the environment or `.env`.

Every setting answers to its own name (`API_PORT`) and to the same with a prefix (`CONTEXTEN_API_PORT`);
database settings to `DB_HOST` and to `CONTEXTEN_DB__HOST`.
"""

from contexten_core.settings.database import DatabaseConfig, DatabaseKind
from contexten_core.settings.environment import as_environment
from contexten_core.settings.execution import SandboxUse
from contexten_core.settings.integrations import MINIMUM_SECRET_LENGTH, PUBLIC_GITHUB_API, IntegrationsConfig
from contexten_core.settings.settings import (
    DEFAULT_SECRET_KEY,
    Environment,
    Settings,
    default_home,
    get_settings,
)

__all__ = [
    "DEFAULT_SECRET_KEY",
    "MINIMUM_SECRET_LENGTH",
    "PUBLIC_GITHUB_API",
    "DatabaseConfig",
    "DatabaseKind",
    "Environment",
    "IntegrationsConfig",
    "SandboxUse",
    "Settings",
    "as_environment",
    "default_home",
    "get_settings",
]
