import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from contexten.emulators.signing import sign_github, sign_github_sha1
from contexten_core.errors import (
    ContextenError,
    MalformedPayloadError,
    NotConfiguredError,
    SignatureError,
    UnsupportedContentTypeError,
)
from contexten_core.events.delivery import Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.receive import read_delivery
from contexten_core.settings import Settings

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SECRET = "a-secret-that-is-shared"
NEXT_SECRET = "the-one-that-replaces-it"
SHOP_SECRET = "the-secret-of-one-repository"
ACME_SECRET = "the-secret-of-one-organisation"
BODY = b'{"zen": "Design for failure."}'


def _settings(*secrets: str, **scoped: str) -> Settings:
    named = {name.replace("__", "/"): SecretStr(secret) for name, secret in scoped.items()}
    general = tuple(SecretStr(secret) for secret in secrets)
    return Settings(_env_file=None, github_webhook_secrets=general, github_scoped_secrets=named)


SETTINGS = _settings(SECRET)


def _read(
    body: bytes, *, settings: Settings = SETTINGS, secret: str = SECRET, lower: bool = True, **changed: str | None
) -> Delivery:
    headers: dict[str, str | None] = {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/5f3c2a1",
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-GitHub-Event": "push",
        "X-Hub-Signature-256": sign_github(secret, body),
        "Authorization": "Basic not-to-be-kept",
        "X-Contexten-Source": "somebody else",
    }
    if lower:
        headers = {name.lower(): value for name, value in headers.items()}
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    given = {name: value for name, value in headers.items() if value is not None}
    read = read_delivery(EventProvider.GITHUB, headers=given, body=body, settings=settings, now=NOW)
    assert isinstance(read, Delivery)
    return read


def test_a_signed_delivery_is_what_its_header_and_its_body_say() -> None:
    delivery = _read(BODY)

    assert (delivery.provider, delivery.event_type, delivery.parked) == (EventProvider.GITHUB, "push", None)
    assert delivery.payload == {"zen": "Design for failure."}
    assert delivery.external_id == "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    assert (delivery.body, delivery.content_type, delivery.received_at) == (BODY, "application/json", NOW)
    assert delivery.headers == {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/5f3c2a1",
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "x-github-event": "push",
    }


def test_header_names_may_be_written_in_any_way() -> None:
    assert _read(BODY, lower=False).headers == _read(BODY).headers


def test_only_what_is_signed_makes_a_delivery_itself() -> None:
    renamed = _read(BODY, x_github_delivery="another", x_github_event="pull_request", user_agent="me")

    assert renamed.digest == _read(BODY).digest
    assert _read(BODY + b" ").digest != _read(BODY).digest


def test_while_secrets_change_both_are_good() -> None:
    settings = _settings(NEXT_SECRET, SECRET)

    for secret in (SECRET, NEXT_SECRET):
        assert _read(BODY, settings=settings, secret=secret).parked is None


@pytest.mark.parametrize(
    ("body", "changed", "error", "message"),
    [
        (BODY, {"x_hub_signature_256": None}, SignatureError, "unsigned"),
        (BODY, {"secret": "some-other-secret"}, SignatureError, "mismatch"),
        (BODY, {"x_hub_signature_256": sign_github(SECRET, BODY + b" ")}, SignatureError, "mismatch"),
        (
            BODY,
            {"x_hub_signature_256": None, "x_hub_signature": sign_github_sha1(SECRET, BODY)},
            SignatureError,
            "unsigned",
        ),
        (b"not json", {"secret": "some-other-secret"}, SignatureError, "mismatch"),
        (BODY, {"content_type": "application/x-www-form-urlencoded"}, UnsupportedContentTypeError, "form-urlencoded"),
        (BODY, {"content_type": None}, UnsupportedContentTypeError, "no content type"),
        (BODY, {"x_github_event": None}, MalformedPayloadError, "X-GitHub-Event"),
        (BODY, {"x_github_event": "push\n"}, MalformedPayloadError, "X-GitHub-Event"),
        (BODY, {"x_github_event": "../../etc"}, MalformedPayloadError, "X-GitHub-Event"),
    ],
)
def test_what_is_not_a_signed_json_delivery_is_refused(
    body: bytes, changed: dict[str, Any], error: type[ContextenError], message: str
) -> None:
    with pytest.raises(error, match=message):
        _read(body, **changed)


def test_the_content_type_may_have_parameters() -> None:
    assert _read(BODY, content_type="Application/JSON; charset=utf-8").content_type == "application/json"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"not json", "not JSON"),
        (b"payload=%7B%7D", "not JSON"),
        (b"[1, 2]", "not an object"),
        (b"null", "not an object"),
        (b'{"n": NaN}', "NaN"),
        (b'{"n": 1e999}', "too large"),
        (b'{"n": ' + b"9" * 5_000 + b"}", "not JSON"),
        (b"[" * 100_000, "deep"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "deep"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "not UTF-8"),
    ],
)
def test_a_signed_body_that_cannot_be_read_is_parked_with_its_bytes(body: bytes, problem: str) -> None:
    delivery = _read(body)

    assert delivery.parked is not None
    assert problem in delivery.parked
    assert len(delivery.parked) < 400
    assert (delivery.event_type, delivery.payload, delivery.body, delivery.key) == ("push", {}, body, body)


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (rb'{"a": "x\u0000y"}', {"a": "x\ufffdy"}),
        (rb'{"\u0000": ["\ud800", "\uDC00\ud800"]}', {"\ufffd": ["\ufffd", "\ufffd\ufffd"]}),
        (rb'{"a": "\ud83d\udc4d"}', {"a": "👍"}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": ' + b"7" * 4_000 + b"}", {"a": int("7" * 4_000)}),
        (b"{}", {}),
    ],
    ids=["nul", "lone surrogates", "a pair of surrogates", "twice", "large", "empty"],
)
def test_what_no_database_keeps_is_replaced(body: bytes, payload: dict[str, Any]) -> None:
    delivery = _read(body)

    assert (delivery.payload, delivery.parked, delivery.body) == (payload, None, body)


@pytest.mark.parametrize("name", [None, "", "x" * 101, "a\0b", "ü", "'; DROP TABLE events"])
def test_a_strange_delivery_id_is_not_kept_as_one(name: str | None) -> None:
    delivery = _read(BODY, x_github_delivery=name, user_agent="a\0" + "b" * 5_000)

    assert delivery.external_id is None
    assert delivery.headers["user-agent"] == "a\ufffd" + "b" * 198


def _about(full_name: object = None, **fields: Any) -> bytes:
    repository = {} if full_name is None else {"repository": {"full_name": full_name}}
    return json.dumps({**repository, **fields}).encode()


ORGANISATION = {"organization": {"login": "acme"}}
OTHER_ORGANISATION = {"organization": {"login": "other"}}
INSTALLATION = {"installation": {"account": {"login": "Acme"}}}


@pytest.mark.parametrize(
    ("secret", "body"),
    [
        (SHOP_SECRET, _about("acme/shop")),
        (SHOP_SECRET, _about("Acme/Shop", **OTHER_ORGANISATION)),
        (ACME_SECRET, _about("acme/shop")),
        (ACME_SECRET, _about("ACME/anything")),
        (ACME_SECRET, _about(**ORGANISATION)),
        (ACME_SECRET, _about(**INSTALLATION)),
        (SECRET, _about("anybody/else")),
        (SECRET, _about()),
        (SECRET, b"not json"),
    ],
)
def test_a_scoped_secret_speaks_for_its_own(secret: str, body: bytes) -> None:
    settings = _settings(SECRET, acme__shop=SHOP_SECRET, Acme=ACME_SECRET)

    assert _read(body, settings=settings, secret=secret).body == body


@pytest.mark.parametrize(
    ("secret", "body"),
    [
        (SHOP_SECRET, _about("acme/shop2")),
        (SHOP_SECRET, _about("acme/other")),
        (SHOP_SECRET, _about("acme")),
        (SHOP_SECRET, _about(**ORGANISATION)),
        (SHOP_SECRET, _about("other/other", forkee={"full_name": "acme/shop"})),
        (ACME_SECRET, _about("acme2/shop")),
        (ACME_SECRET, _about("other/shop", **ORGANISATION)),
        (ACME_SECRET, _about(["acme/shop"])),
        (ACME_SECRET, _about(**OTHER_ORGANISATION)),
        (ACME_SECRET, _about(7)),
        (ACME_SECRET, b'{"repository": {"full_name": "acme/shop"}, "repository": {"full_name": "other/shop"}}'),
        (ACME_SECRET, b"{}"),
        (ACME_SECRET, b"not json"),
        (ACME_SECRET, b"[]"),
    ],
)
def test_a_scoped_secret_speaks_for_nobody_else(secret: str, body: bytes) -> None:
    settings = _settings(acme__shop=SHOP_SECRET, acme=ACME_SECRET)

    with pytest.raises(SignatureError, match="another organisation or repository") as caught:
        _read(body, settings=settings, secret=secret)
    assert caught.value.status == 401


def test_one_secret_of_several_scopes_speaks_for_each() -> None:
    settings = _settings(acme__shop=SHOP_SECRET, acme__till=f"{ACME_SECRET}, {SHOP_SECRET}")

    for name in ("acme/shop", "acme/till"):
        assert _read(_about(name), settings=settings, secret=SHOP_SECRET).parked is None
    with pytest.raises(SignatureError):
        _read(_about("acme/shop"), settings=settings, secret=ACME_SECRET)


def test_without_a_secret_nothing_is_received() -> None:
    with pytest.raises(NotConfiguredError, match="github") as caught:
        _read(BODY, settings=_settings())

    assert (caught.value.status, caught.value.hint) == (404, "set GITHUB_WEBHOOK_SECRET")
