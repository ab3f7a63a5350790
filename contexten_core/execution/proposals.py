"""What an executor proposes to do to the outside world. Nothing here does it: a proposal is data, and not trusted."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Discriminator


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on the pull request, issue or commit that the run is about."""

    body: str
    kind: Literal["comment"] = "comment"


@dataclass(frozen=True, slots=True)
class LineComment:
    path: str
    line: int
    body: str


@dataclass(frozen=True, slots=True)
class Review:
    """A review of the pull request that neither approves nor refuses it."""

    body: str
    comments: tuple[LineComment, ...] = ()
    kind: Literal["review"] = "review"


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels to put on the pull request, issue or ticket, and to take off."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    kind: Literal["labels"] = "labels"


@dataclass(frozen=True, slots=True)
class Patch:
    """A change of the code, as a unified diff against the run's commit: a branch and a draft pull request."""

    diff: str
    title: str
    body: str = ""
    kind: Literal["patch"] = "patch"


@dataclass(frozen=True, slots=True)
class TicketUpdate:
    """A comment on the ticket that the run is about, and the name of the state that it goes to."""

    comment: str | None = None
    state: str | None = None
    kind: Literal["ticket_update"] = "ticket_update"


@dataclass(frozen=True, slots=True)
class Message:
    """A reply in the thread that the run is about."""

    text: str
    kind: Literal["message"] = "message"


Proposal = Annotated[Comment | Review | Labels | Patch | TicketUpdate | Message, Discriminator("kind")]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model or an agent says at the end, in the form that it is asked for.

    Attributes:
        succeeded: whether it did what the instruction asks for, by its own word, which decides nothing.
        summary: one or two sentences for people.
    """

    succeeded: bool
    summary: str
    proposals: tuple[Proposal, ...] = field(default_factory=tuple)
