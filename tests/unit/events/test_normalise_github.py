import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from contexten_core.events.normalise import NormalisedEvent, Own
from contexten_core.events.normalise_github import normalise_github

EXAMPLES = settings(deadline=None, derandomize=True, database=None)

PAYLOADS = Path(__file__).parents[4] / "shared/data/webhooks/github"
COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
needs_payloads = pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is not there")


def _read(event_type: str, name: str) -> NormalisedEvent:
    return normalise_github(event_type, json.loads((PAYLOADS / event_type / name).read_bytes()))


def _texts(event: NormalisedEvent) -> list[str]:
    return [value for value in asdict(event).values() if isinstance(value, str)]


@needs_payloads
def test_every_known_payload_names_its_actor_and_its_repository() -> None:
    for path in sorted(PAYLOADS.rglob("*.json")):
        payload = json.loads(path.read_bytes())
        event = normalise_github(path.parent.name, payload)

        assert event.type == path.parent.name
        assert event.actor == payload.get("sender", {}).get("login"), path
        assert event.repository == payload.get("repository", {}).get("full_name"), path
        assert event.repository is None or str(event.subject).startswith(event.repository), path
        assert event.commit is None or len(event.commit) == 40, path
        assert not event.own, path


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
    assert (event.commit, event.branch, event.tag) == (None, None, "simple-tag")
    assert (event.subject, event.title) == ("Codertocat/Hello-World@simple-tag", "refs/tags/simple-tag")


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
def test_a_check_run_is_about_its_one_pull_request() -> None:
    event = _read("check_run", "completed.1.payload.json")

    assert event.name == "Codertocat/Hello-World#2 check_run completed"
    assert (event.subject, event.number, event.actor) == ("Codertocat/Hello-World#2", 2, "Codertocat")
    assert (event.branch, event.base_branch) == ("changes", "master")
    assert event.title == "Octocoders-linter failure"
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
    assert (len(event.text), len(event.title)) == (20_000, 300)


REPOSITORY = {"id": 7, "full_name": "acme/cashbox", "html_url": "https://github.com/acme/cashbox"}
ORGANIZATION = {"organization": {"login": "acme"}}
HERE = {"repository": REPOSITORY}
FAILED = {"name": "lint", "conclusion": "failure", "head_sha": COMMIT}


@pytest.mark.parametrize(
    ("event_type", "payload", "subject", "title"),
    [
        ("push", {"ref": "refs/tags/v1", **HERE}, "acme/cashbox@v1", "refs/tags/v1"),
        ("create", {"ref": "feature/a", "ref_type": "branch", **HERE}, "acme/cashbox@feature/a", "branch feature/a"),
        ("delete", {"ref": "v1", "ref_type": "tag", **HERE}, "acme/cashbox@v1", "tag v1"),
        ("release", {"release": {"tag_name": "v2", "name": ""}, **HERE}, "acme/cashbox@v2", "v2"),
        (
            "issue_comment",
            {"issue": {"number": 3, "title": "Add tax", "pull_request": {}}, "comment": {"body": "ok"}, **HERE},
            "acme/cashbox#3",
            "Add tax",
        ),
        ("check_run", {"check_run": FAILED, **HERE}, f"acme/cashbox@{COMMIT[:12]}", "lint failure"),
        (
            "workflow_run",
            {"workflow_run": {**FAILED, "head_branch": "main"}, **HERE},
            "acme/cashbox@main",
            "lint failure",
        ),
        (
            "status",
            {"sha": COMMIT, "context": "ci", "state": "error", **HERE},
            f"acme/cashbox@{COMMIT[:12]}",
            "ci error",
        ),
        ("status", {"context": "ci", "branches": [{"name": "main"}], **HERE}, "acme/cashbox@main", "ci"),
        (
            "deployment_status",
            {"deployment_status": {"state": "failure"}, "deployment": {"environment": "eu", "ref": COMMIT}, **HERE},
            "acme/cashbox!deployment/eu",
            "eu failure",
        ),
        (
            "dependabot_alert",
            {"alert": {"number": 4, "dependency": {"package": {"name": "jinja2"}}}, **HERE},
            "acme/cashbox!dependabot/4",
            "jinja2",
        ),
        (
            "secret_scanning_alert",
            {"alert": {"number": 5, "secret_type": "aws_key"}, **HERE},
            "acme/cashbox!secret-scanning/5",
            "aws_key",
        ),
        (
            "merge_group",
            {"merge_group": {"head_ref": "refs/heads/queue/main/pr-1", "base_ref": "refs/heads/main"}, **HERE},
            "acme/cashbox@queue/main/pr-1",
            "refs/heads/queue/main/pr-1",
        ),
        ("organization", {"membership": {"user": {"login": "ann"}}, **ORGANIZATION}, "acme!member/ann", "ann"),
        ("team", {"team": {"slug": "core", "name": "Core"}, **ORGANIZATION}, "acme!team/core", "Core"),
        ("star", {"action": "created", **HERE}, "acme/cashbox", "star created"),
        ("ping", {"zen": "Keep it simple."}, "github", "Keep it simple."),
        ("repository_dispatch", {"action": "retrain", "branch": "main", **HERE}, "acme/cashbox@main", "retrain"),
        ("of_tomorrow", {"action": "made", "of_tomorrow": {"name": "New"}, **HERE}, "acme/cashbox", "New"),
        ("of_tomorrow", {"action": "made", "of_tomorrow": ["New"], **HERE}, "acme/cashbox", "of tomorrow made"),
        ("push", {}, "github", "push"),
    ],
)
def test_what_an_event_is_about(event_type: str, payload: dict[str, Any], subject: str, title: str) -> None:
    event = normalise_github(event_type, payload)

    assert (event.subject, event.title) == (subject, title)


@pytest.mark.parametrize(
    "listed", [[], [{"number": 1}, {"number": 2}], [{"number": 1, "base": {"repo": {"id": 8}}}], [None], "1", [[]]]
)
def test_a_check_of_no_or_of_several_pull_requests_or_of_another_repositorys_is_about_its_branch(
    listed: object,
) -> None:
    suite = {"head_branch": "main", "pull_requests": listed}

    assert normalise_github("check_suite", {"check_suite": suite, **HERE}).subject == "acme/cashbox@main"


def test_what_was_deployed_may_be_a_commit_and_then_is_no_branch() -> None:
    deployment = {"sha": COMMIT, "ref": COMMIT}

    assert normalise_github("deployment", {"deployment": deployment, **HERE}).branch is None


def test_the_links_are_web_addresses_each_once_and_its_own_first() -> None:
    event = normalise_github(
        "status",
        {
            "target_url": "https://ci.acme.example/1",
            "commit": {"html_url": "https://github.com/acme/cashbox/commit/1"},
            "sender": {"html_url": "javascript:alert(1)"},
            "organization": {"html_url": f"https://acme.example/{'x' * 3_000}"},
            "installation": {"html_url": "https://acme.example/a b"},
            "commits": [{"url": "https://github.com/acme/cashbox/commit/1"}, {"url": "file:///etc/passwd"}, 7],
            **HERE,
        },
    )

    assert event.url == "https://ci.acme.example/1"
    assert event.links == (
        "https://ci.acme.example/1",
        "https://github.com/acme/cashbox/commit/1",
        "https://github.com/acme/cashbox",
    )


def test_of_many_links_the_first_twenty_are_kept() -> None:
    commits = [{"url": f"https://github.com/acme/cashbox/commit/{number}"} for number in range(100)]

    assert len(normalise_github("push", {"commits": commits, **HERE}).links) == 20


OURS = Own(github=frozenset({"contexten[bot]"}), github_apps=frozenset({"contexten", "42"}))
BY_US = {"performed_via_github_app": {"slug": "Contexten", "id": 42}}


@pytest.mark.parametrize(
    ("event_type", "payload", "own"),
    [
        ("push", {"sender": {"login": "Contexten[bot]"}}, True),
        ("push", {"sender": {"login": "jonas"}}, False),
        ("push", {}, False),
        ("issue_comment", {"action": "created", "comment": BY_US, "sender": {"login": "jonas"}}, True),
        ("issue_comment", {"action": "created", "issue": BY_US, "sender": {"login": "jonas"}}, False),
        ("issues", {"action": "opened", "issue": BY_US}, True),
        ("issues", {"action": "labeled", "issue": BY_US, "sender": {"login": "jonas"}}, False),
        ("check_run", {"action": "completed", "check_run": {"app": {"id": 42}}}, True),
        ("check_run", {"action": "completed", "check_run": {"app": {"id": 43, "slug": "other"}}}, False),
        ("check_run", {"action": "rerequested", "check_run": {"app": {"id": 42}}, "sender": {"login": "jonas"}}, False),
    ],
)
def test_what_we_did_ourselves(event_type: str, payload: dict[str, Any], *, own: bool) -> None:
    assert normalise_github(event_type, payload, OURS).own is own
    assert not normalise_github(event_type, payload).own


@needs_payloads
@pytest.mark.parametrize(
    ("event_type", "name", "base_commit"),
    [
        ("pull_request", "opened.payload.json", "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"),
        ("pull_request_review", "submitted.with-organization.payload.json", "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"),
        ("merge_group", "checks_requested.payload.json", "380387fbc80638b734a49e1be1c4dfec1c01b33c"),
        ("push", "1.payload.json", "6113728f27ae82c7b1a177c8d03f9e96e0adf246"),
        ("push", "with-new-branch.payload.json", None),
        ("issues", "labeled.payload.json", None),
    ],
)
def test_the_commit_that_it_is_compared_with(event_type: str, name: str, base_commit: str | None) -> None:
    assert _read(event_type, name).base_commit == base_commit


def test_a_pull_request_that_got_commits_is_compared_with_its_base_and_not_with_its_former_head() -> None:
    payload = {"action": "synchronize", "before": "b" * 40, "pull_request": {"base": {"sha": "c" * 40}}}

    assert normalise_github("pull_request", payload).base_commit == "c" * 40


@needs_payloads
@pytest.mark.parametrize(
    ("event_type", "name"),
    [
        ("pull_request", "labeled.with-organization.payload.json"),
        ("issues", "labeled.payload.json"),
        ("issue_comment", "created.payload.json"),
    ],
)
def test_the_labels_of_a_pull_request_or_an_issue(event_type: str, name: str) -> None:
    assert _read(event_type, name).labels == ("bug",)


def test_labels_are_lines_each_once_and_not_too_many() -> None:
    labels = [
        {"name": "ci\n"},
        {"name": "ci"},
        {"name": 7},
        {"name": None},
        "x",
        *({"name": f"{n}"} for n in range(99)),
    ]

    found = normalise_github("issues", {"issue": {"labels": labels}}).labels

    assert found[:3] == ("ci", "7", "0")
    assert len(found) <= 50
    assert normalise_github("issues", {"issue": {"labels": "bug"}}).labels == ()


@needs_payloads
@pytest.mark.parametrize(
    ("event_type", "name", "conclusion"),
    [
        ("workflow_run", "completed.payload.json", "success"),
        ("workflow_run", "requested.with-conclusion.payload.json", "action_required"),
        ("workflow_job", "completed.failure.with-organization.payload.json", "failure"),
        ("check_run", "completed.1.payload.json", "failure"),
        ("check_run", "created.payload.json", None),
        ("check_suite", "completed.payload.json", "success"),
        ("deployment_status", "payload.json", "success"),
        ("status", "with-installation.payload.json", "success"),
        ("issues", "labeled.payload.json", None),
    ],
)
def test_how_it_ended(event_type: str, name: str, conclusion: str | None) -> None:
    assert _read(event_type, name).conclusion == conclusion


@pytest.mark.parametrize(
    ("event_type", "action", "merged", "expected"),
    [
        ("pull_request", "closed", True, True),
        ("pull_request", "closed", False, False),
        ("pull_request", "closed", "true", False),
        ("pull_request", "labeled", True, False),
        ("pull_request_review", "closed", True, False),
    ],
)
def test_only_the_end_of_a_merged_pull_request_is_merged(
    event_type: str, action: str, merged: object, *, expected: bool
) -> None:
    payload = {"action": action, "pull_request": {"merged": merged}}

    assert normalise_github(event_type, payload).merged is expected


@pytest.mark.parametrize(
    ("sender", "is_bot"),
    [
        ({"type": "Bot"}, True),
        ({"login": "renovate[bot]"}, True),
        ({"login": "ann", "type": "User"}, False),
        (7, False),
    ],
)
def test_what_a_program_did(sender: object, *, is_bot: bool) -> None:
    assert normalise_github("push", {"sender": sender}).from_bot is is_bot
