"""What the outside services that we talk to need."""

from typing import Annotated

from pydantic import AliasChoices, AliasGenerator, Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from contexten_core.settings.names import NamedSettings, names

MINIMUM_SECRET_LENGTH = 16
PUBLIC_GITHUB_API = "https://api.github.com"
PUBLIC_LINEAR_API = "https://api.linear.app/graphql"
PUBLIC_SLACK_API = "https://slack.com/api/"

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

    @field_validator("github_webhook_secrets", "linear_webhook_secrets", "slack_signing_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("github_webhook_secrets", "linear_webhook_secrets", "slack_signing_secrets")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < MINIMUM_SECRET_LENGTH for secret in value):
            raise ValueError(f"a webhook secret needs at least {MINIMUM_SECRET_LENGTH} characters")
        return value
