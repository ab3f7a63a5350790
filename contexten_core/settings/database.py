"""Where rows are kept."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contexten_core.errors import ConfigurationError

# SQLAlchemy is imported where an address is read: commands that need no database start in half the time without it.
if TYPE_CHECKING:
    from sqlalchemy import URL


class DatabaseKind(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    EMBEDDED = "embedded"


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
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

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
            from sqlalchemy import make_url

            backend = make_url(self.url.get_secret_value()).get_backend_name()
            return DatabaseKind.SQLITE if backend == "sqlite" else DatabaseKind.POSTGRESQL
        if self.use_sqlite:
            return DatabaseKind.SQLITE
        return DatabaseKind.POSTGRESQL if self.host else DatabaseKind.EMBEDDED

    @property
    def address(self) -> "URL":
        """The address without a driver; passwords with any character in them are kept whole."""
        from sqlalchemy import URL, make_url

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

    @property
    def database_url(self) -> str:
        """The address for async SQLAlchemy, with the password in it: for connecting, not for showing."""
        driver = "sqlite+aiosqlite" if self.address.get_backend_name() == "sqlite" else "postgresql+psycopg"
        return self.address.set(drivername=driver).render_as_string(hide_password=False)

    @property
    def sync_database_url(self) -> str:
        """The same for SQLAlchemy without async."""
        driver = "sqlite+pysqlite" if self.address.get_backend_name() == "sqlite" else "postgresql+psycopg"
        return self.address.set(drivername=driver).render_as_string(hide_password=False)
