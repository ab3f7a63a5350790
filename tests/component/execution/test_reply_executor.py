"""The reply executor: the rendered text is the answer."""

from collections.abc import Mapping
from typing import Any

import pytest

from contexten_core.errors import ConfigurationError
from contexten_core.execution.executor import Assignment, Report, executor_for
from contexten_core.execution.proposals import Comment, Labels, Message, Proposal, Review, TicketUpdate
from contexten_core.settings import Settings

TEXT = "Welcome!\n\n- [ ] Sign the agreement."


def assignment(
    *, outputs: Mapping[str, int] | None = None, config: Mapping[str, Any] | None = None, text: str = TEXT
) -> Assignment:
    return Assignment(
        name="acme/shop#7",
        prompt="welcome",
        instruction=text,
        system=None,
        config=config or {},
        limits={},
        outputs=outputs or {},
    )


async def carried_out(work: Assignment) -> tuple[Report, str]:
    heard: list[str] = []

    async def say(text: str) -> None:
        heard.append(text)

    executor = executor_for("reply", Settings())
    assert not executor.needs_checkout
    executor.prepare(work)
    return await executor.run(work, say), "".join(heard)


@pytest.mark.parametrize(
    ("outputs", "proposals"),
    [
        ({}, ()),
        ({"comment": 0, "patch": 1}, ()),
        ({"comment": 1}, (Comment(TEXT),)),
        ({"message": 1}, (Message(TEXT),)),
        ({"ticket_update": 1}, (TicketUpdate(comment=TEXT),)),
        ({"review": 1, "ticket_update": 1}, (Review(TEXT),)),
        ({"comment": 3, "review": 1, "ticket_update": 1, "message": 1}, (Comment(TEXT), Message(TEXT))),
    ],
)
async def test_the_text_is_what_the_prompt_allows(outputs: dict[str, int], proposals: tuple[Proposal, ...]) -> None:
    report, heard = await carried_out(assignment(outputs=outputs))

    assert (report.succeeded, report.headline, report.log, heard) == (True, "Welcome!", TEXT, TEXT)
    assert report.proposals == proposals
    assert report.sandbox is None


async def test_labels_are_set_where_the_prompt_allows_them() -> None:
    config = {"labels": {"add": ["first-timer"], "remove": ["new"]}}

    allowed, _ = await carried_out(assignment(config=config, outputs={"labels": 1}))
    other, _ = await carried_out(assignment(config=config, outputs={"comment": 1}))

    assert allowed.proposals == (Labels(add=("first-timer",), remove=("new",)),)
    assert other.proposals == (Comment(TEXT),)


async def test_an_empty_text_is_a_failure() -> None:
    report, _ = await carried_out(assignment(text=" \n", outputs={"comment": 1}))

    assert (report.succeeded, report.headline, report.proposals) == (False, "The text of the prompt is empty", ())


@pytest.mark.parametrize("labels", ["bug", ["bug"], {"set": ["bug"]}, {"add": "bug"}, {"add": [1]}])
async def test_labels_of_another_form_are_refused(labels: object) -> None:
    with pytest.raises(ConfigurationError, match="welcome"):
        await carried_out(assignment(config={"labels": labels}))
