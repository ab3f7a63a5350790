"""A delivery in our words, who of those that cause deliveries is ourselves, and how values are read out of a payload.

All of it is pure; what is missing, or of another type, is None, whatever the payload is.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from contexten_core.events.models import EventProvider
from contexten_core.security.text import clean_text, one_line, shorten
from contexten_core.settings import Settings

TEXT_LIMIT = 500
BODY_LIMIT = 20_000
LINE_LIMIT = 300
_MOST_LINKS = 20
_MOST_LABELS = 50
_LABEL_LIMIT = 100
_LINK_CANDIDATES = 400
_LARGEST_INTEGER = 2**53
_INDEX_DIGITS = 6
_LINK = re.compile(r"https?://[^\s<>\"\\\x00-\x20\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]{1,2000}")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_HEADS = "refs/heads/"
_TAGS = "refs/tags/"


@dataclass(frozen=True, slots=True)
class NormalisedEvent:
    """One delivery in the words that conditions, names and reports use. Absent parts are None.

    Attributes:
        name: one line that tells it from others in a list: where, and what happened.
        actor: who did it, as the sender names them.
        subject: what it is about, and what its runs follow each other on: `owner/name#7`, `owner/name@branch`, an
            issue's identifier, a thread.
        number: of the pull request, issue or discussion; of a Linear issue without its team.
        title: one line that says what it is about; only an event of our own may have none.
        deleted: whether what it is about is no longer there.
        place: where a team looks for it when it names no repository: a Linear team's key, a Slack channel's id, the
            source of a deployment.
        links: every address that the payload gives for people to look at, `url` first, at most 20.
        from_bot: whether a program did it.
        own: whether it was ourselves, so that a reply cannot trigger itself.
        base_commit: what it is compared with: the newest commit of the branch that a pull request or a group of them
            is to be merged into, or what a pushed branch was before; a new branch was nothing.
        labels: those that the pull request or issue has, by name, each once, at most 50.
        conclusion: how a check, a workflow, a status or a deployment ended or stands, as its sender says it.
        merged: whether it is the end of a pull request that was merged.
    """

    type: str
    name: str
    action: str | None = None
    actor: str | None = None
    repository: str | None = None
    subject: str | None = None
    number: int | None = None
    branch: str | None = None
    base_branch: str | None = None
    commit: str | None = None
    title: str | None = None
    text: str | None = None
    url: str | None = None
    deleted: bool = False
    from_fork: bool = False
    tag: str | None = None
    place: str | None = None
    links: tuple[str, ...] = ()
    from_bot: bool = False
    own: bool = False
    provider: EventProvider = EventProvider.GITHUB
    base_commit: str | None = None
    labels: tuple[str, ...] = ()
    conclusion: str | None = None
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Own:
    """Who we are to the outside.

    Whatever we did ourselves is ignored, a push, a check run or a status too: a fix that we push must not have us look
    for another one, on and on.

    Attributes:
        github: logins in lower case.
        github_apps: slugs, in lower case, and ids of GitHub Apps.
        slack: ids of users, bots and apps.
        linear: ids of users and apps.
    """

    github: frozenset[str] = frozenset()
    github_apps: frozenset[str] = frozenset()
    slack: frozenset[str] = frozenset()
    linear: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return who we are by these settings. A GitHub App acts under its slug with `[bot]` behind it."""
        slug = settings.github_app_slug
        logins = [*settings.github_bot_logins, *([f"{slug}[bot]"] if slug else [])]
        return cls(
            github=frozenset(login.lower() for login in logins),
            github_apps=frozenset(name.lower() for name in (slug, settings.github_app_id) if name),
            slack=frozenset(settings.slack_bot_ids),
            linear=frozenset(settings.linear_bot_ids),
        )


NOBODY = Own()


def dig(payload: Any, path: str) -> Any:
    """Return what is at a path; a number in it is a place in a list."""
    value = payload
    for key in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and len(key) < _INDEX_DIGITS and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def text_at(payload: Any, path: str, *, limit: int = TEXT_LIMIT) -> str | None:
    """Return the text at a path, made storable and cut to `limit` characters."""
    value = dig(payload, path)
    return shorten(clean_text(value[: limit + 1]), limit) if isinstance(value, str) and value else None


def first_text(payload: Any, paths: Iterable[str], *, limit: int = TEXT_LIMIT) -> str | None:
    """Return the first of these places that holds text."""
    return next((text for path in paths if (text := text_at(payload, path, limit=limit))), None)


def line_of(value: Any, *, limit: int = LINE_LIMIT) -> str | None:
    """Return a text, or a whole number as text, as one line of at most `limit` characters."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_INTEGER:
        return str(value)
    return one_line(value[: 4 * limit], limit) or None if isinstance(value, str) else None


def first_line(payload: Any, paths: Iterable[str], *, limit: int = LINE_LIMIT) -> str | None:
    """Return the first of these places that holds text, or a whole number, as one line."""
    return next((line for path in paths if (line := line_of(dig(payload, path), limit=limit))), None)


def integer_at(payload: Any, path: str) -> int | None:
    """Return the number of something at a path: positive, and small enough for every store."""
    value = dig(payload, path)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 < value < _LARGEST_INTEGER else None


def items_at(payload: Any, path: str, *, most: int = 50) -> list[Any]:
    """Return the first items of a list at a path."""
    value = dig(payload, path)
    return value[:most] if isinstance(value, list) else []


def labels_at(payload: Any, paths: Iterable[str]) -> tuple[str, ...]:
    """Return the names in the first of these lists that has any, each once, at most 50."""
    for path in paths:
        names = (line_of(dig(item, "name"), limit=_LABEL_LIMIT) for item in items_at(payload, path, most=_MOST_LABELS))
        if found := tuple(dict.fromkeys(name for name in names if name)):
            return found
    return ()


def first_commit(payload: Any, paths: Iterable[str]) -> str | None:
    """Return the first of these places that holds a whole commit id."""
    return next((commit for path in paths if (commit := commit_of(dig(payload, path)))), None)


def commit_of(value: Any) -> str | None:
    """Return a whole commit id; the one of zeros stands for none."""
    return value if isinstance(value, str) and _COMMIT.fullmatch(value) and set(value) != {"0"} else None


def branch_of(ref: str | None) -> str | None:
    """Return the branch that a full ref name means."""
    return ref.removeprefix(_HEADS) or None if ref and ref.startswith(_HEADS) else None


def tag_of(ref: str | None) -> str | None:
    """Return the tag that a full ref name means."""
    return ref.removeprefix(_TAGS) or None if ref and ref.startswith(_TAGS) else None


def link_of(value: Any) -> str | None:
    """Return a web address; other schemes, `javascript:` say, and addresses that are too long are none."""
    return value if isinstance(value, str) and _LINK.fullmatch(value) else None


def first_link(payload: Any, paths: Iterable[str]) -> str | None:
    """Return the first of these places that holds a web address."""
    return next((link for path in paths if (link := link_of(dig(payload, path)))), None)


def links_of(*candidates: Any) -> tuple[str, ...]:
    """Return the web addresses among these, each once, at most 20."""
    found = dict.fromkeys(link for value in candidates[:_LINK_CANDIDATES] if (link := link_of(value)))
    return tuple(found)[:_MOST_LINKS]
