"""Proposals held against what a prompt allows, where they would go, and how large and how secret they are."""

from dataclasses import dataclass
from typing import Any

import pytest

from contexten_core.events.models import EventProvider
from contexten_core.execution.proposals import (
    Comment,
    Labels,
    LineComment,
    Message,
    Patch,
    Review,
    TicketUpdate,
)
from contexten_core.outputs.check import Accepted, Checked, check
from contexten_core.outputs.place import Place
from contexten_core.prompts.spec import OutputSpec, OutputType
from contexten_core.security.redaction import Redactor

SECRET = "p@ss/w+rd-canary-7f3a"
REDACTOR = Redactor([SECRET])
ISSUE = Place(EventProvider.GITHUB, "acme/shop", number=3, commit="c" * 40, branch="main")
PULL_REQUEST = Place(EventProvider.GITHUB, "acme/shop", number=7, is_pull_request=True, commit="c" * 40, branch="fix")
PUSH = Place(EventProvider.GITHUB, "acme/shop", commit="c" * 40, branch="main")
TICKET = Place(EventProvider.LINEAR, "acme/shop", commit="c" * 40, branch="main", issue_id="i-1")
THREAD = Place(EventProvider.SLACK, "acme/shop", commit="c" * 40, branch="main", channel="C1", thread="1.0")
ALL = {kind: OutputSpec(most=10) for kind in OutputType}
DIFF = "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-old\n+new\n"


def checked(place: Place, *proposals: Any, allowed: dict[OutputType, OutputSpec] | None = None) -> Checked:
    read = {"a.txt": b"old\n"}.get
    return check(proposals, ALL if allowed is None else allowed, place, redact=REDACTOR.redact, read=read)


def accepted(place: Place, proposal: Any, **spec: Any) -> Accepted:
    [found] = checked(place, proposal, allowed={OutputType(proposal.kind): OutputSpec(**spec)}).accepted
    return found


def reason(place: Place, *proposals: Any, **spec: Any) -> str:
    allowed = {kind: OutputSpec(**spec) for kind in OutputType}
    found = checked(place, *proposals, allowed=allowed)
    assert found.accepted == ()
    return found.refused[0].reason


def test_what_a_prompt_does_not_name_is_refused() -> None:
    found = checked(ISSUE, Comment("a"), Labels(("bug",)), allowed={OutputType.COMMENT: OutputSpec()})

    assert [item.proposal for item in found.accepted] == [Comment("a")]
    assert [(item.kind, item.reason) for item in found.refused] == [("labels", "the prompt does not allow labels")]


def test_what_is_more_than_the_most_is_refused_in_order_and_what_was_refused_does_not_count() -> None:
    comments = [Comment(" "), *(Comment(str(number)) for number in range(500))]

    found = checked(ISSUE, *comments, allowed={OutputType.COMMENT: OutputSpec(most=2)})

    assert [item.proposal for item in found.accepted] == [Comment("0"), Comment("1")]
    assert found.refused[0].reason == "the text is empty"
    assert found.refused[1].reason == "the prompt allows 2 of comment in one run, and no more"
    assert (len(found.refused), found.refused[-1].reason) == (101, "399 more were refused, or not looked at")


@pytest.mark.parametrize(
    ("place", "proposal", "why"),
    [
        (PUSH, Comment("a"), "no pull request, issue or ticket"),
        (THREAD, Comment("a"), "no pull request, issue or ticket"),
        (ISSUE, Review("a"), "no pull request to review"),
        (TICKET, Review("a"), "no pull request to review"),
        (PUSH, Labels(("a",)), "no pull request or issue to label"),
        (TICKET, Labels(("a",)), "no pull request or issue to label"),
        (ISSUE, TicketUpdate("a"), "no ticket"),
        (ISSUE, Message("a"), "no thread"),
        (Place(EventProvider.SLACK, channel="C1"), Message("a"), "no thread"),
        (Place(EventProvider.SLACK), Patch(DIFF, "a"), "no branch"),
    ],
)
def test_a_proposal_that_does_not_fit_the_place_is_refused(place: Place, proposal: Any, why: str) -> None:
    assert why in reason(place, proposal)


def test_a_ticket_takes_a_comment_and_a_thread_a_message_each_in_its_services_own_form() -> None:
    assert accepted(TICKET, Comment("@a <b>")).proposal == Comment("`@a`")
    assert accepted(TICKET, TicketUpdate("@a", "Done")).proposal == TicketUpdate("`@a`", "Done")
    assert accepted(THREAD, Message("<!here>")).proposal == Message("&lt;!here&gt;")


@pytest.mark.parametrize(
    ("proposal", "why"),
    [
        (Comment(""), "empty"),
        (Comment("<!-- -->"), "empty"),
        (Comment("x" * 1_000_001), "1,000,000 characters"),
        (Review("  "), "says nothing"),
        (Review("", (LineComment("../x", 1, "a"),)), "does not stay within"),
        (Review("", (LineComment("a.txt", 0, "a"),)), "no line 0"),
        (Labels(), "no label"),
        (Labels(("x" * 51,)), "not the name of a label"),
        (Labels(("a\nb",)), "not the name of a label"),
        (Labels(("a",), ("A",)), "added and removed"),
        (Labels(tuple(map(str, range(21)))), "more than 20"),
        (Patch("", "a"), "changes nothing"),
        (Patch(DIFF, " "), "the title is empty"),
        (Patch(DIFF.replace("-old", "-other"), "a"), "does not fit"),
        ({"kind": "merge"}, "none of the forms"),
        (object(), "none of the forms"),
        (Comment(7), "none of the forms"),  # type: ignore[arg-type]
    ],
)
def test_what_says_nothing_or_is_not_of_its_form_is_refused_with_the_reason(proposal: Any, why: str) -> None:
    assert why in reason(PULL_REQUEST, proposal)


def test_a_ticket_update_needs_something_to_say() -> None:
    assert "neither a comment nor a state" in reason(TICKET, TicketUpdate())
    assert "not the name of a state" in reason(TICKET, TicketUpdate(state="x" * 101))


def test_labels_are_those_that_the_prompt_names_in_its_own_spelling() -> None:
    assert accepted(ISSUE, Labels(("BUG", "bug"), ("Triage",)), labels=("bug", "triage")).proposal == Labels(
        ("bug",), ("triage",)
    )
    assert "does not allow the label 'admin'" in reason(ISSUE, Labels(("admin",)), labels=("bug",))


def test_a_line_comment_that_is_refused_leaves_the_others() -> None:
    lines = tuple(LineComment("a.txt", number, "Here") for number in range(60))

    found = checked(PULL_REQUEST, Review("Look", lines))

    [review] = found.accepted
    assert isinstance(review.proposal, Review)
    assert [comment.line for comment in review.proposal.comments] == list(range(1, 51))
    assert [item.reason for item in found.refused[:2]] == [
        "a comment on a line: there is no line 0",
        "a comment on a line: a review has at most 50 comments",
    ]


def test_a_patch_is_applied_to_the_code_and_needs_it() -> None:
    assert accepted(PUSH, Patch(DIFF, "Fix")).files == {"a.txt": b"new\n"}
    found = check([Patch(DIFF, "Fix")], ALL, PUSH, redact=str)
    assert found.refused[0].reason == "the code that the patch is for is not at hand"


@pytest.mark.parametrize(
    "text",
    [
        f"it is {SECRET}.",
        f"it is `{SECRET}`",
        f"```\n{SECRET}\n```",
        "it is p@ss/w+rd\u200b-canary-7f3a",
        "it is p&#64;ss/w+rd-canary-7f3a",
        "it is p\\@ss/w+rd-canary-7f3a",
        "it is p@ss/w`+rd-canary-7f3a`",
        f"[a](https://evil.example/?q={SECRET})",
        "ghp_0123456789abcdefABCDEF0123456789",
        "ghp_0123456789ab<!-- -->cdefABCDEF0123456789",
    ],
)
def test_no_secret_is_left_in_a_text_as_it_is_written_or_read(text: str) -> None:
    proposal = accepted(ISSUE, Comment(text)).proposal

    assert isinstance(proposal, Comment)
    assert "canary" not in proposal.body
    assert "0123456789ab" not in proposal.body
    assert "[redacted]" in proposal.body


@pytest.mark.parametrize(
    ("proposal", "why"),
    [
        (Labels((SECRET,)), "looks like a secret"),
        (Patch(DIFF.replace("+new", f"+{SECRET}"), "a"), "adds what looks like a secret"),
        (Patch(DIFF.replace("+new", "+x = 1 # \u202e"), "a"), "hide what code says"),
        (Review("", (LineComment(SECRET, 1, "a"),)), "looks like a secret"),
    ],
)
def test_where_a_secret_cannot_be_taken_out_the_proposal_is_refused(proposal: Any, why: str) -> None:
    found = reason(PULL_REQUEST, proposal)

    assert why in found
    assert "canary" not in found


@dataclass(frozen=True)
class _Own:
    kind: str = f"merge {SECRET}"


def test_a_reason_gives_no_secret_away() -> None:
    [refused] = checked(ISSUE, _Own()).refused

    assert "canary" not in f"{refused.kind}{refused.reason}"
