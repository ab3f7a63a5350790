"""What a GitHub delivery says, in our words: a pure function over its type and payload that never raises.

Shapes: https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from collections.abc import Iterator, Mapping
from typing import Any

from contexten_core.events.normalise import (
    BODY_LIMIT,
    NOBODY,
    NormalisedEvent,
    Own,
    branch_of,
    commit_of,
    dig,
    first_commit,
    first_line,
    first_link,
    first_text,
    integer_at,
    items_at,
    labels_at,
    line_of,
    link_of,
    links_of,
    tag_of,
    text_at,
)
from contexten_core.events.normalise_github_tables import (
    ACTORS,
    BASE_BRANCHES,
    BASE_COMMITS,
    BRANCHES,
    COMMITS,
    CONCLUSIONS,
    ELSEWHERE,
    HEAD_REPOSITORIES,
    LABELS,
    LINK_KEYS,
    LINK_LISTS,
    LINKS,
    NUMBERS,
    OWN_APPS,
    PLACES,
    PULL_REQUEST_LISTS,
    SUBJECTS,
    TAGS,
    TEXTS,
    TITLES,
    WELL_KNOWN,
)
from contexten_core.security.text import one_line

_NAME_LIMIT = 300
_MOST_KEYS = 60


def normalise_github(event_type: str, payload: Mapping[str, Any], own: Own = NOBODY) -> NormalisedEvent:
    """Read the parts of a GitHub payload that we act on; whatever is missing or of another type is left out."""
    repository = first_line(payload, ("repository.full_name",))
    action = first_line(payload, ("action",))
    place = repository or first_line(payload, PLACES) or "github"
    named = next((number for path in NUMBERS if (number := integer_at(payload, path)) is not None), None)
    pull_request = None if named is not None else _only_pull_request(payload)
    number = integer_at(pull_request, "number") if named is None else named
    branch, tag = _refs(payload)
    commit = first_commit(payload, COMMITS)
    kind = one_line(event_type[:_NAME_LIMIT], 100) or "event"
    what = f"{kind} {action}" if action else kind
    where = f"{place}#{number}" if number else f"{place} {branch or tag or ''}"
    url = link_of(dig(payload.get(event_type), "html_url")) or first_link(payload, LINKS)
    actor = first_line(payload, ACTORS)
    return NormalisedEvent(
        type=event_type,
        name=one_line(f"{where} {what if named is None else action or kind}", _NAME_LIMIT),
        action=action,
        actor=actor,
        repository=repository,
        subject=one_line(_subject(event_type, payload, place, number, branch or tag, commit), _NAME_LIMIT),
        number=number,
        branch=branch,
        base_branch=_base(payload) or text_at(pull_request, "base.ref"),
        commit=commit,
        title=_title(event_type, payload) or what.replace("_", " "),
        text=first_text(payload, TEXTS, limit=BODY_LIMIT),
        url=url,
        deleted=payload.get("deleted") is True or event_type == "delete",
        from_fork=any(
            isinstance(dig(payload, owner), Mapping) and text_at(payload, f"{owner}.{head}.full_name") != repository
            for owner, head in HEAD_REPOSITORIES
        ),
        tag=tag,
        links=links_of(url, *_link_candidates(payload)),
        from_bot=dig(payload, "sender.type") == "Bot" or (actor or "").endswith("[bot]"),
        own=(actor or "").lower() in own.github or _by_app(payload, action, own.github_apps),
        base_commit=_base_commit(event_type, payload),
        labels=labels_at(payload, LABELS),
        conclusion=first_line(payload, CONCLUSIONS.get(event_type, ())),
        merged=(event_type, action) == ("pull_request", "closed") and dig(payload, "pull_request.merged") is True,
    )


def _subject(
    event_type: str, payload: Mapping[str, Any], place: str, number: int | None, ref: str | None, commit: str | None
) -> str:
    kind, paths = SUBJECTS.get(event_type, ("", ()))
    if thing := first_line(payload, paths, limit=150):
        return f"{place}!{kind}/{thing}"
    if number is not None:
        return f"{place}#{number}"
    if ref is None and commit is not None:
        return f"{place}@{commit[:12]}"
    return f"{place}@{ref}" if ref else place


def _title(event_type: str, payload: Mapping[str, Any]) -> str | None:
    """Return the first line of each part of the event's title, joined."""
    parts = TITLES.get(event_type)
    if parts is None:
        found = [_first_first_line(payload.get(event_type), WELL_KNOWN) or _first_first_line(payload, ELSEWHERE) or ""]
    else:
        found = [line for paths in parts if (line := _first_first_line(payload, paths))]
    return one_line(" ".join(found), _NAME_LIMIT) or None


def _first_first_line(payload: Any, paths: tuple[str, ...]) -> str | None:
    for path in paths:
        value = dig(payload, path)
        if line := line_of(value[:2_000].lstrip().partition("\n")[0] if isinstance(value, str) else value):
            return line
    return None


def _refs(payload: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the branch and the tag that a payload names, by whatever it calls them."""
    ref = text_at(payload, "ref")
    kind = payload.get("ref_type")
    branch = ref if kind == "branch" else branch_of(ref) or branch_of(text_at(payload, "merge_group.head_ref"))
    tag = ref if kind == "tag" else tag_of(ref) or first_text(payload, TAGS)
    if branch is None and tag is None:
        branch = first_text(payload, BRANCHES) or _only_branch(payload)
        # What was deployed may be a commit, under the name of a ref.
        branch = None if commit_of(branch) else branch
    return branch, tag


def _only_branch(payload: Mapping[str, Any]) -> str | None:
    branches = items_at(payload, "branches", most=2)
    return text_at(branches[0], "name") if len(branches) == 1 else None


def _base(payload: Mapping[str, Any]) -> str | None:
    return first_text(payload, BASE_BRANCHES) or branch_of(text_at(payload, "merge_group.base_ref"))


def _base_commit(event_type: str, payload: Mapping[str, Any]) -> str | None:
    # A pull request that got more commits has a `before` too: its own head, not what it is to be merged into.
    return first_commit(payload, ("before",) if event_type == "push" else BASE_COMMITS)


def _only_pull_request(payload: Mapping[str, Any]) -> Any:
    """Return the one pull request of this repository that a check or a workflow names, if it is one."""
    ours = dig(payload, "repository.id")
    for path in PULL_REQUEST_LISTS:
        listed = items_at(payload, path)
        if listed:
            found = [item for item in listed if dig(item, "base.repo.id") in (None, ours)]
            return found[0] if len(found) == 1 else None
    return None


def _link_candidates(payload: Mapping[str, Any]) -> Iterator[Any]:
    for _, value in zip(range(_MOST_KEYS), payload.values(), strict=False):
        if isinstance(value, Mapping):
            yield from (value.get(key) for key in LINK_KEYS)
    yield from (payload.get(key) for key in LINK_KEYS)
    for path, key in LINK_LISTS:
        yield from (dig(item, key) for item in items_at(payload, path, most=20))


def _by_app(payload: Mapping[str, Any], action: str | None, apps: frozenset[str]) -> bool:
    """Tell whether one of these apps did it: not merely made what somebody else acts on now."""
    return any(
        (line := line_of(dig(payload, f"{path}.{key}"))) is not None and line.lower() in apps
        for path, actions in OWN_APPS
        if not actions or action in actions
        for key in ("slug", "id")
    )
