"""Secrets in every form that they are known to leave in."""

import base64
import json
import random
from collections.abc import Callable
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from contexten_core.security.redaction import REDACTED, Redactor, secrets_of
from contexten_core.settings import Settings

SECRET = "p@ss/w+rd é~canary-7f3a"
REDACTOR = Redactor([SECRET, "another-secret-0123456789"])

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "backwards": lambda secret: secret[::-1],
    "in JSON": json.dumps,
    "in JSON within JSON": lambda secret: json.dumps(json.dumps({"a": secret}, ensure_ascii=False)),
    "in an address": lambda secret: f"https://x.example/?q={quote(secret, safe='')}&z",
    "in a form": quote_plus,
    "percent in lower case": lambda secret: quote(secret, safe="").lower().replace("canary", "canary"),
    "percent twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "in HTML": escape,
    "in hexadecimal": lambda secret: secret.encode().hex(),
    "in capital hexadecimal": lambda secret: secret.encode().hex().upper(),
    "in separated hexadecimal": lambda secret: secret.encode().hex(" "),
    "as escapes": lambda secret: "".join(f"\\x{byte:02x}" for byte in secret.encode()),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_known_secret_is_found_in_each_form(form: Callable[[str], str]) -> None:
    text = f"before {form(SECRET)} after"

    redacted = REDACTOR.redact(text)

    assert REDACTED in redacted
    assert "canary" not in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes])
def test_base64_gives_nothing_away_at_any_offset(before: str, encode: Callable[[bytes], bytes]) -> None:
    text = encode(f"{before}{SECRET}{'x' * 40}".encode()).decode()

    redacted = REDACTOR.redact(text)

    assert REDACTED in redacted
    for part in redacted.split(REDACTED):
        left = "".join(part.split()).rstrip("=")
        for offset in range(4):
            whole = left[offset : offset + (len(left) - offset) // 4 * 4]
            assert b"canary" not in base64.urlsafe_b64decode(whole)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgresql://contexten:hunter2hunter2@db/x", "hunter2"),
        ("amqp://user:p%40ss@host", "p%40ss"),
        ("Authorization: Bearer abcdefgh12345678", "abcdefgh"),
        ("token ghp_0123456789abcdefABCDEF0123", "ghp_0123"),
        ("github_pat_11AAAAAAA0123456789_abcdef", "github_pat"),
        ("xoxb-123456789-abcdef", "xoxb"),
        ("lin_api_0123456789abcdef", "lin_api"),
        ("sk-ant-api03-0123456789abcdef", "sk-ant"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIA"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "eyJ"),
        ("https://hooks.slack.com/services/T000/B000/abcdefghij", "B000"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----", "MIIEow"),
    ],
)
def test_what_looks_like_a_secret_goes_without_being_known(text: str, secret: str) -> None:
    redacted = Redactor().redact(f"it said {text} and went on")

    assert secret not in redacted
    assert redacted.startswith("it said ")
    assert redacted.endswith(" and went on")


@pytest.mark.parametrize(
    "text",
    ["", "an ordinary log line", "https://example.org/a@b", "3 passed in 0.12s", "user@example.org", "short: abc"],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert REDACTOR.redact(text) == text


def test_a_secret_that_is_too_short_to_be_told_is_left_alone() -> None:
    assert Redactor(["test", "a"]).redact("test a test") == "test a test"


@given(st.integers(0, 2**32), st.sampled_from(sorted(FORMS)), st.integers(1, 60))
def test_pieces_of_any_size_give_the_same_as_the_whole(seed: int, form: str, size: int) -> None:
    chance = random.Random(seed)
    parts = [
        "x" * chance.randrange(3000),
        FORMS[form](SECRET),
        "\n" * chance.randrange(5),
        "y" * chance.randrange(9000),
    ]
    text = " ".join(parts)
    stream, found, start = REDACTOR.stream(), "", 0
    while start < len(text):
        step = chance.randrange(1, size * 50)
        found += stream.feed(text[start : start + step])
        start += step
    found += stream.end()

    assert found == REDACTOR.redact(text)
    assert "canary" not in found


def test_a_line_is_told_as_soon_as_it_is_whole() -> None:
    stream = REDACTOR.stream()

    assert stream.feed("collected 3 items\n\ntests/test_a.py .") == "collected 3 items\n\n"
    assert stream.feed("..\n") == "tests/test_a.py ...\n"
    assert stream.feed(base64.b64encode(b"0123456789" * 9).decode() + "\n") == ""
    assert stream.feed("done\n").endswith("done\n")


def test_a_key_whose_end_never_comes_is_held_back_only_so_long() -> None:
    stream = REDACTOR.stream()
    begun = "-----BEGIN PRIVATE KEY-----\n"

    said = stream.feed(begun) + "".join(stream.feed("A" * 64 + "\n") for _ in range(8_000)) + stream.end()

    assert said.startswith(REDACTED)
    assert 100_000 < len(said) < 300_000


def test_the_secrets_of_a_process_are_those_of_its_settings_and_its_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACME_DEPLOY_TOKEN", "acme-deploy-canary")
    settings = Settings(
        github_token=SecretStr("github-canary-token"),
        github_webhook_secrets=(SecretStr("webhook-canary-secret"),),
        github_scoped_secrets={"acme": SecretStr("scoped-canary-secret-0001")},
    )

    found = secrets_of(settings)

    assert {
        "acme-deploy-canary",
        "github-canary-token",
        "webhook-canary-secret",
        "scoped-canary-secret-0001",
    } <= set(found)
