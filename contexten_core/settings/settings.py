"""Settings of one process, as a whole."""

import os
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import AliasChoices, AliasGenerator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from contexten_core.settings.database import DatabaseConfig
from contexten_core.settings.execution import ExecutionConfig
from contexten_core.settings.ingress import IngressConfig
from contexten_core.settings.integrations import MINIMUM_SECRET_LENGTH, IntegrationsConfig
from contexten_core.settings.names import names

DEFAULT_SECRET_KEY = "dev-secret-key-change-in-production"  # noqa: S105 - refused in production


class Environment(StrEnum):
    DEVELOPMENT = "development"
    TESTING = "testing"
    PRODUCTION = "production"


def default_home() -> Path:
    """Return where a stack keeps its state when `CONTEXTEN_HOME` is unset.

    PostgreSQL refuses to run as root, and the account that runs it instead could not enter root's own folder.
    """
    return Path("/var/lib/contexten") if os.geteuid() == 0 else Path.home() / ".contexten"


class Settings(IntegrationsConfig, IngressConfig, ExecutionConfig):
    """Mutable, and validated on assignment; read when an application is built."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        validate_assignment=True,
        env_ignore_empty=True,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
        alias_generator=AliasGenerator(validation_alias=names),
    )

    app_name: str = Field(default="contexten-cicd", min_length=1, max_length=100)
    environment: Environment = Environment.DEVELOPMENT
    debug: bool = Field(default=False, description="Log at DEBUG, whatever LOG_LEVEL says.")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$")
    home: Path = Field(
        default_factory=default_home,
        validation_alias=AliasChoices("CONTEXTEN_HOME"),
        description="Where a stack keeps its state, secrets, logs and git mirrors.",
    )
    tmp_dir: Path = Field(default=Path("/tmp/contexten"), description="Where codebases of `add_repo` are kept.")  # noqa: S108 - made private, and refused when it is somebody else's
    db: DatabaseConfig = Field(default_factory=DatabaseConfig, validation_alias=AliasChoices("CONTEXTEN_DB"))
    secret_key: SecretStr = Field(
        default=SecretStr(DEFAULT_SECRET_KEY),
        description="Encrypts what is kept encrypted; a key file does while it is the default.",
    )

    api_host: str = Field(default="0.0.0.0", description="Address that webhooks, API and pages listen on.")  # noqa: S104 - webhooks come from outside; everything else is guarded in contexten.server.auth
    api_port: int = Field(default=8000, ge=0, le=65535)
    api_workers: int = Field(default=1, ge=1, le=64, description="Web processes that share the port.")
    public_url: str | None = Field(default=None, description="How people reach this server; used in links.")
    postgres_bin: Path | None = Field(
        default=None, description="The bin folder of an installed PostgreSQL, to be used for the embedded one."
    )
    prefect_api_url: str | None = Field(
        default=None, validation_alias=AliasChoices("PREFECT_API_URL"), description="A Prefect server of your own."
    )

    max_concurrent_operations: int = Field(default=1000, ge=1, description="Runs in flight, and requests, per process.")
    response_timeout_seconds: float = Field(default=2.0, gt=0, description="Longest an operation of the API may take.")
    max_concurrent_commands: int = Field(
        default_factory=lambda: (os.cpu_count() or 1) + 2, ge=1, description="Commands of prompts that run at once."
    )
    lease_seconds: float = Field(default=15, gt=0, description="How long a silent worker keeps an event.")
    heartbeat_seconds: float = Field(default=5, gt=0, description="How often a worker renews its leases.")
    debounce_seconds: float = Field(
        default=2, ge=0, le=600, description="How long to wait for another push to the same branch or pull request."
    )
    max_concurrent_per_project: int | None = Field(default=None, ge=1, description="Runs in flight of one project.")
    max_concurrent_per_provider: int | None = Field(
        default=None, ge=1, description="Runs in flight of events of one provider: GitHub, Linear, Slack, deployments."
    )
    burst_from: int = Field(
        default=100, ge=1, description="With as many events waiting, one Prefect flow run begins to handle many events."
    )
    burst_until: int = Field(default=20, ge=0, description="With no more waiting, each has its own flow run again.")
    burst_size: int = Field(default=200, ge=1, le=1000, description="Events that one flow run handles, at most.")
    burst_group: int = Field(default=50, ge=1, le=200, description="Events that one task run of it handles, at most.")
    drain_seconds: float = Field(
        default=20, ge=0, le=3600, description="How long a worker that is told to end lets its runs finish."
    )
    poll_seconds: float = Field(default=0.25, gt=0, description="How often a worker looks for new events.")
    prefect_poll_seconds: float = Field(default=2, gt=0, description="How often it looks for scheduled Prefect runs.")
    max_payload_bytes: int = Field(default=25 * 1024 * 1024, ge=1, description="GitHub's own limit is 25 MB.")

    encrypt_payloads: bool = Field(default=False, description="Keep the bytes of deliveries encrypted.")

    enable_continuous_learning: bool = True
    enable_performance_monitoring: bool = True
    enable_analytics: bool = True

    sample_seconds: float = Field(default=10, gt=0, description="How often CPU, memory, disk and network are measured.")
    cpu_alert_percent: float = Field(default=80, gt=0, le=100)
    memory_alert_percent: float = Field(default=85, gt=0, le=100)
    response_alert_seconds: float = Field(default=2.0, gt=0)
    error_rate_alert_percent: float = Field(default=5, gt=0, le=100)
    metrics_retention_days: int = Field(default=30, ge=1, le=3650, description="How long hourly figures are kept.")
    errors_retention_days: int = Field(default=30, ge=1, le=3650, description="How long single errors are kept.")

    @field_validator("public_url", "prefect_api_url")
    @classmethod
    def _trimmed(cls, value: str | None) -> str | None:
        return value.rstrip("/") if value else value

    @model_validator(mode="after")
    def _secret_in_production(self) -> Self:
        if self.environment is Environment.PRODUCTION:
            key = self.secret_key.get_secret_value()
            if key == DEFAULT_SECRET_KEY or len(key) < MINIMUM_SECRET_LENGTH:
                raise ValueError(
                    f"SECRET_KEY has to be set in production, to at least {MINIMUM_SECRET_LENGTH} characters of its own"
                )
        return self

    @property
    def mirrors(self) -> Path:
        return self.home / "mirrors"

    @property
    def spool(self) -> Path:
        return self.home / "spool"

    @property
    def checkouts(self) -> Path:
        return self.home / "checkouts"


@cache
def get_settings() -> Settings:
    """Return this process's settings, read once."""
    return Settings()
