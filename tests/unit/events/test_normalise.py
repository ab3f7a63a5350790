import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.events.normalise import NormalisedEvent, normalise_github

EXAMPLES = settings(deadline=None, derandomize=True, database=None)

PAYLOADS = Path(__file__).parents[4] / "shared/data/webhooks/github"
COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
needs_payloads = pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is not there")


def _read(event_type: str, name: str) -> NormalisedEvent:
    return normalise_github(event_type, json.loads((PAYLOADS / event_type / name).read_bytes()))


def _texts(event: NormalisedEvent) -> list[str]:
    return [value for value in asdict(event).values() if isinstance(value, str)]


@needs_payloads
@pytest.mark.parametrize("path", sorted(PAYLOADS.rglob("*.json")), ids=lambda path: str(path.relative_to(PAYLOADS)))
def test_every_known_payload_has_a_name_a_subject_and_an_actor(path: Path) -> None:
    payload = json.loads(path.read_bytes())
    event = normalise_github(path.parent.name, payload)

    assert event.type == path.parent.name
    assert event.name
    assert event.subject
    assert event.actor == payload.get("sender", {}).get("login")
    assert event.repository == payload.get("repository", {}).get("full_name")
    assert event.repository is None or event.subject.startswith(event.repository)
    assert event.commit is None or len(event.commit) == 40
    assert all("\n" not in text for text in (event.name, event.subject))


@needs_payloads
def test_a_push() -> None:
    event = _read("push", "with-new-branch.payload.json")

    assert event.name == "Codertocat/Hello-World master push"
    assert (event.actor, event.repository) == ("Codertocat", "Codertocat/Hello-World")
    assert (event.subject, event.branch) == ("Codertocat/Hello-World@master", "master")
    assert (event.commit, event.number, event.action) == (COMMIT, None, None)
    assert not event.deleted
    assert not event.from_fork


@needs_payloads
def test_the_push_that_deletes_a_tag_has_no_commit() -> None:
    event = _read("push", "1.payload.json")

    assert event.deleted
    assert (event.commit, event.branch) == (None, None)


@needs_payloads
def test_a_pull_request() -> None:
    event = _read("pull_request", "opened.payload.json")

    assert event.name == "Codertocat/Hello-World#2 opened"
    assert (event.subject, event.number) == ("Codertocat/Hello-World#2", 2)
    assert event.commit == "ec26c3e57ca3a959ca5aad62de7213c562f8c821"
    assert (event.actor, event.action) == ("Codertocat", "opened")
    assert (event.branch, event.base_branch) == ("changes", "master")
    assert event.title == "Update the README with new information."
    assert event.url == "https://github.com/Codertocat/Hello-World/pull/2"
    assert not event.from_fork


@needs_payloads
def test_a_check_run() -> None:
    event = _read("check_run", "completed.1.payload.json")

    assert event.name == "Codertocat/Hello-World changes check_run completed"
    assert (event.subject, event.actor) == ("Codertocat/Hello-World@changes", "Codertocat")
    assert event.commit == "ec26c3e57ca3a959ca5aad62de7213c562f8c821"


@needs_payloads
def test_a_comment_on_an_issue() -> None:
    event = _read("issue_comment", "created.payload.json")

    assert event.name == "Codertocat/Hello-World#1 created"
    assert (event.subject, event.number) == ("Codertocat/Hello-World#1", 1)
    assert (event.actor, event.commit) == ("Codertocat", None)
    assert event.text == "You are totally right! I'll get this fixed right away."
    assert event.title == "Spelling error in the README file"


@needs_payloads
def test_a_ping_of_a_repository_and_of_an_organization() -> None:
    repository = _read("ping", "with-app_id.payload.json")
    organization = _read("ping", "with-organization.payload.json")

    assert (repository.name, repository.subject) == ("Octocoders/Hello-World ping", "Octocoders/Hello-World")
    assert (repository.actor, repository.commit) == ("Codertocat", None)
    assert (organization.repository, organization.commit) == (None, None)
    assert organization.subject == organization.name.removesuffix(" ping")


@pytest.mark.parametrize("head", [{"full_name": "mallory/cashbox"}, None, {}])
def test_a_pull_request_from_a_fork_or_from_nowhere_any_more(head: dict[str, str] | None) -> None:
    payload = {
        "repository": {"full_name": "acme/cashbox"},
        "pull_request": {"number": 3, "head": {"sha": COMMIT, "ref": "main", "repo": head}},
    }

    assert normalise_github("pull_request", payload).from_fork


def test_a_workflow_run_on_the_commit_of_a_fork() -> None:
    payload = {
        "repository": {"full_name": "acme/cashbox"},
        "workflow_run": {"head_sha": COMMIT, "head_repository": {"full_name": "mallory/cashbox"}},
    }

    assert normalise_github("workflow_run", payload).from_fork


@pytest.mark.parametrize("commit", ["0" * 40, "main", COMMIT[:12], COMMIT.upper(), "--upload-pack=touch /tmp/x", 7])
def test_what_is_not_a_whole_commit_id_is_no_commit(commit: object) -> None:
    assert normalise_github("push", {"after": commit}).commit is None


def test_a_commit_of_a_sha256_repository() -> None:
    assert normalise_github("push", {"after": "ab" * 32}).commit == "ab" * 32


@pytest.mark.parametrize("number", [True, 0, -1, 2.0, "7", 2**60, None])
def test_what_is_not_a_number_of_a_pull_request_is_left_out(number: object) -> None:
    assert normalise_github("issues", {"issue": {"number": number}}).number is None


def test_long_texts_are_cut() -> None:
    event = normalise_github("issue_comment", {"comment": {"body": "b" * 50_000}, "issue": {"title": "t" * 2_000}})

    assert event.text is not None
    assert event.title is not None
    assert (len(event.text), len(event.title)) == (20_000, 500)


_PATHS = ("action", "ref", "after", "deleted", "number", "sha", "compare")
_OBJECTS = ("pull_request", "repository", "sender", "comment", "issue", "check_run", "workflow_run", "head_commit")
_KEYS = ("head", "repo", "full_name", "login", "sha", "ref", "number", "title", "body", "head_sha", "message", "base")
_text = st.text(st.characters(exclude_categories=()))
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text,
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(_KEYS) | _text, children, max_size=4)
    ),
    max_leaves=15,
)


_event_types = st.from_regex(r"[a-z][a-z_]{0,63}", fullmatch=True)


@EXAMPLES
@given(_event_types, st.dictionaries(st.sampled_from(_PATHS + _OBJECTS) | _text, _json, max_size=8))
def test_no_object_makes_it_raise(event_type: str, payload: dict[str, Any]) -> None:
    event = normalise_github(event_type, payload)

    assert event.name
    assert event.subject
    assert all("\0" not in text and text.encode() for text in _texts(event))
