"""Whom deliveries are taken from, how many, and how long they are kept."""

import json
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from contexten_core.security.signatures_standard import STANDARD_PREFIX, standard_key
from contexten_core.settings.integrations import MINIMUM_SECRET_LENGTH, checked_secret
from contexten_core.settings.names import NamedSettings

META = "meta"
"""In an address allow-list: the ranges that GitHub publishes."""

Network = IPv4Network | IPv6Network
_Names = Annotated[tuple[str, ...], NoDecode]
_Scoped = Annotated[dict[str, SecretStr], NoDecode]
_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}(/[A-Za-z0-9._-]{1,100})?")
_SOURCE = re.compile(r"(?!sim_)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_SCOPED = 1_000


class DeploymentSource(BaseModel):
    """One sender of deployment or other events, and how it proves who it is.

    Attributes:
        scheme: `hmac`: a header holds the HMAC-SHA256 of the body, in hex; `bearer`: `Authorization: Bearer SECRET`;
            `standard`: Standard Webhooks (https://www.standardwebhooks.com), whose secrets begin with `whsec_`.
        secret: the live secret, or several separated by commas while one replaces another.
        header: where `hmac` finds the signature.
        prefix: what stands before the signature in that header, `sha256=` say.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    scheme: Literal["hmac", "bearer", "standard"]
    secret: SecretStr
    header: str = Field(default="x-signature-256", pattern="^[A-Za-z0-9-]{1,100}$")
    prefix: str = Field(default="", max_length=20)

    @property
    def secrets(self) -> tuple[bytes, ...]:
        return _parts(self.secret)

    @field_validator("secret")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        return _checked(value)

    @field_validator("header")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.lower()

    @model_validator(mode="after")
    def _is_standard(self) -> Self:
        for secret in self.secrets if self.scheme == "standard" else ():
            key = standard_key(secret) if secret.startswith(STANDARD_PREFIX) else None
            if key is None or len(key) < MINIMUM_SECRET_LENGTH:
                raise ValueError(
                    f"a secret of Standard Webhooks is `whsec_` and base64 of at least {MINIMUM_SECRET_LENGTH} bytes"
                )
        return self


class IngressConfig(NamedSettings):
    """Everything about deliveries but the senders' own tokens and secrets."""

    github_scoped_secrets: _Scoped = Field(
        default_factory=dict,
        description='Secrets that count for one organisation or repository only: {"acme": "...", "acme/shop": "..."}.',
    )
    deployment_sources: Annotated[dict[str, DeploymentSource], NoDecode] = Field(
        default_factory=dict,
        description='Who may send to /deployments/events: {"ci": {"scheme": "bearer", "secret": "..."}}.',
    )
    github_ip_allowlist: _Names = Field(
        default=(), description="Networks that GitHub's deliveries may come from; `meta`: those that GitHub publishes."
    )
    linear_ip_allowlist: _Names = ()
    slack_ip_allowlist: _Names = ()
    deployment_ip_allowlist: _Names = ()
    trusted_proxies: _Names = Field(
        default=(), description="Networks of proxies whose X-Forwarded-For is believed; none by default."
    )
    webhook_rate_per_minute: int = Field(
        default=30_000, ge=1, description="Deliveries that one address may send us in a minute, for each provider."
    )
    webhook_connections: int = Field(default=2_000, ge=10, description="Connections that are open at once.")
    webhook_header_seconds: float = Field(
        default=10, gt=0, description="How long the head of a request may take to come."
    )
    webhook_body_seconds: float = Field(default=30, gt=0, description="The same of its body.")
    intake_waiting: int = Field(default=5_000, ge=1, description="Deliveries that may wait to be stored, per process.")
    spool_bytes: int = Field(
        default=2 * 1024**3, ge=1, description="Largest spool of deliveries that wait for the database to come back."
    )
    linear_retry_hours: float = Field(default=7, ge=0, le=168, description="How long Linear sends a delivery again.")
    delivery_retention_days: int = Field(
        default=35, ge=8, le=3650, description="How long the bytes of deliveries are kept; their digests stay."
    )
    delivery_recovery: bool = Field(
        default=True, description="Ask GitHub for the deliveries that it could not hand over, where a token allows it."
    )
    github_bot_logins: _Names = Field(default=(), description="GitHub accounts that are ourselves.")
    slack_bot_ids: _Names = Field(default=(), description="Slack users, bots and apps that are ourselves.")
    linear_bot_ids: _Names = Field(default=(), description="Linear users and apps that are ourselves.")

    @field_validator("github_scoped_secrets", "deployment_sources", mode="before")
    @classmethod
    def _object(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        found = json.loads(value) if value.strip() else {}
        if not isinstance(found, dict):
            raise ValueError("expected a JSON object")  # noqa: TRY004 - pydantic reports ValueErrors
        return found

    @field_validator("github_scoped_secrets")
    @classmethod
    def _usable_scoped(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        if len(value) > _MOST_SCOPED:
            raise ValueError(f"at most {_MOST_SCOPED} organisations and repositories can have secrets of their own")
        for name, secret in value.items():
            if not _SCOPE.fullmatch(name):
                raise ValueError("each secret is that of an `owner` or of an `owner/repository`")
            _checked(secret, where=name)
        return value

    @field_validator("deployment_sources")
    @classmethod
    def _told_apart(cls, value: dict[str, DeploymentSource]) -> dict[str, DeploymentSource]:
        if not all(_SOURCE.fullmatch(name) for name in value):
            raise ValueError("a source is named by letters, digits, `.`, `_` and `-`, and not `sim_...`")
        secrets = [secret for source in value.values() for secret in set(source.secrets)]
        if len(set(secrets)) < len(secrets):
            raise ValueError("two sources share a secret, so that each could speak for the other")
        return value

    @field_validator(
        "github_ip_allowlist",
        "linear_ip_allowlist",
        "slack_ip_allowlist",
        "deployment_ip_allowlist",
        "trusted_proxies",
        "github_bot_logins",
        "slack_bot_ids",
        "linear_bot_ids",
        mode="before",
    )
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(stripped for part in value.split(",") if (stripped := part.strip()))
        return value

    @field_validator("linear_ip_allowlist", "slack_ip_allowlist", "deployment_ip_allowlist", "trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        networks(value)
        return value

    @field_validator("github_ip_allowlist")
    @classmethod
    def _networks_or_meta(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        networks(part for part in value if part != META)
        return value


def networks(given: Any) -> tuple[Network, ...]:
    """Return networks from their texts. Raises ValueError for one that is none."""
    return tuple(ip_network(part, strict=False) for part in given)


def scopes(secrets: Mapping[str, SecretStr]) -> tuple[tuple[str, bytes], ...]:
    """Return each secret with the organisation or repository, in lower case, that it counts for."""
    return tuple((name.lower(), part) for name, secret in secrets.items() for part in _parts(secret))


def _parts(secret: SecretStr) -> tuple[bytes, ...]:
    return tuple(part.strip().encode() for part in secret.get_secret_value().split(","))


def _checked(secrets: SecretStr, *, where: str | None = None) -> SecretStr:
    for part in secrets.get_secret_value().split(","):
        checked_secret(part.strip(), where=where)
    return secrets
