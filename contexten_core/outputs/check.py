"""What an executor proposes, held against what its prompt allows: each proposal is accepted, harmless, or refused.

A proposal is never trusted: an executor may be a model that read a pull request which told it what to do.
"""

import html
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from contexten_core.errors import ContextenError
from contexten_core.events.models import EventProvider
from contexten_core.execution.proposals import (
    Comment,
    Labels,
    LineComment,
    Message,
    Patch,
    Proposal,
    Review,
    TicketUpdate,
)
from contexten_core.outputs.neutralise import for_linear, for_markdown, for_slack, for_title
from contexten_core.outputs.patch import apply, read_patch
from contexten_core.outputs.patch_paths import path_problem
from contexten_core.outputs.place import Place
from contexten_core.outputs.words import visible
from contexten_core.prompts.spec import OutputSpec, OutputType
from contexten_core.security.text import one_line

GITHUB_LIMIT = 65_536
SLACK_LIMIT = 40_000
LINEAR_LIMIT = 100_000
TITLE_LIMIT = 256
MOST_LINE_COMMENTS = 50
MOST_LABELS = 20

_ROOM = 1_000
"""Characters of a limit that are kept for the poster's marker."""

_LONGEST_TEXT = 1_000_000
_LONGEST_LABEL = 50
_LONGEST_STATE = 100
_LAST_LINE = 1_000_000
_MOST_REFUSED = 100
_MOST_LOOKED_AT = 1_000
_ROUNDS = 4
_CODE_MARKS = re.compile(r"[`\\]")
_TROJAN = re.compile("[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e0fff]")
_ADAPTER: TypeAdapter[Proposal] = TypeAdapter(Proposal)

Redact = Callable[[str], str]
Read = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A proposal that may be carried out, with its text made harmless, and where.

    Attributes:
        files: of a patch, what each file is to be, whole; None for one that goes.
    """

    kind: OutputType
    proposal: Proposal
    place: Place
    files: Mapping[str, bytes | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """A proposal that is not carried out, and why, for people."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Checked:
    accepted: tuple[Accepted, ...] = ()
    refused: tuple[Refused, ...] = ()


class _RefusedError(Exception):
    """Why a proposal is refused; never leaves this module."""


def check(
    proposals: Iterable[Any],
    allowed: Mapping[OutputType, OutputSpec],
    place: Place,
    *,
    redact: Redact,
    read: Read | None = None,
    withheld: Mapping[OutputType, str] | None = None,
) -> Checked:
    """Check proposals, in their order; what is more than the most of its kind is refused.

    Args:
        withheld: why kinds that the prompt may allow are refused all the same.
        redact: takes secrets out of a text.
        read: returns a file of the run's commit, None where there is none or it is no regular file; without it no
            patch is accepted, since nobody knows whether it fits.
    """
    accepted: list[Accepted] = []
    refused: list[Refused] = []
    left_out = 0
    counts: Counter[OutputType] = Counter()
    for number, given in enumerate(proposals):
        if number >= _MOST_LOOKED_AT:
            left_out += 1
            continue
        kind = one_line(redact(str(_attribute(given, "kind"))), 40)
        try:
            found = _Check(place, redact, read, withheld or {}).one(given, allowed, counts)
        except _RefusedError as error:
            if len(refused) < _MOST_REFUSED:
                refused.append(Refused(kind, one_line(redact(str(error)), 500)))
            else:
                left_out += 1
            continue
        counts[found.accepted.kind] += 1
        accepted.append(found.accepted)
        refused += found.refused
    if left_out:
        refused.append(Refused("more", f"{left_out:,} more were refused, or not looked at"))
    return Checked(tuple(accepted), tuple(refused))


@dataclass(frozen=True, slots=True)
class _Found:
    accepted: Accepted
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class _Check:
    place: Place
    redact: Redact
    read: Read | None
    withheld: Mapping[OutputType, str]

    def one(self, given: Any, allowed: Mapping[OutputType, OutputSpec], counts: Counter[OutputType]) -> _Found:
        proposal = _proposal_of(given)
        kind = OutputType(proposal.kind)
        spec = self._allowed(kind, allowed, counts)
        accept = partial(Accepted, kind, place=self.place)
        match proposal:
            case Comment():
                return _Found(accept(replace(proposal, body=self._comment(proposal.body))))
            case Review():
                return self._review(proposal, accept)
            case Labels():
                return _Found(accept(self._labels(proposal, spec)))
            case Patch():
                made, files = self._patch(proposal, spec)
                return _Found(accept(made, files=files))
            case TicketUpdate():
                return _Found(accept(self._ticket(proposal)))
            case Message():
                if self.place.channel is None or self.place.thread is None:
                    raise _RefusedError("there is no thread to answer in")
                return _Found(accept(replace(proposal, text=self._slack(proposal.text))))

    def _allowed(
        self, kind: OutputType, allowed: Mapping[OutputType, OutputSpec], counts: Counter[OutputType]
    ) -> OutputSpec:
        spec = allowed.get(kind)
        if spec is None or spec.most < 1:
            raise _RefusedError(f"the prompt does not allow {kind.value}")
        if why := self.withheld.get(kind):
            raise _RefusedError(why)
        if counts[kind] >= spec.most:
            raise _RefusedError(f"the prompt allows {spec.most} of {kind.value} in one run, and no more")
        return spec

    def _comment(self, body: str) -> str:
        if self.place.provider is EventProvider.GITHUB and self.place.number is not None:
            return self._github(body)
        if self.place.issue_id is not None:
            return self._linear(body)
        raise _RefusedError("there is no pull request, issue or ticket to comment on")

    def _review(self, review: Review, accept: Callable[..., Accepted]) -> _Found:
        if self.place.number is None or not self.place.is_pull_request or self.place.commit is None:
            raise _RefusedError("there is no pull request to review")
        comments: list[LineComment] = []
        refused: list[Refused] = []
        for comment in review.comments:
            try:
                if len(comments) == MOST_LINE_COMMENTS:
                    raise _RefusedError(f"a review has at most {MOST_LINE_COMMENTS} comments")
                comments.append(self._line_comment(comment))
            except _RefusedError as error:
                refused.append(Refused(review.kind, one_line(self.redact(f"a comment on a line: {error}"), 500)))
        if not review.body.strip() and not comments:
            raise _RefusedError(refused[0].reason if refused else "the review says nothing")
        body = self._github(review.body) if review.body.strip() else ""
        return _Found(accept(Review(body, tuple(comments))), tuple(refused[:MOST_LINE_COMMENTS]))

    def _line_comment(self, comment: LineComment) -> LineComment:
        path = self._unchanged(comment.path, "path")
        if problem := path_problem(path):
            raise _RefusedError(f"{path[:100]!r} {problem}")
        if not 0 < comment.line <= _LAST_LINE:
            raise _RefusedError(f"there is no line {comment.line}")
        return replace(comment, body=self._github(comment.body))

    def _labels(self, labels: Labels, spec: OutputSpec) -> Labels:
        if self.place.provider is not EventProvider.GITHUB or self.place.number is None:
            raise _RefusedError("there is no pull request or issue to label")
        add, remove = (self._names(names, spec) for names in (labels.add, labels.remove))
        if not add and not remove:
            raise _RefusedError("no label is named")
        if len(add) + len(remove) > MOST_LABELS:
            raise _RefusedError(f"more than {MOST_LABELS} labels at once")
        if {name.casefold() for name in add} & {name.casefold() for name in remove}:
            raise _RefusedError("the same label is added and removed")
        return Labels(add, remove)

    def _names(self, names: tuple[str, ...], spec: OutputSpec) -> tuple[str, ...]:
        known = None if spec.labels is None else {label.casefold(): label for label in spec.labels}
        found: dict[str, str] = {}
        for name in names:
            label = self._unchanged(name, "label")
            if not label.strip() or label != one_line(label, _LONGEST_LABEL):
                raise _RefusedError(f"{label[:60]!r} is not the name of a label")
            if known is not None and label.casefold() not in known:
                raise _RefusedError(f"the prompt does not allow the label {label!r}")
            found.setdefault(label.casefold(), known[label.casefold()] if known is not None else label)
        return tuple(found.values())

    def _patch(self, patch: Patch, spec: OutputSpec) -> tuple[Patch, dict[str, bytes | None]]:
        if self.place.repository is None or self.place.branch is None or self.place.commit is None:
            raise _RefusedError("there is no branch to make a pull request for")
        if self.read is None:
            raise _RefusedError("the code that the patch is for is not at hand")
        title = self._safe(patch.title, partial(for_title, limit=TITLE_LIMIT), "title")
        body = self._github(patch.body) if patch.body.strip() else ""
        try:
            read = read_patch(patch.diff, paths=spec.paths)
            files = apply(read, self.read)
        except ContextenError as error:
            raise _RefusedError(error.message) from error
        names = "\n".join(file.path for file in read.files)
        if self._shows_secret(read.added) or self._shows_secret(names):
            raise _RefusedError("the patch adds what looks like a secret")
        if _TROJAN.search(read.added):
            raise _RefusedError("the patch adds characters that hide what code says")
        return Patch(self.redact(patch.diff), title, body), files

    def _ticket(self, update: TicketUpdate) -> TicketUpdate:
        if self.place.issue_id is None:
            raise _RefusedError("there is no ticket to update")
        has_comment = update.comment is not None and update.comment.strip()
        if not has_comment and not (update.state or "").strip():
            raise _RefusedError("the update says neither a comment nor a state")
        state = None
        if update.state is not None and update.state.strip():
            state = self._unchanged(update.state.strip(), "state")
            if state != one_line(state, _LONGEST_STATE):
                raise _RefusedError(f"{state[:60]!r} is not the name of a state")
        return TicketUpdate(self._linear(update.comment or "") if has_comment else None, state)

    def _github(self, text: str) -> str:
        return self._safe(text, partial(for_markdown, limit=GITHUB_LIMIT - _ROOM, hosts=self.place.hosts))

    def _linear(self, text: str) -> str:
        return self._safe(text, partial(for_linear, limit=LINEAR_LIMIT, hosts=self.place.hosts))

    def _slack(self, text: str) -> str:
        return self._safe(text, partial(for_slack, limit=SLACK_LIMIT, hosts=self.place.hosts))

    def _safe(self, text: str, neutralise: Callable[[str], str], what: str = "text") -> str:
        """Return a text neutralised and without secrets, neither as it is written nor as it is read."""
        if len(text) > _LONGEST_TEXT:
            raise _RefusedError(f"the {what} has more than {_LONGEST_TEXT:,} characters")
        # What is invisible could divide a secret, and what is neutralised divides one by its marks.
        text = neutralise(self._redacted(visible(text)))
        for _ in range(_ROUNDS):
            final = neutralise(self._redacted(text))
            if final == text:
                break
            text = final
        else:
            raise _RefusedError(f"the {what} looks like a secret in every form")
        if not text.strip():
            raise _RefusedError(f"the {what} is empty")
        return text

    def _redacted(self, text: str) -> str:
        """Return a text without secrets; one that is only a secret when it is read loses its marks as well."""
        text = self.redact(text)
        as_read = _as_read(text)
        redacted = self.redact(as_read)
        return text if redacted == as_read else redacted

    def _unchanged(self, text: str, what: str) -> str:
        if visible(text) != text or self._shows_secret(text):
            raise _RefusedError(f"the {what} has invisible characters or looks like a secret")
        return text

    def _shows_secret(self, text: str) -> bool:
        return any(self.redact(form) != form for form in (text, _as_read(text)))


def _as_read(text: str) -> str:
    """Return a text about as it is read: without the marks of code and of escapes."""
    return _CODE_MARKS.sub("", html.unescape(text))


def _attribute(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, Mapping) else getattr(given, name, type(given).__name__)


def _proposal_of(given: Any) -> Proposal:
    """Return a proposal whose every part is of its type; an executor of a team's own may give anything."""
    try:
        values = asdict(given) if is_dataclass(given) and not isinstance(given, type) else given
        return _ADAPTER.validate_python(values)
    except (ValidationError, TypeError) as error:
        raise _RefusedError("it is none of the forms that a proposal has") from error
