"""The form in which a model is asked for its answer, and what is read out of one."""

from collections.abc import Mapping
from typing import Any, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from contexten_core.execution.proposals import Answer, Comment, Labels, Message, Patch, Proposal, Review, TicketUpdate

_KINDS: dict[str, type[Any]] = {
    "comment": Comment,
    "review": Review,
    "labels": Labels,
    "patch": Patch,
    "ticket_update": TicketUpdate,
    "message": Message,
}
_PROPOSALS: TypeAdapter[tuple[Proposal, ...]] = TypeAdapter(tuple[Proposal, ...])


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", title="answer")


def answer_type(outputs: Mapping[str, int]) -> type[BaseModel]:
    """Return the model of an answer that may propose these kinds of outputs, so many of each at most."""
    allowed = [_KINDS[kind] for kind in sorted(outputs) if outputs[kind] > 0]
    fields: dict[str, Any] = {
        "succeeded": (bool, Field(description="Whether you did what was asked for.")),
        "summary": (str, Field(max_length=10_000, description="One or two sentences for people.")),
    }
    if allowed:
        kind: Any = Union[tuple(allowed)]  # noqa: UP007 - made at run time
        most = sum(outputs.values())
        described = ", ".join(f"at most {count} {name}" for name, count in sorted(outputs.items()))
        fields["proposals"] = (
            list[kind],
            Field(default_factory=list, max_length=most, description=f"What to do outside: {described}."),
        )
    made: type[BaseModel] = create_model("answer", __base__=_Asked, **fields)
    return made


def answered(value: BaseModel) -> Answer:
    """Return what the model said as an answer of ours."""
    given = value.model_dump()
    return Answer(
        succeeded=given["succeeded"],
        summary=given["summary"],
        proposals=_PROPOSALS.validate_python(given.get("proposals", [])),
    )
