"""What can be configured, from the environment or `.env`.

Every setting answers to its own name (`API_PORT`) and to the same with a prefix (`CONTEXTEN_API_PORT`);
database settings to `DB_HOST` and to `CONTEXTEN_DB__HOST`.
"""

import os
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, AliasGenerator, Field, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from contexten_core.errors import ConfigurationError

MINIMUM_SECRET_LENGTH = 16
PUBLIC_GITHUB_API = "https://api.github.com"


class Environment(StrEnum):
    DEVELOPMENT = "development"
    TESTING = "testing"
    PRODUCTION = "production"


class DatabaseKind(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    EMBEDDED = "embedded"


def default_home() -> Path:
    """Return where a stack keeps its state when `CONTEXTEN_HOME` is unset.

    PostgreSQL refuses to run as root, and the account that runs it instead could not enter root's own folder.
    """
    return Path("/var/lib/contexten") if os.geteuid() == 0 else Path.home() / ".contexten"


def _names(field: str) -> AliasChoices:
    return AliasChoices(field.upper(), f"CONTEXTEN_{field.upper()}")


def _first_alias(field: FieldInfo) -> str:
    alias = field.validation_alias
    assert isinstance(alias, AliasChoices)
    return str(alias.choices[0])


class DatabaseConfig(BaseSettings):
    """Where rows are kept. With neither a host, nor a URL, nor SQLite, the stack runs its own PostgreSQL."""

    model_config = SettingsConfigDict(
        env_prefix="DB_",
        env_file=".env",
        extra="ignore",
        validate_assignment=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    use_sqlite: bool = Field(default=False, description="Keep everything in one SQLite file.")
    sqlite_path: Path = Field(default=Path("contexten_cicd.db"), description="That file.")
    url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("url", "DATABASE_URL", "CONTEXTEN_DATABASE_URL", "DB_URL"),
        description="A PostgreSQL (or SQLite) address; wins over the parts below.",
    )
    host: str | None = Field(default=None, description="Host, or folder of the socket, of a PostgreSQL of your own.")
    port: int = Field(default=5432, ge=1, le=65535)
    name: str = "contexten_cicd"
    user: str = "postgres"
    password: SecretStr = SecretStr("")
    pool_size: int = Field(default=20, ge=1, le=500)
    max_overflow: int = Field(default=30, ge=0, le=500)
    pool_timeout: int = Field(default=30, ge=1, description="Seconds to wait for a free connection.")
    pool_recycle: int = Field(default=3600, ge=1, description="Seconds after which a connection is replaced.")
    echo_sql: bool = False
    query_timeout: int = Field(default=30, ge=1, description="Seconds one statement may take.")
    migration_timeout: int = Field(default=300, ge=1, description="Seconds to wait for another process's migration.")

    @field_validator("url")
    @classmethod
    def _known(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        try:
            backend = make_url(value.get_secret_value()).get_backend_name()
        except (ArgumentError, ValueError):
            backend = None
        if backend not in {"postgresql", "postgres", "sqlite"}:
            raise ValueError("the address of a database begins with postgresql:// or sqlite://")
        return value

    @property
    def kind(self) -> DatabaseKind:
        if self.url is not None:
            backend = make_url(self.url.get_secret_value()).get_backend_name()
            return DatabaseKind.SQLITE if backend == "sqlite" else DatabaseKind.POSTGRESQL
        if self.use_sqlite:
            return DatabaseKind.SQLITE
        return DatabaseKind.POSTGRESQL if self.host else DatabaseKind.EMBEDDED

    @property
    def address(self) -> URL:
        """The address without a driver; passwords with any character in them are kept whole."""
        if self.url is not None:
            return make_url(self.url.get_secret_value())
        if self.use_sqlite:
            return URL.create("sqlite", database=str(self.sqlite_path))
        if not self.host:
            raise ConfigurationError(
                "no database is configured and no stack is running here",
                hint="start one with `contexten serve`, or set DB_HOST, DATABASE_URL or DB_USE_SQLITE=true",
            )
        return URL.create(
            "postgresql",
            username=self.user,
            password=self.password.get_secret_value() or None,
            host=self.host,
            port=self.port,
            database=self.name,
        )


class Settings(BaseSettings):
    """Settings of one process. Mutable, and validated on assignment; read when an application is built."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        validate_assignment=True,
        env_ignore_empty=True,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
        alias_generator=AliasGenerator(validation_alias=_names),
    )

    def __init__(self, **values: Any) -> None:
        # Fields may be given by their own names here, but not in the environment, where HOME is somebody else's.
        names = {name: _first_alias(field) for name, field in type(self).model_fields.items()}
        super().__init__(**{names.get(name, name): value for name, value in values.items()})

    environment: Environment = Environment.DEVELOPMENT
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$")
    home: Path = Field(
        default_factory=default_home,
        validation_alias=AliasChoices("CONTEXTEN_HOME"),
        description="Where a stack keeps its state, secrets, logs and git mirrors.",
    )
    db: DatabaseConfig = Field(default_factory=DatabaseConfig, validation_alias=AliasChoices("CONTEXTEN_DB"))

    api_host: str = Field(default="0.0.0.0", description="Address that webhooks, API and pages listen on.")  # noqa: S104 - webhooks come from outside; everything else is guarded in contexten.server.auth
    api_port: int = Field(default=8000, ge=0, le=65535)
    public_url: str | None = Field(default=None, description="How people reach this server; used in links.")
    postgres_bin: Path | None = Field(
        default=None, description="The bin folder of an installed PostgreSQL, to be used for the embedded one."
    )
    prefect_api_url: str | None = Field(
        default=None, validation_alias=AliasChoices("PREFECT_API_URL"), description="A Prefect server of your own."
    )

    max_concurrent_operations: int = Field(default=1000, ge=1, description="Runs in flight in one worker.")
    max_concurrent_commands: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Commands of prompts that run at once."
    )
    lease_seconds: float = Field(default=15, gt=0, description="How long a silent worker keeps an event.")
    heartbeat_seconds: float = Field(default=5, gt=0, description="How often a worker renews its leases.")
    poll_seconds: float = Field(default=0.25, gt=0, description="How often a worker looks for new events.")
    prefect_poll_seconds: float = Field(default=2, gt=0, description="How often it looks for scheduled Prefect runs.")
    max_payload_bytes: int = Field(default=25 * 1024 * 1024, ge=1, description="GitHub's own limit is 25 MB.")

    github_token: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "GITHUB_ACCESS_TOKEN", "GITHUB_TOKEN", "GITHUB_API_KEY", "CONTEXTEN_GITHUB_TOKEN"
        ),
    )
    github_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        validation_alias=AliasChoices("GITHUB_WEBHOOK_SECRET", "CONTEXTEN_GITHUB_WEBHOOK_SECRET"),
        description="One secret, or several separated by commas while one replaces another.",
    )
    github_api_url: str = Field(default=PUBLIC_GITHUB_API, pattern="^https?://")
    api_timeout_seconds: float = Field(default=30, gt=0, description="Longest wait for an outside service's answer.")

    @field_validator("github_api_url", "public_url", "prefect_api_url")
    @classmethod
    def _without_slash(cls, value: str | None) -> str | None:
        return value.rstrip("/") if value else value

    @field_validator("github_webhook_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("github_webhook_secrets")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < MINIMUM_SECRET_LENGTH for secret in value):
            raise ValueError(f"a webhook secret needs at least {MINIMUM_SECRET_LENGTH} characters")
        return value

    @property
    def mirrors(self) -> Path:
        return self.home / "mirrors"

    @property
    def checkouts(self) -> Path:
        return self.home / "checkouts"


@cache
def get_settings() -> Settings:
    """Return this process's settings, read once."""
    return Settings()
