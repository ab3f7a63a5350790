"""A webhook secret that protects nothing stops the service at its start, by the name of its variable."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from contexten.cli import app
from contexten_core.settings import Settings, as_environment, get_settings
from contexten_core.settings.ingress import scopes

SECRET = "a-webhook-secret-of-ours"
STANDARD_SECRET = "whsec_" + b64encode(b"a key of twenty-four bytes").decode()
NAMES = [
    "GITHUB_WEBHOOK_SECRET",
    "CONTEXTEN_GITHUB_WEBHOOK_SECRET",
    "LINEAR_WEBHOOK_SECRET",
    "CONTEXTEN_LINEAR_WEBHOOK_SECRET",
    "SLACK_SIGNING_SECRET",
    "CONTEXTEN_SLACK_SIGNING_SECRET",
]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*NAMES, *as_environment(Settings(_env_file=None))):
        monkeypatch.delenv(name, raising=False)


def _refused() -> str:
    with pytest.raises(ValidationError) as caught:
        Settings()
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["", "  ", ",", f"{SECRET},,{SECRET}-2", "short", "change-me-change-me", "x" * 32])
def test_one_that_is_none_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    problem = _refused()

    assert name in problem
    assert len(value) < 5 or value not in problem
    assert SECRET not in problem


@pytest.mark.parametrize(
    "line", ["GITHUB_WEBHOOK_SECRET=", 'CONTEXTEN_GITHUB_WEBHOOK_SECRET=""', "SLACK_SIGNING_SECRET"]
)
def test_the_same_in_a_file(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"{line}\n")

    assert line.partition("=")[0] in _refused()
    assert Settings(_env_file=None).github_webhook_secrets == ()


def test_an_empty_variable_is_a_mistake_though_another_has_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("CONTEXTEN_GITHUB_WEBHOOK_SECRET", "")

    assert "CONTEXTEN_GITHUB_WEBHOOK_SECRET" in _refused()


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"LINEAR_WEBHOOK_SECRET=\nSLACK_SIGNING_SECRET={SECRET}-of-the-file\n")
    monkeypatch.setenv("LINEAR_WEBHOOK_SECRET", f"{SECRET}-new, {SECRET}")
    settings = Settings()

    assert [secret.get_secret_value() for secret in settings.linear_webhook_secrets] == [f"{SECRET}-new", SECRET]
    assert [secret.get_secret_value() for secret in settings.slack_signing_secrets] == [f"{SECRET}-of-the-file"]
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "")
    assert "SLACK_SIGNING_SECRET" in _refused()


def test_what_the_program_says_wins_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", "")

    assert Settings(github_webhook_secrets=(SecretStr(SECRET),)).github_webhook_secrets == (SecretStr(SECRET),)
    assert Settings(github_webhook_secrets=()).github_webhook_secrets == ()


def test_a_process_of_ours_is_told_by_an_empty_variable_that_there_is_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in as_environment(Settings(github_webhook_secrets=(SecretStr(SECRET),))).items():
        monkeypatch.setenv(name, value)
    settings = Settings()

    assert (settings.github_webhook_secrets, settings.linear_webhook_secrets) == ((SecretStr(SECRET),), ())


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("GITHUB_SCOPED_SECRETS", '{"acme": ""}', "acme: an empty webhook secret"),
        ("GITHUB_SCOPED_SECRETS", f'{{"acme/shop": "{SECRET},short"}}', "acme/shop: a webhook secret needs"),
        ("GITHUB_SCOPED_SECRETS", f'{{"acme/shop/x": "{SECRET}"}}', "owner/repository"),
        ("GITHUB_SCOPED_SECRETS", "{", "Expecting"),
        ("DEPLOYMENT_SOURCES", '{"ci": {"scheme": "bearer", "secret": ""}}', "DEPLOYMENT_SOURCES.ci.secret"),
        ("DEPLOYMENT_SOURCES", f'{{"ci": {{"scheme": "standard", "secret": "{SECRET}"}}}}', "whsec_"),
        ("DEPLOYMENT_SOURCES", '{"ci": {"scheme": "standard", "secret": "whsec_c2hvcnQ=c2hvcnQ="}}', "whsec_"),
        ("DEPLOYMENT_SOURCES", f'{{"sim_ci": {{"scheme": "bearer", "secret": "{SECRET}"}}}}', "sim_"),
    ],
)
def test_those_of_repositories_and_sources_are_held_to_the_same(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(name, value)
    refused = _refused()

    assert name in refused
    assert problem in refused
    assert SECRET not in refused


def test_two_sources_with_one_secret_could_not_be_told_apart() -> None:
    source = {"scheme": "bearer", "secret": SECRET}

    with pytest.raises(ValidationError, match="share a secret"):
        Settings(deployment_sources={"ci": source, "cd": source})
    assert Settings(deployment_sources={"ci": source}).deployment_sources["ci"].secrets == (SECRET.encode(),)


def test_usable_ones_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_SCOPED_SECRETS", f'{{"Acme/Shop": "{SECRET}-new, {SECRET}"}}')
    monkeypatch.setenv("DEPLOYMENT_SOURCES", f'{{"pages": {{"scheme": "standard", "secret": "{STANDARD_SECRET}"}}}}')
    settings = Settings()

    assert scopes(settings.github_scoped_secrets) == (
        ("acme/shop", f"{SECRET}-new".encode()),
        ("acme/shop", SECRET.encode()),
    )
    assert settings.deployment_sources["pages"].secrets == (STANDARD_SECRET.encode(),)


@pytest.mark.parametrize(
    "environment",
    [
        {"GITHUB_WEBHOOK_SECRET": ""},
        {"CONTEXTEN_LINEAR_WEBHOOK_SECRET": "short"},
        {"SLACK_SIGNING_SECRET": "your-slack-signing-secret"},
        {"GITHUB_SCOPED_SECRETS": '{"acme": "short"}'},
    ],
)
def test_a_person_who_serves_sees_one_line_and_no_traceback(environment: dict[str, str]) -> None:
    get_settings.cache_clear()
    try:
        said: Any = CliRunner().invoke(app, ["serve"], env=environment)
    finally:
        get_settings.cache_clear()
    (name, value) = next(iter(environment.items()))

    assert said.exit_code == 1
    lines = said.output.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Error: ")
    assert name in lines[0]
    assert not value or value not in lines[0]
