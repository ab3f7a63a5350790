"""What the outside services that we talk to need."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AliasChoices, AliasGenerator, Field, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.sources import DotenvType

from contexten_core.settings.names import NamedSettings, names

MINIMUM_SECRET_LENGTH = 16
PUBLIC_GITHUB_API = "https://api.github.com"
PUBLIC_LINEAR_API = "https://api.linear.app/graphql"
PUBLIC_SLACK_API = "https://slack.com/api/"

_PLACEHOLDER = re.compile(
    r"change[-_ ]?me|replace[-_ ]?me|place[-_ ]?holder|your[-_ ].*(secret|token|key)|^<.*>$|^\$\{.*\}$|^(x{3,}|todo)",
    re.IGNORECASE,
)
_SECRETS = ("github_webhook_secrets", "linear_webhook_secrets", "slack_signing_secrets")

_Secrets = Annotated[tuple[SecretStr, ...], NoDecode]


class IntegrationsConfig(NamedSettings):
    """Tokens, webhook secrets and addresses of GitHub, Linear, Slack and the hosted agents.

    Each webhook secret is one secret, or several separated by commas while one replaces another. A provider without
    one is not configured, and accepts no delivery.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        validate_assignment=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
        alias_generator=AliasGenerator(validation_alias=names),
    )

    github_token: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "GITHUB_ACCESS_TOKEN", "GITHUB_TOKEN", "GITHUB_API_KEY", "CONTEXTEN_GITHUB_TOKEN"
        ),
    )
    github_webhook_secrets: _Secrets = Field(
        default=(), validation_alias=AliasChoices("GITHUB_WEBHOOK_SECRET", "CONTEXTEN_GITHUB_WEBHOOK_SECRET")
    )
    github_api_url: str = Field(default=PUBLIC_GITHUB_API, pattern="^https?://")
    linear_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "LINEAR_ACCESS_TOKEN", "LINEAR_API_KEY", "LINEAR_TOKEN", "CONTEXTEN_LINEAR_API_KEY"
        ),
    )
    linear_webhook_secrets: _Secrets = Field(
        default=(), validation_alias=AliasChoices("LINEAR_WEBHOOK_SECRET", "CONTEXTEN_LINEAR_WEBHOOK_SECRET")
    )
    linear_api_url: str = Field(default=PUBLIC_LINEAR_API, pattern="^https?://")
    slack_bot_token: SecretStr | None = None
    slack_signing_secrets: _Secrets = Field(
        default=(), validation_alias=AliasChoices("SLACK_SIGNING_SECRET", "CONTEXTEN_SLACK_SIGNING_SECRET")
    )
    slack_api_url: str = Field(default=PUBLIC_SLACK_API, pattern="^https?://")

    openai_api_key: SecretStr | None = None
    openai_organization: str | None = None
    codegen_org_id: str | None = None
    codegen_api_token: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("CODEGEN_API_TOKEN", "CODEGEN_TOKEN", "CONTEXTEN_CODEGEN_API_TOKEN"),
    )
    autogenlib_enabled: bool = False
    autogenlib_api_url: str | None = Field(default=None, pattern="^https?://")
    autogenlib_api_key: SecretStr | None = None
    openevolve_enabled: bool = False
    openevolve_api_url: str | None = Field(default=None, pattern="^https?://")
    openevolve_api_key: SecretStr | None = None

    github_app_id: str | None = Field(default=None, pattern="^[0-9]{1,20}$")
    github_app_slug: str | None = Field(default=None, pattern="^[A-Za-z0-9-]{1,100}$")
    github_app_private_key: SecretStr | None = Field(
        default=None, description="The App's private key in PEM, or the path of the file that holds it."
    )

    api_timeout_seconds: float = Field(default=30, gt=0, description="Longest wait for an outside service's answer.")
    api_retry_attempts: int = Field(default=3, ge=0, le=20, description="How often a transient failure is tried again.")
    api_retry_delay_seconds: float = Field(default=1.0, gt=0, description="The first pause before that; it doubles.")

    @property
    def github_webhook_secret(self) -> SecretStr | None:
        """The newest secret of GitHub's webhook, which is the first; None when GitHub is not configured."""
        return next(iter(self.github_webhook_secrets), None)

    @property
    def linear_webhook_secret(self) -> SecretStr | None:
        """The same of Linear's."""
        return next(iter(self.linear_webhook_secrets), None)

    @property
    def slack_signing_secret(self) -> SecretStr | None:
        """The same of Slack's."""
        return next(iter(self.slack_signing_secrets), None)

    @field_validator("github_api_url", "linear_api_url")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @field_validator("slack_api_url")
    @classmethod
    def _with_slash(cls, value: str) -> str:
        return f"{value.rstrip('/')}/"

    @field_validator(*_SECRETS, mode="before")
    @classmethod
    def _parts(cls, value: object) -> object:
        if isinstance(value, _Given):
            return tuple(checked_secret(part, where=value.alias) for part in value.parts)
        return _split(value) if isinstance(value, str) else value

    @field_validator(*_SECRETS)
    @classmethod
    def _usable(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            checked_secret(secret.get_secret_value())
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the webhook secrets apart: an empty variable is as good as none, but not one that should protect us."""
        assert isinstance(dotenv_settings, DotEnvSettingsSource)
        secrets = _SecretVariables(settings_cls, env_file=dotenv_settings.env_file)
        return init_settings, secrets, env_settings, dotenv_settings, file_secret_settings


@dataclass(frozen=True, slots=True)
class _Given:
    """What a variable says, split at the commas.

    Attributes:
        alias: the variable, unless it is the first of the field's, which every message names anyway.
    """

    alias: str | None
    parts: tuple[str, ...]


class _SecretVariables(PydanticBaseSettingsSource):
    """Reads the webhook secrets from the environment and `.env`, empty variables too.

    Of several variables for the same secret an empty one counts most: somebody has made a mistake.
    """

    def __init__(self, settings_cls: type[BaseSettings], *, env_file: DotenvType | None) -> None:
        super().__init__(settings_cls)
        environment = EnvSettingsSource(settings_cls, env_ignore_empty=False)
        file = DotEnvSettingsSource(settings_cls, env_file=env_file, env_ignore_empty=False)
        self._environment = environment.env_vars
        self._given = {**file.env_vars, **environment.env_vars}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the library's shape
        first, *_ = names = _variables(field)
        found = [
            _Given(None if name == first else name, _split(self._given[name.lower()] or ""))
            for name in names
            if name.lower() in self._given
        ]
        return min(found, key=lambda given: "" not in given.parts, default=None), first, False

    def __call__(self) -> dict[str, Any]:
        values = (self.get_field_value(self.settings_cls.model_fields[name], name) for name in _SECRETS)
        return {variable: value for value, variable, _ in values if value is not None}


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _variables(field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    assert isinstance(alias, AliasChoices)
    return [str(choice) for choice in alias.choices]


def checked_secret(secret: str, *, where: str | None = None) -> str:
    """Return a webhook secret that is one.

    Args:
        where: the variable that it was read from, for the message.

    Raises:
        ValueError: it is empty or too short, or stands for one; does not repeat it.
    """
    if problem := _problem(secret):
        place = f"{where}: " if where else ""
        raise PydanticCustomError("webhook_secret", "{problem}", {"problem": place + problem})
    return secret


def _problem(secret: str) -> str | None:
    if not secret:
        return f"an empty webhook secret; it needs at least {MINIMUM_SECRET_LENGTH} characters (or remove the variable)"
    if len(secret) < MINIMUM_SECRET_LENGTH:
        return f"a webhook secret needs at least {MINIMUM_SECRET_LENGTH} characters"
    if len(set(secret)) == 1 or _PLACEHOLDER.search(secret):
        return "that is a placeholder, not a webhook secret; `openssl rand -hex 32` makes one"
    return None
