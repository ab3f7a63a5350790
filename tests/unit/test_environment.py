"""Settings handed on to another process are the same settings there."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from contexten_core.settings import DatabaseConfig, Settings, as_environment

SECRET = "a secret of the tests"


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in as_environment(Settings()):
        monkeypatch.delenv(name, raising=False)


def handed_on(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Settings:
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    return Settings()


def plain(settings: Settings) -> dict[str, Any]:
    told = settings.model_dump() | {"db": settings.db.model_dump()}
    for paths in (told, told["db"]):
        paths.update({name: value.absolute() for name, value in paths.items() if isinstance(value, Path)})
    return told


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"environment": "production", "secret_key": SecretStr("sixteen characters and more")},
        {"github_webhook_secrets": (SecretStr(SECRET), SecretStr(SECRET.upper())), "github_token": SecretStr("t $x")},
        {"api_port": 0, "api_host": "::1", "public_url": "https://ci.example", "debug": True, "sample_seconds": 0.25},
        {"enable_analytics": False, "enable_performance_monitoring": False, "encrypt_payloads": True},
        {"db": DatabaseConfig(url=SecretStr("postgresql://u:p%40ss%2Fword@db.example/x"), pool_size=7)},
        {"db": DatabaseConfig(host="db", user="u", password=SecretStr("p@ss/wörd"), name="n", port=6000)},
        {"db": DatabaseConfig(use_sqlite=True, sqlite_path=Path("relative.db"))},
        {"home": Path("relative home"), "prefect_api_url": "http://127.0.0.1:4200/api", "tmp_dir": Path("elsewhere")},
    ],
)
def test_they_arrive_as_they_were(monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]) -> None:
    given = Settings(**changed)

    assert plain(handed_on(monkeypatch, given)) == plain(given)


def test_a_relative_path_leads_to_the_same_place_from_another_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = as_environment(Settings(home=Path("home"), db=DatabaseConfig(use_sqlite=True, sqlite_path=Path("x.db"))))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")

    assert given["CONTEXTEN_HOME"] == str(tmp_path / "home")
    assert given["DB_SQLITE_PATH"] == str(tmp_path / "x.db")


def test_they_have_their_documented_names() -> None:
    given = as_environment(
        Settings(github_token=SecretStr("t"), linear_api_key=SecretStr("l"), slack_signing_secrets=(SecretStr(SECRET),))
    )

    assert given["GITHUB_ACCESS_TOKEN"] == "t"
    assert given["LINEAR_ACCESS_TOKEN"] == "l"
    assert given["SLACK_SIGNING_SECRET"] == SECRET
    assert given["MAX_CONCURRENT_OPERATIONS"] == "1000"
    assert given["DB_POOL_SIZE"] == "20"
