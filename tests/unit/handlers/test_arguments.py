from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from contexten.handlers.arguments import Arguments
from contexten_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contexten.handlers import GitHub


class Push(BaseModel):
    ref: str


async def test_annotations_that_are_text_are_read(github: GitHub) -> None:
    @github.event("push")
    def handle(event: Push) -> Push:
        return event

    assert await github.handle({"ref": "main"}, event_type="push") == Push(ref="main")


async def test_also_when_the_model_is_local_and_other_annotations_cannot_be_read(github: GitHub) -> None:
    class Local(BaseModel):
        ref: str

    @github.event("push")
    async def handle(event: Local, request: Unknown = None) -> Unknown:  # type: ignore[name-defined]  # noqa: F821
        return type(event).__name__, event.ref

    assert await github.handle({"ref": "main"}, event_type="push") == ("Local", "main")


async def test_a_dict_that_is_text_is_a_dict(github: GitHub) -> None:
    @github.event("push")
    def handle(event: dict[str, Any]) -> type:
        return type(event)

    assert await github.handle({"ref": "main"}, event_type="push") is dict


def test_one_that_cannot_be_read_is_refused_with_the_reason() -> None:
    def handle(event: Mapping[str, Any]) -> None: ...

    with pytest.raises(ConfigurationError, match="'Mapping' is not defined") as caught:
        Arguments.of(handle, {})
    assert caught.value.hint is not None
    assert "TYPE_CHECKING" in caught.value.hint
