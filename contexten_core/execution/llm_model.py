"""Ask a language model over its provider's protocol, through pydantic-ai, and say in our words what went wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from anthropic import AsyncAnthropic
from httpx2 import AsyncClient, Limits, Timeout
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext, ToolOutput
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelServerError,
    ModelUnavailableError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)
from pydantic_ai.messages import (
    AgentStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import RunUsage, UsageLimits

from contexten_core.errors import ConfigurationError, ExecutionError, OutboundError
from contexten_core.errors.breaker import BREAKERS, DependencyKind
from contexten_core.faults import outside
from contexten_core.integrations.json_call import host_of
from contexten_core.security.text import one_line
from contexten_core.settings import Settings

_CONNECT_SECONDS = 10
_READ_SECONDS = 120
_LONGEST_WAIT_SECONDS = 3_600.0
_SAID = 300
_MILLION = 1_000_000
_PASSING = (ModelRateLimitError, ModelUnavailableError, ModelServerError, ModelConnectionError)


@dataclass(frozen=True, slots=True)
class Turn:
    """A model's answer and what it took; `dollars` is None where the price of the model is not known."""

    answer: BaseModel
    calls: int
    tokens_in: int
    tokens_out: int
    dollars: float | None


async def ask(
    settings: Settings,
    *,
    name: str,
    system: str,
    instruction: str,
    answer: type[BaseModel],
    seconds: float,
    turns: int,
    tokens: int,
    dollars: float | None,
    hear: Callable[[str], Awaitable[None]],
) -> Turn:
    """Ask a model for an answer of a type; an answer that does not fit is sent back to it with what is wrong.

    Args:
        name: `openai:NAME` or `anthropic:NAME`.
        seconds: how long all of it may take.
        turns: how often the model may be asked.
        tokens: how many it may read and write in all.
        dollars: how much it may cost, where its price is known.
        hear: given what it says as it comes.

    Raises:
        ConfigurationError: the key is not valid, or there is no such model.
        OutboundError: the provider does not answer, refuses, or broke off.
        ExecutionError: its answers could not be used, or a limit was reached.
    """
    limit = None if dollars is None else Decimal(str(dollars))
    usage = RunUsage()
    async with _calling(settings, name) as model:
        agent = Agent(
            model,
            output_type=ToolOutput(answer, name="answer", description="Give your answer."),
            instructions=system,
            retries=max(turns - 1, 0),
        )
        try:
            async with asyncio.timeout(seconds):
                async with outside("model"):
                    result = await agent.run(
                        instruction,
                        usage=usage,
                        usage_limits=UsageLimits(request_limit=turns, total_tokens_limit=tokens, cost_limit=limit),
                        event_stream_handler=_passing(hear),
                    )
        except TimeoutError as error:
            raise ExecutionError(
                f"{name} had not answered after {seconds:g} s", hint="raise the prompt's wall_seconds, or try again"
            ) from error
        except AgentRunError as error:
            raise _in_our_words(name, error) from error
    return Turn(
        answer=result.output,
        calls=usage.requests,
        tokens_in=usage.input_tokens,
        tokens_out=usage.output_tokens,
        dollars=_price(settings, name, usage),
    )


@asynccontextmanager
async def _calling(settings: Settings, name: str) -> AsyncIterator[Model[Any]]:
    """Give the model, unless its provider is left alone for now."""
    provider = name.partition(":")[0]
    url = settings.openai_base_url if provider == "openai" else settings.anthropic_base_url
    with BREAKERS.calling(DependencyKind.LLM, provider if url is None else host_of(url)):
        async with _model(settings, name) as model:
            yield model


@asynccontextmanager
async def _model(settings: Settings, name: str) -> AsyncIterator[Model[Any]]:
    provider, _, model = name.partition(":")
    timeout = Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
    async with AsyncClient(timeout=timeout, limits=Limits(max_connections=4), follow_redirects=False) as http:
        if provider == "openai":
            assert settings.openai_api_key is not None
            client = AsyncOpenAI(
                api_key=settings.openai_api_key.get_secret_value(),
                organization=settings.openai_organization,
                base_url=settings.openai_base_url,
                http_client=http,
                max_retries=0,
            )
            yield OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client))
            return
        assert settings.anthropic_api_key is not None
        anthropic = AsyncAnthropic(
            api_key=settings.anthropic_api_key.get_secret_value(),
            base_url=settings.anthropic_base_url,
            http_client=http,
            max_retries=0,
        )
        yield AnthropicModel(model, provider=AnthropicProvider(anthropic_client=anthropic))


def _passing(hear: Callable[[str], Awaitable[None]]) -> Any:
    async def listen(_: RunContext[Any], events: Any) -> None:
        event: AgentStreamEvent
        async for event in events:
            if text := _text_of(event):
                await hear(text)
        await hear("\n")

    return listen


def _text_of(event: AgentStreamEvent) -> str:
    part: Any = None
    if isinstance(event, PartStartEvent):
        part = event.part
    elif isinstance(event, PartDeltaEvent):
        part = event.delta
    match part:
        case TextPart(content=text) | TextPartDelta(content_delta=text):
            return text
        case ToolCallPart(args=str() as text) | ToolCallPartDelta(args_delta=str() as text):
            return text
        case _:
            return ""


def _in_our_words(  # noqa: PLR0911 - one for each kind of error
    name: str, error: AgentRunError
) -> ConfigurationError | OutboundError | ExecutionError:
    said = one_line(str(error), _SAID)
    match error:
        case ModelAuthenticationError():
            variable = f"{name.partition(':')[0].upper()}_API_KEY"
            return ConfigurationError(f"the key for {name} is not valid: {said}", hint=f"check {variable}")
        case ModelNotFoundError():
            return ConfigurationError(f"there is no model {name}: {said}", hint="check LLM_MODEL or the prompt's model")
        case ModelQuotaExceededError():
            return OutboundError(f"the quota for {name} is used up: {said}", hint="look at the provider's billing page")
        case ModelAPIError():
            return OutboundError(
                f"{name} could not be asked: {said}",
                transient=isinstance(error, _PASSING),
                retry_after=None if error.retry_after is None else min(error.retry_after, _LONGEST_WAIT_SECONDS),
            )
        case UsageLimitExceeded():
            return ExecutionError(f"{name} reached a limit of the prompt: {said}", hint="raise max_tokens or max_cost")
        case UnexpectedModelBehavior():
            return ExecutionError(
                f"{name} gave no answer that can be used: {said}", hint="see the run's log for what it said"
            )
        case _:
            return ExecutionError(f"{name} was not asked to the end: {said}")


def _price(settings: Settings, name: str, usage: RunUsage) -> float | None:
    if name in settings.llm_prices:
        price_in, price_out = settings.llm_prices[name]
        return (usage.input_tokens * price_in + usage.output_tokens * price_out) / _MILLION
    return None if usage.cost is None else float(usage.cost)
