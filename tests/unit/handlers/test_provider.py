"""What holds for the handlers of every provider; acceptance points 15 and 16."""

import asyncio
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from contexten.handlers import GitHub, Linear, Slack
from contexten_core.errors import ConfigurationError, InvalidInputError
from contexten_core.events.handlers import HandlerRegistry
from contexten_core.events.models import EventProvider

PUSH: dict[str, Any] = {"ref": "refs/heads/main", "commits": [{"id": "1"}]}


async def test_15_async_handlers_are_awaited(github: GitHub) -> None:
    @github.event("push")
    async def handle(event: dict[str, Any]) -> str:
        await asyncio.sleep(0)
        return str(event["ref"])

    assert await github.handle(PUSH, event_type="push") == "refs/heads/main"


async def test_15_an_object_whose_call_is_async_is_awaited_too(github: GitHub) -> None:
    class Handler:
        async def __call__(self, event: dict[str, Any]) -> str:
            return str(event["ref"])

    github.event("push")(Handler())

    assert await github.handle(PUSH, event_type="push") == "refs/heads/main"


async def test_sync_handlers_run_in_a_thread(github: GitHub) -> None:
    @github.event("push")
    def handle(event: dict[str, Any]) -> int:
        return threading.get_ident()

    assert await github.handle(PUSH, event_type="push") != threading.get_ident()


async def test_16_two_handlers_for_one_event_both_run(github: GitHub) -> None:
    @github.event("push")
    def one(event: dict[str, Any]) -> str:
        return "one"

    @github.event("push")
    async def two(event: dict[str, Any]) -> str:
        return "two"

    assert await github.handle(PUSH, event_type="push") == ["one", "two"]


async def test_all_handlers_run_even_when_one_raises(github: GitHub) -> None:
    ran = []

    @github.event("push")
    def broken(event: dict[str, Any]) -> None:
        raise LookupError("no such branch")

    @github.event("push")
    async def works(event: dict[str, Any]) -> None:
        await asyncio.sleep(0.01)
        ran.append("works")

    with pytest.raises(LookupError, match="no such branch"):
        await github.handle(PUSH, event_type="push")
    assert ran == ["works"]


async def test_when_several_raise_all_their_errors_are_told(github: GitHub) -> None:
    @github.event("push")
    def one(event: dict[str, Any]) -> None:
        raise LookupError("one")

    @github.event("push")
    async def two(event: dict[str, Any]) -> None:
        raise ValueError("two")

    with pytest.raises(ExceptionGroup, match="2 handlers failed") as caught:
        await github.handle(PUSH, event_type="push")
    assert [type(error) for error in caught.value.exceptions] == [LookupError, ValueError]


async def test_no_handler_sees_what_another_did_to_the_payload(github: GitHub) -> None:
    @github.event("push")
    def spoil(event: dict[str, Any]) -> None:
        event["commits"].clear()

    @github.event("push")
    async def count(event: dict[str, Any]) -> int:
        await asyncio.sleep(0.01)
        return len(event["commits"])

    payload = {"commits": [{"id": "1"}]}
    assert await github.handle(payload, event_type="push") == [None, 1]
    assert payload == {"commits": [{"id": "1"}]}


def test_the_decorator_returns_the_function_unchanged(github: GitHub) -> None:
    def handle(event: dict[str, Any]) -> None: ...

    assert github.event("push")(handle) is handle


async def test_a_handler_may_be_for_several_events(github: GitHub) -> None:
    @github.event("push")
    @github.event("create")
    def handle(event: dict[str, Any]) -> str:
        return "handled"

    assert await github.handle({}, event_type="push") == "handled"
    assert await github.handle({}, event_type="create") == "handled"


async def test_providers_share_the_registry_but_not_their_events(
    github: GitHub, linear: Linear, slack: Slack, registry: HandlerRegistry
) -> None:
    for provider in (github, linear, slack):
        provider.event("*")(lambda event: "mine")

    assert len(registry.names) == 3
    assert await linear.handle({"type": "Issue"}) == "mine"
    github.unsubscribe_all_handlers()
    assert await github.handle(PUSH, event_type="push") == {"message": "Event type not handled"}
    assert await slack.handle({"type": "message"}) == "mine"
    assert len(registry.names) == 2


def test_handlers_have_the_same_names_in_the_next_process(github: GitHub, registry: HandlerRegistry) -> None:
    @github.event("push")
    def handle(event: dict[str, Any]) -> None: ...

    github.event("push")(handle)
    place = f"{__name__}.{handle.__qualname__}"

    assert registry.names == {f"github:push:{place}", f"github:push:{place}#2"}


async def test_the_registered_call_takes_the_stored_payload_alone(github: GitHub, registry: HandlerRegistry) -> None:
    """As the queue makes it, in another process and without a request."""

    @github.event("push")
    def handle(event: dict[str, Any], request: object) -> tuple[str, object]:
        return event["ref"], request

    (handler,) = registry.matching(EventProvider.GITHUB, "push", PUSH)
    assert await asyncio.to_thread(handler.call, PUSH) == ("refs/heads/main", None)


async def test_a_handler_can_ask_for_the_request(github: GitHub) -> None:
    @github.event("push")
    def handle(event: dict[str, Any], request: object) -> object:
        return request

    request = object()
    assert await github.handle(PUSH, request, event_type="push") is request
    assert await github.handle(PUSH, event_type="push") is None


class Push(BaseModel):
    ref: str
    forced: bool = False


async def test_a_model_is_made_from_the_annotation_of_the_parameter_named_event(github: GitHub) -> None:
    @github.event("push")
    def handle(request: object, *, event: Push, note: str = "noted") -> tuple[Push, str]:
        return event, note

    assert await github.handle(PUSH, event_type="push") == (Push(ref="refs/heads/main"), "noted")


async def test_or_of_the_first_parameter(github: GitHub) -> None:
    @github.event("push")
    def handle(pushed: Push, /) -> Push:
        return pushed

    assert await github.handle(PUSH, event_type="push") == Push(ref="refs/heads/main")


async def test_or_of_a_union(github: GitHub) -> None:
    @github.event("push")
    def handle(event: Push | None) -> Push | None:
        return event

    assert await github.handle(PUSH, event_type="push") == Push(ref="refs/heads/main")


async def test_what_the_model_does_not_take_is_an_error_that_names_the_field(github: GitHub) -> None:
    @github.event("push")
    def handle(event: Push) -> None: ...

    with pytest.raises(InvalidInputError) as caught:
        await github.handle({"ref": {"secret": "not to be told"}}, event_type="push")
    assert set(caught.value.fields) == {"ref"}
    assert "not to be told" not in str(caught.value)


async def test_without_an_annotation_or_parameter_too(github: GitHub) -> None:
    @github.event("push")
    def bare(event):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - as people write them
        return event

    @github.event("push")
    def nothing() -> str:
        return "nothing"

    @github.event("push")
    def anything(*args: Any, **options: Any) -> tuple[Any, Any]:
        return args, options

    assert await github.handle(PUSH, event_type="push") == [PUSH, "nothing", ((PUSH,), {})]


def test_a_handler_that_needs_more_is_refused_when_it_is_registered(github: GitHub) -> None:
    def handle(event: dict[str, Any], context: object) -> None: ...

    with pytest.raises(ConfigurationError, match="needs 'context'"):
        github.event("push")(handle)


def test_an_annotation_that_nothing_can_become_is_refused(github: GitHub) -> None:
    def handle(event: threading.Thread) -> None: ...

    with pytest.raises(ConfigurationError, match="no payload can become"):
        github.event("push")(handle)


@pytest.mark.parametrize("name", ["", " ", "x" * 201, None, lambda event: event])
def test_the_decorator_needs_the_name_of_an_event(github: GitHub, name: Any) -> None:
    with pytest.raises(ConfigurationError, match="not the name of an event"):
        github.event(name)
