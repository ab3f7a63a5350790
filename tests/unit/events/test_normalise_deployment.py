from typing import Any

import pytest

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise_any import normalise
from contexten_core.events.normalise_deployment import normalise_deployment

COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"


def test_a_deployment_with_the_usual_names() -> None:
    event = normalise(
        EventProvider.DEPLOYMENT,
        "deployment",
        {
            "repository": "acme/cashbox",
            "sha": COMMIT,
            "ref": "refs/heads/main",
            "environment": "production",
            "status": "failure",
            "service": "web",
            "actor": "jonas",
            "url": "https://deploy.acme.example/7",
            "description": "health check failed",
        },
        source="ci",
    )

    assert (event.provider, event.place, event.action) == (EventProvider.DEPLOYMENT, "ci", "failure")
    assert (event.repository, event.commit, event.branch, event.tag) == ("acme/cashbox", COMMIT, "main", None)
    assert event.subject == "acme/cashbox!deployment/production"
    assert (event.title, event.text) == ("web production failure", "health check failed")
    assert event.name == "acme/cashbox production deployment failure"
    assert (event.actor, event.links) == ("jonas", ("https://deploy.acme.example/7",))


@pytest.mark.parametrize(
    "payload",
    [
        {"repository": {"full_name": "acme/cashbox"}, "commit": {"sha": COMMIT}, "branch": "main"},
        {"repo": "https://github.com/acme/cashbox.git", "commit": COMMIT, "ref": "main"},
        {"repository_url": "git@github.com:acme/cashbox.git", "revision": COMMIT, "git_branch": "main"},
        {"data": {"repository": "acme/cashbox", "commit_sha": COMMIT, "branch": "refs/heads/main"}},
        {"deployment": {"repo_full_name": "acme/cashbox", "meta": {"githubCommitSha": COMMIT}, "ref": "main"}},
    ],
)
def test_the_repository_commit_and_branch_by_other_names(payload: dict[str, Any]) -> None:
    event = normalise_deployment("deployment", payload)

    assert (event.repository, event.commit, event.branch) == ("acme/cashbox", COMMIT, "main")


@pytest.mark.parametrize(
    "repository",
    [
        "cashbox",
        "https://gitlab.com/acme/cashbox",
        "acme/cash box",
        "-x/y",
        "a/b/c",
        "https://github.com.evil/a/b",
        7,
        None,
    ],
)
def test_what_names_no_repository_of_github(repository: object) -> None:
    assert normalise_deployment("deployment", {"repository": repository}).repository is None


def test_a_commit_under_the_name_of_a_ref_is_no_branch() -> None:
    event = normalise_deployment("deployment", {"ref": COMMIT})

    assert (event.branch, event.tag) == (None, None)


def test_a_tag() -> None:
    assert normalise_deployment("deployment", {"ref": "refs/tags/v1"}).tag == "v1"


def test_an_event_that_says_nothing_still_has_a_title_and_a_subject() -> None:
    event = normalise_deployment("nightly.done", {}, source="cron")

    assert (event.title, event.subject, event.name) == ("nightly.done", "cron!deployment", "cron nightly.done")


def test_the_state_of_a_deployment_is_how_it_ended() -> None:
    assert normalise_deployment("deploy", {"status": "failed"}).conclusion == "failed"
    assert normalise_deployment("deploy", {}).conclusion is None
