"""What prompts may do, with which models, and how much of it."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from contexten_core.settings.names import NamedSettings

_Names = Annotated[tuple[str, ...], NoDecode]


class ExecutionConfig(NamedSettings):
    """Prompts' labels, language models, and the limits of what is executed."""

    protected_prompt_labels: _Names = Field(
        default=("production",), description="Labels of prompts that an `editor` may not move."
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

    @field_validator("protected_prompt_labels", mode="before")
    @classmethod
    def _labels_listed(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(stripped for part in value.split(",") if (stripped := part.strip()))
        return value

    @field_validator("openai_base_url", "anthropic_base_url")
    @classmethod
    def _base_without_slash(cls, value: str | None) -> str | None:
        return value.rstrip("/") if value else value
