"""Configuration, as users import it."""

from contexten_core.settings import DatabaseConfig, Environment, IntegrationsConfig, Settings, get_settings

__all__ = ["DatabaseConfig", "Environment", "IntegrationsConfig", "Settings", "get_settings"]
