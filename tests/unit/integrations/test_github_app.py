"""The token with which we say to GitHub that we are its App."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from contexten_core.errors import ConfigurationError
from contexten_core.integrations.github_app import app_token
from contexten_core.settings import Settings

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
PEM = serialization.Encoding.PEM


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(PEM, form, serialization.NoEncryption()).decode()


def settings(private_key: str | None, app_id: str | None = "1234") -> Settings:
    return Settings(
        github_app_id=app_id, github_app_private_key=None if private_key is None else SecretStr(private_key)
    )


def test_it_is_signed_by_the_app_and_is_valid_for_less_than_ten_minutes(key: rsa.RSAPrivateKey, pem: str) -> None:
    token = app_token(settings(pem), now=NOW)
    assert token is not None
    unchecked: jwt.types.Options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, key.public_key(), algorithms=["RS256"], options=unchecked)
    assert claims["iss"] == "1234"
    assert timedelta(seconds=claims["exp"] - NOW.timestamp()) < timedelta(minutes=10)
    assert claims["iat"] < NOW.timestamp(), "GitHub's clock may be behind ours"


def test_the_key_may_be_in_a_file(pem: str, tmp_path: Path) -> None:
    file = tmp_path / "app.pem"
    file.write_text(pem)
    assert app_token(settings(str(file)), now=NOW) == app_token(settings(pem), now=NOW)


def test_the_key_may_stand_on_one_line_as_environment_files_have_it(pem: str) -> None:
    assert app_token(settings(pem.replace("\n", "\\n")), now=NOW) == app_token(settings(pem), now=NOW)


@pytest.mark.parametrize(("app_id", "with_key"), [(None, True), ("1234", False)])
def test_without_an_app_there_is_none(pem: str, app_id: str | None, with_key: bool) -> None:
    assert app_token(settings(pem if with_key else None, app_id), now=NOW) is None


@pytest.mark.parametrize("given", ["-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END", "no/such/file/of-ours.pem"])
def test_what_is_no_key_is_said_without_saying_it(given: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        app_token(settings(given), now=NOW)
    assert "GITHUB_APP_PRIVATE_KEY is no RSA private key" in caught.value.message
    assert "c2VjcmV0" not in str(caught.value)
    assert "of-ours" not in str(caught.value)
    assert caught.value.__cause__ is None
