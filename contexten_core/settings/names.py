"""How a setting is called in the environment."""

from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings


def names(field: str) -> AliasChoices:
    """Return the names that a setting answers to: its own, and the same with a prefix."""
    return AliasChoices(field.upper(), f"CONTEXTEN_{field.upper()}")


class NamedSettings(BaseSettings):
    """Settings whose fields may be given by their own names in Python, but not in the environment.

    There, HOME is somebody else's.
    """

    def __init__(self, **values: Any) -> None:
        aliases = {name: _first_alias(field) for name, field in type(self).model_fields.items()}
        super().__init__(**{aliases.get(name, name): value for name, value in values.items()})


def _first_alias(field: FieldInfo) -> str:
    alias = field.validation_alias
    assert isinstance(alias, AliasChoices)
    return str(alias.choices[0])
