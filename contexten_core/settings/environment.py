"""Hand settings on to a process of ours."""

import json
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, SecretStr
from pydantic.fields import FieldInfo

from contexten_core.settings.settings import Settings


def as_environment(settings: Settings) -> dict[str, str]:
    """Return the variables under which another process reads these settings, secrets and passwords among them."""
    return {**_variables(settings, prefix=""), **_variables(settings.db, prefix="DB_")}


def _variables(settings: BaseModel, *, prefix: str) -> dict[str, str]:
    found = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if value is not None and not isinstance(value, BaseModel) and value not in ({}, ()):
            found[_variable(name, field, prefix)] = _text(value)
    return found


def _variable(name: str, field: FieldInfo, prefix: str) -> str:
    alias = field.validation_alias
    names = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
    return next((choice for choice in names if choice.isupper()), f"{prefix}{name}".upper())


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _plain(part) for name, part in value}
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(_text(part) for part in value)
    if isinstance(value, dict):
        return json.dumps({name: _plain(part) for name, part in value.items()})
    if isinstance(value, Path):
        return str(value.absolute())
    return str(value)
