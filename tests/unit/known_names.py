"""What documents and descriptions of deployments may name: settings, and commands of the command line."""

from typing import Any

from prefect.settings import Settings as PrefectSettings
from prefect.settings.legacy import _get_valid_setting_names
from pydantic import AliasChoices, BaseModel, SecretStr
from typer.main import get_command

from contexten.cli import app
from contexten_core.settings import DatabaseConfig, Settings

PREFECT_REDIS_SETTINGS = frozenset(f"PREFECT_REDIS_MESSAGING_{name}" for name in ("HOST", "PORT", "DB"))
"""Those that we name of a package which is not installed here."""


def setting_names() -> dict[str, bool]:
    """Return every variable that our settings are read from; True for those that hold a secret."""
    return {**_names(Settings, prefix=""), **_names(DatabaseConfig, prefix="DB_")}


def prefect_setting_names() -> set[str]:
    return set(_get_valid_setting_names(PrefectSettings)) | PREFECT_REDIS_SETTINGS


def is_our_command(command: list[str]) -> bool:
    """Tell whether our command line knows this command, its arguments and its options; does not run it."""
    program, *arguments = command
    found: Any = get_command(app)
    context = found.make_context(program, list(arguments), resilient_parsing=True)
    while arguments and hasattr(found, "get_command"):
        found = found.get_command(context, arguments.pop(0))
        if found is None:
            return False
    found.make_context(program, list(arguments))
    return program == "contexten"


def _names(settings: type[BaseModel], *, prefix: str) -> dict[str, bool]:
    found = {}
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        given = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [f"{prefix}{name}"]
        is_secret = SecretStr.__name__ in str(field.annotation)
        found.update({variable.upper(): is_secret for variable in given})
    return found
