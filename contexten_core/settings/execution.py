"""What prompts may do, with which models, and how much of it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from contexten_core.settings.names import NamedSettings

_Names = Annotated[tuple[str, ...], NoDecode]
_AgentName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,199}$")]


class SandboxUse(StrEnum):
    """Whether commands run in a sandbox: where there is one, only in one, or never."""

    AUTO = "auto"
    REQUIRED = "required"
    OFF = "off"


class ExecutionConfig(NamedSettings):
    """Prompts' labels, language models, and the limits of what is executed."""

    protected_prompt_labels: _Names = Field(
        default=("production",), description="Labels of prompts that an `editor` may not move."
    )

    sandbox: SandboxUse = Field(
        default=SandboxUse.AUTO, description="Run commands in bubblewrap: `auto` where it works, `required`, or `off`."
    )
    sandbox_shown: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="Folders that commands may read besides the system's, such as /opt/node."
    )

    mirror_retention_days: int = Field(
        default=30, ge=1, le=3650, description="How long the mirror of a repository is kept that nobody uses."
    )
    mirrors_bytes: int = Field(
        default=20 * 1024**3, ge=1, description="What mirrors may take; those that were not used for longest go first."
    )

    repository_prompts: bool = Field(
        default=True, description="Let a repository add and narrow prompts by its own .contexten.yaml."
    )

    llm_model: str | None = Field(
        default=None,
        pattern=r"^(openai|anthropic):[A-Za-z0-9._:/@-]{1,200}$",
        description="The model of prompts that name none: `openai:NAME` or `anthropic:NAME`.",
    )
    openai_base_url: str | None = Field(
        default=None, pattern="^https?://", description="An address that speaks OpenAI's protocol."
    )
    anthropic_base_url: str | None = Field(
        default=None, pattern="^https?://", description="An address that speaks Anthropic's protocol."
    )
    anthropic_api_key: SecretStr | None = None
    llm_prices: Annotated[dict[str, tuple[float, float]], Field(max_length=1_000)] = Field(
        default_factory=dict,
        description='US dollars for a million tokens in and out: {"openai:NAME": [1.25, 10]}.',
    )
    llm_timeout_seconds: float = Field(default=300, gt=0, le=3600, description="Longest wait for a model's whole turn.")

    hosted_agents: Annotated[dict[_AgentName, str], Field(max_length=100)] = Field(
        default_factory=dict,
        description='Hosted agents that prompts may name, and where they are: {"acme": "https://agents.example/v1"}.',
    )
    hosted_agent_tokens: Annotated[dict[_AgentName, SecretStr], Field(max_length=100)] = Field(
        default_factory=dict, description='The token for each of them: {"acme": "..."}.'
    )

    max_concurrent_per_executor: Annotated[dict[str, Annotated[int, Field(ge=1)]], Field(max_length=100)] = Field(
        default_factory=dict,
        description='Prompts of one executor in progress in one process: {"llm": 8, "agent": 2}.',
    )

    @field_validator("protected_prompt_labels", mode="before")
    @classmethod
    def _labels_listed(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(stripped for part in value.split(",") if (stripped := part.strip()))
        return value

    @field_validator("sandbox_shown", mode="before")
    @classmethod
    def _folders_listed(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(stripped) for part in value.split(",") if (stripped := part.strip()))
        return value

    @field_validator("sandbox_shown")
    @classmethod
    def _folders_absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        for folder in value:
            if not folder.is_absolute():
                raise ValueError(f"{folder} is no absolute path")
        return value

    @field_validator("hosted_agents")
    @classmethod
    def _addresses(cls, value: dict[str, str]) -> dict[str, str]:
        return {name: _address(name, url) for name, url in value.items()}

    @field_validator("openai_base_url", "anthropic_base_url")
    @classmethod
    def _base_without_slash(cls, value: str | None) -> str | None:
        return value.rstrip("/") if value else value


def _address(name: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"the address of the hosted agent {name} is none: {error}") from None
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    if parts.scheme not in {"http", "https"} or not host or not is_plain:
        raise ValueError(
            f"the address of the hosted agent {name} has to be an http:// or https:// URL with a host, and without a"
            " user, a query and a fragment"
        )
    return url.rstrip("/")
