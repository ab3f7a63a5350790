from dataclasses import replace
from uuid import UUID

import pytest

from contexten_core.events.claim import RunRef
from contexten_core.events.models import Conclusion
from contexten_core.integrations.statuses import final_status, pending_status, run_url
from contexten_core.projects.resolve import Target
from contexten_core.settings import Settings

RUN = RunRef(run_id=UUID(int=7), event_id=UUID(int=8), epoch=1, name="Acme/Cashbox main push", attempt=1)
TARGET = Target(
    project_id=UUID(int=1),
    project_slug="acme-cashbox",
    project_name="Acme/Cashbox",
    repository_id=UUID(int=2),
    repository="Acme/Cashbox",
    clone_url="https://github.com/Acme/Cashbox.git",
    default_branch="main",
    commit="ab" * 20,
    ref="refs/heads/main",
    allow_local=False,
    api_url=None,
)


@pytest.fixture
def settings() -> Settings:
    return Settings(public_url="https://contexten.acme.example/", github_api_url="https://ghe.acme.example/api/v3")


def test_a_run_that_begins_is_pending(settings: Settings) -> None:
    effect = pending_status(settings, RUN, TARGET, "acme-cashbox-checks")

    assert effect.effect_key == f"{RUN.run_id}:commit_status:pending"
    assert (effect.kind, effect.run_id, effect.position) == ("github.commit_status", RUN.run_id, 0)
    assert effect.content == {
        "api_url": "https://ghe.acme.example/api/v3",
        "repository": "Acme/Cashbox",
        "sha": "ab" * 20,
        "state": "pending",
        "context": "contexten/acme-cashbox-checks",
        "description": "Running",
        "target_url": f"https://contexten.acme.example/runs/{RUN.run_id}",
    }


@pytest.mark.parametrize("conclusion", Conclusion)
def test_a_run_that_ended_says_how(settings: Settings, conclusion: Conclusion) -> None:
    effect = final_status(settings, RUN, TARGET, "checks", conclusion=conclusion, description="2 tests failed")

    assert effect.effect_key == f"{RUN.run_id}:commit_status:final"
    assert (effect.content["state"], effect.content["description"]) == (conclusion.value, "2 tests failed")


def test_both_are_in_one_stream_pending_first(settings: Settings) -> None:
    pending = pending_status(settings, RUN, TARGET, "checks")
    final = final_status(
        settings,
        RUN,
        replace(TARGET, repository="acme/cashbox"),
        "checks",
        conclusion=Conclusion.SUCCESS,
        description="",
    )

    assert pending.stream == final.stream
    assert pending.position < final.position


def test_what_a_log_says_becomes_one_line_that_github_takes(settings: Settings) -> None:
    said = "\x1b[31mFAILED\x1b[0m tests/test_a.py::test_b\n\0" + "x" * 300
    effect = final_status(settings, RUN, TARGET, "checks", conclusion=Conclusion.FAILURE, description=said)

    assert effect.content["description"].startswith("[31mFAILED [0m tests/test_a.py::test_b")
    assert len(effect.content["description"]) == 140
    assert effect.content["description"].isprintable()


def test_a_project_may_report_to_another_server(settings: Settings) -> None:
    effect = pending_status(settings, RUN, replace(TARGET, api_url="http://127.0.0.1:8080"), "checks")

    assert effect.content["api_url"] == "http://127.0.0.1:8080"


def test_without_a_public_address_the_link_leads_to_this_machine() -> None:
    assert run_url(Settings(public_url=None, api_port=8123), RUN.run_id) == f"http://localhost:8123/runs/{RUN.run_id}"
