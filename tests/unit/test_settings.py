from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy.engine import make_url

from contexten_core.errors import ConfigurationError
from contexten_core.settings import (
    DatabaseConfig,
    DatabaseKind,
    Environment,
    IntegrationsConfig,
    Settings,
    default_home,
)

SECRET = "a-webhook-secret"


class Variables:
    """The environment, and the `.env` file of the current folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder

    def set(self, **values: str) -> None:
        for name, value in values.items():
            self._monkeypatch.setenv(name, value)

    def write_file(self, text: str) -> None:
        (self._folder / ".env").write_text(text)


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Variables:
    """Begin with an environment in which nothing is set."""
    monkeypatch.chdir(tmp_path)
    for field in (*Settings.model_fields, *(f"db_{name}" for name in DatabaseConfig.model_fields)):
        monkeypatch.delenv(field.upper(), raising=False)
        monkeypatch.delenv(f"CONTEXTEN_{field.upper()}", raising=False)
    for name in (
        "SLACK_SIGNING_SECRET",
        "LINEAR_WEBHOOK_SECRET",
        "CONTEXTEN_DB",
        "DATABASE_URL",
        "CONTEXTEN_DATABASE_URL",
        "GITHUB_ACCESS_TOKEN",
        "GITHUB_API_KEY",
        "GITHUB_WEBHOOK_SECRET",
        "CONTEXTEN_GITHUB_WEBHOOK_SECRET",
    ):
        monkeypatch.delenv(name, raising=False)
    return Variables(monkeypatch, tmp_path)


def test_without_anything_set_the_stack_runs_its_own_database() -> None:
    settings = Settings()

    assert settings.db.kind is DatabaseKind.EMBEDDED
    assert settings.environment is Environment.DEVELOPMENT
    assert settings.github_api_url == "https://api.github.com"
    assert settings.github_webhook_secrets == ()
    assert settings.github_token is None
    assert (settings.mirrors, settings.checkouts) == (settings.home / "mirrors", settings.home / "checkouts")


@pytest.mark.parametrize("name", ["API_PORT", "CONTEXTEN_API_PORT"])
def test_a_setting_answers_to_its_name_and_to_the_name_with_a_prefix(variables: Variables, name: str) -> None:
    variables.set(**{name: "8123"})

    assert Settings().api_port == 8123


@pytest.mark.parametrize("name", ["GITHUB_ACCESS_TOKEN", "GITHUB_TOKEN", "GITHUB_API_KEY", "CONTEXTEN_GITHUB_TOKEN"])
def test_the_github_token_has_several_names_and_is_not_shown(variables: Variables, name: str) -> None:
    variables.set(**{name: "ghp_secret"})
    token = Settings().github_token

    assert token is not None
    assert token.get_secret_value() == "ghp_secret"
    assert "ghp_secret" not in repr(Settings())


@pytest.mark.parametrize("name", ["GITHUB_ACCESS_TOKEN", "GITHUB_TOKEN", "GITHUB_API_KEY", "CONTEXTEN_GITHUB_TOKEN"])
def test_what_the_program_says_wins_over_the_environment(variables: Variables, name: str) -> None:
    variables.set(**{name: "ghp_of_the_environment", "CONTEXTEN_API_PORT": "8123"})

    assert Settings(github_token=None).github_token is None
    assert Settings(api_port=9000).api_port == 9000


def test_an_empty_variable_is_as_good_as_none(variables: Variables) -> None:
    variables.set(API_PORT="", GITHUB_TOKEN="", DB_HOST="")

    assert Settings().api_port == 8000
    assert Settings().github_token is None
    assert Settings().db.kind is DatabaseKind.EMBEDDED


def test_an_env_file_is_read_and_the_environment_wins_over_it(variables: Variables) -> None:
    variables.write_file("API_PORT=8001\nDB_HOST=from.file\nDB_NAME=from_file\nSOMETHING_ELSE=1\n")
    variables.set(DB_NAME="from_environment")

    assert Settings().api_port == 8001
    assert (Settings().db.host, Settings().db.name) == ("from.file", "from_environment")


@pytest.mark.parametrize(
    "wrong", [{"API_PORT": "70000"}, {"LOG_LEVEL": "loud"}, {"GITHUB_API_URL": "ftp://x"}, {"LEASE_SECONDS": "0"}]
)
def test_a_wrong_value_is_refused_by_name(variables: Variables, wrong: dict[str, str]) -> None:
    variables.set(**wrong)
    (name,) = wrong

    with pytest.raises(ValidationError, match=name):
        Settings()


def test_a_setting_can_be_changed_but_not_to_nonsense() -> None:
    settings = Settings()
    settings.api_port = 9000

    with pytest.raises(ValidationError):
        settings.api_port = -1
    assert settings.api_port == 9000


def test_several_webhook_secrets_by_comma(variables: Variables) -> None:
    variables.set(GITHUB_WEBHOOK_SECRET=f"{SECRET}-old, {SECRET}-new")

    assert [secret.get_secret_value() for secret in Settings().github_webhook_secrets] == [
        f"{SECRET}-old",
        f"{SECRET}-new",
    ]
    assert SECRET not in repr(Settings())


@pytest.mark.parametrize("value", ["short", f"{SECRET},short", f"{SECRET},"])
def test_a_short_webhook_secret_is_refused_and_not_repeated(variables: Variables, value: str) -> None:
    variables.set(GITHUB_WEBHOOK_SECRET=value)

    with pytest.raises(ValidationError, match="at least 16 characters") as caught:
        Settings()
    assert value not in str(caught.value)


@pytest.mark.parametrize("prefix", ["DB_", "CONTEXTEN_DB__"])
def test_the_parts_of_a_postgresql_of_your_own(variables: Variables, prefix: str) -> None:
    values = {"HOST": "db.acme.example", "PORT": "5433", "NAME": "ci", "USER": "ci", "PASSWORD": "p@ss/w:rd#?%40 ü"}
    variables.set(**{f"{prefix}{name}": value for name, value in values.items()})
    config = Settings().db

    assert config.kind is DatabaseKind.POSTGRESQL
    assert (config.address.host, config.address.port, config.address.database) == ("db.acme.example", 5433, "ci")
    assert (config.address.username, config.address.password) == ("ci", "p@ss/w:rd#?%40 ü")
    assert make_url(config.address.render_as_string(hide_password=False)) == config.address
    assert "p@ss" not in repr(Settings())


def test_both_ways_of_naming_can_be_mixed(variables: Variables) -> None:
    variables.set(CONTEXTEN_DB__HOST="db.acme.example", DB_PASSWORD="p@ss")
    config = Settings().db

    assert (config.address.host, config.address.password) == ("db.acme.example", "p@ss")


@pytest.mark.parametrize("name", ["DATABASE_URL", "CONTEXTEN_DATABASE_URL", "DB_URL", "CONTEXTEN_DB__URL"])
def test_an_address_wins_over_parts(variables: Variables, name: str) -> None:
    variables.set(**{name: "postgresql://ci:p%40ss@db.acme.example/ci", "DB_HOST": "other", "DB_USE_SQLITE": "true"})
    config = Settings().db

    assert config.kind is DatabaseKind.POSTGRESQL
    assert (config.address.host, config.address.password) == ("db.acme.example", "p@ss")


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (DatabaseConfig(), DatabaseKind.EMBEDDED),
        (DatabaseConfig(use_sqlite=True), DatabaseKind.SQLITE),
        (DatabaseConfig(use_sqlite=True, host="db"), DatabaseKind.SQLITE),
        (DatabaseConfig(host="db"), DatabaseKind.POSTGRESQL),
        (DatabaseConfig(url=SecretStr("sqlite:////tmp/x.db")), DatabaseKind.SQLITE),
        (DatabaseConfig(url=SecretStr("sqlite+aiosqlite:///x.db"), host="db"), DatabaseKind.SQLITE),
        (DatabaseConfig(url=SecretStr("postgres://db/ci"), use_sqlite=True), DatabaseKind.POSTGRESQL),
        (DatabaseConfig(url=SecretStr("postgresql+psycopg://db/ci")), DatabaseKind.POSTGRESQL),
    ],
)
def test_which_database_it_is(config: DatabaseConfig, kind: DatabaseKind) -> None:
    assert config.kind is kind


def test_a_sqlite_file_anywhere() -> None:
    config = DatabaseConfig(use_sqlite=True, sqlite_path=Path("/srv/über uns/a?b.db"))

    assert config.address.database == "/srv/über uns/a?b.db"


@pytest.mark.parametrize("url", ["not an address", "mysql://user:hunter2@db/ci", "://", "http://db.acme.example"])
def test_what_is_no_address_of_a_database_we_know_is_refused_without_its_password(url: str) -> None:
    with pytest.raises((ValidationError, ConfigurationError)) as caught:
        _ = DatabaseConfig(url=SecretStr(url)).address

    assert "hunter2" not in str(caught.value)


def test_an_embedded_database_has_no_address_until_a_stack_runs_it() -> None:
    with pytest.raises(ConfigurationError, match="no database is configured") as caught:
        _ = DatabaseConfig().address

    assert "contexten serve" in (caught.value.hint or "")


def test_variables_that_are_somebody_elses_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`home` and `db` are fields, but HOME and DB are not ours."""
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("DB", "not json")
    monkeypatch.delenv("CONTEXTEN_HOME", raising=False)

    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert Settings().home == default_home() != Path("/home/ada")
    assert Settings(home=Path("/elsewhere")).home == Path("/elsewhere")


def test_of_several_secrets_the_first_is_the_newest(variables: Variables) -> None:
    variables.set(GITHUB_WEBHOOK_SECRET="the-new-secret-of-ours, the-old-secret-of-ours")
    config = IntegrationsConfig()

    assert config.github_webhook_secret is not None
    assert config.github_webhook_secret.get_secret_value() == "the-new-secret-of-ours"
    assert (config.linear_webhook_secret, config.slack_signing_secret) == (None, None)


def test_production_needs_a_secret_key_of_its_own(variables: Variables) -> None:
    variables.set(ENVIRONMENT="production")
    with pytest.raises(ValidationError, match="SECRET_KEY has to be set in production"):
        Settings()

    variables.set(SECRET_KEY="a-key-that-nobody-else-has")
    assert Settings().environment is Environment.PRODUCTION
