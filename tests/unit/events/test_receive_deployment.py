import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contexten.emulators.signing import sign_linear, sign_standard
from contexten_core.errors import ContextenError, NotConfiguredError, SignatureError, UnsupportedContentTypeError
from contexten_core.events.delivery import Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.receive import read_delivery
from contexten_core.settings import Settings

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ARGO_SECRET = "the-secret-of-one-argo"
CI_SECRET = "the-token-of-the-ci-system"
PAGES_SECRET = "whsec_" + b64encode(b"the key of the pages' sender").decode()
SOURCES = {
    "argo": {"scheme": "hmac", "secret": ARGO_SECRET, "header": "X-Argo-Signature", "prefix": "sha256="},
    "ci": {"scheme": "bearer", "secret": f"the-one-that-replaces-it,{CI_SECRET}"},
    "pages": {"scheme": "standard", "secret": PAGES_SECRET},
}
SETTINGS = Settings(_env_file=None, deployment_sources=SOURCES)
BODY = json.dumps({"type": "deployment.succeeded", "environment": "production"}).encode()


def _read(headers: dict[str, str], body: bytes = BODY, *, settings: Settings = SETTINGS, **changed: str) -> Delivery:
    given = {"content-type": "application/json", **headers}
    given |= {name.replace("_", "-"): value for name, value in changed.items()}
    read = read_delivery(EventProvider.DEPLOYMENT, headers=given, body=body, settings=settings, now=NOW)
    assert isinstance(read, Delivery)
    return read


def _argo(body: bytes = BODY, *, secret: str = ARGO_SECRET) -> dict[str, str]:
    return {"x-argo-signature": f"sha256={sign_linear(secret, body)}"}


def _ci(token: str = CI_SECRET) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _pages(body: bytes = BODY, *, name: str = "msg_1", age: timedelta = timedelta(seconds=1)) -> dict[str, str]:
    timestamp = int((NOW - age).timestamp())
    signature = sign_standard(PAGES_SECRET, body, message_id=name, timestamp=timestamp)
    return {"webhook-id": name, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


@pytest.mark.parametrize(("source", "headers"), [("argo", _argo()), ("ci", _ci()), ("pages", _pages())])
def test_the_source_is_the_one_whose_proof_verifies(source: str, headers: dict[str, str]) -> None:
    delivery = _read(headers, x_contexten_source="another")

    assert (delivery.provider, delivery.event_type) == (EventProvider.DEPLOYMENT, "deployment.succeeded")
    assert delivery.headers["x-contexten-source"] == source
    assert (delivery.payload, delivery.body, delivery.parked) == (json.loads(BODY), BODY, None)
    assert not {"authorization", "webhook-signature", "x-argo-signature"} & set(delivery.headers)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "unsigned"),
        (_ci("some-other-token-altogether"), "mismatch"),
        (_argo(secret=CI_SECRET), "mismatch"),
        (_argo(BODY + b" "), "mismatch"),
        ({"x-signature-256": _argo()["x-argo-signature"]}, "unsigned"),
        (_pages() | {"webhook-id": "msg_2"}, "mismatch"),
        (_pages(age=timedelta(seconds=301)), "stale"),
        (_ci(PAGES_SECRET), "mismatch"),
    ],
)
def test_what_nobody_we_know_has_sent_is_refused(headers: dict[str, str], message: str) -> None:
    with pytest.raises(SignatureError, match=message):
        _read(headers)


@pytest.mark.parametrize(
    ("payload", "event_type"),
    [
        ({"type": "deployment_status"}, "deployment_status"),
        ({"event": "rollout"}, "rollout"),
        ({"type": {"name": "x"}, "event": "rollout"}, "rollout"),
        ({"type": "../../etc", "event": "drop table"}, "deployment"),
        ({"type": "x" * 65}, "deployment"),
        ({"environment": "production"}, "deployment"),
    ],
)
def test_the_type_is_what_the_signed_body_says(payload: dict[str, Any], event_type: str) -> None:
    body = json.dumps(payload).encode()

    assert _read(_argo(body), body, x_event_type="unsigned").event_type == event_type


def test_a_header_tells_the_type_only_where_the_proof_covers_headers() -> None:
    body = b'{"environment": "production"}'

    assert _read(_ci(), body, x_event_type="rollout").event_type == "rollout"
    assert _read(_ci(), body, x_event_type="no type").event_type == "deployment"
    assert _read(_ci(), BODY, x_event_type="rollout").event_type == "deployment.succeeded"


def test_one_body_of_two_sources_is_two_deliveries() -> None:
    assert len({_read(headers).digest for headers in (_argo(), _ci(), _pages())}) == 3


def test_a_name_for_the_message_counts_where_the_proof_covers_it() -> None:
    first, again, other = _read(_pages()), _read(_pages(age=timedelta(seconds=60))), _read(_pages(name="msg_2"))
    assert (first.digest == again.digest, first.digest == other.digest) == (True, False)
    assert (first.external_id, other.external_id) == ("pages:msg_1", "pages:msg_2")

    first, other, nameless = _read(_ci(), idempotency_key="1"), _read(_ci(), webhook_id="2"), _read(_ci())
    assert len({first.digest, other.digest, nameless.digest}) == 3
    assert (first.external_id, other.external_id, nameless.external_id) == ("ci:1", "ci:2", None)

    plain, named = _read(_argo()), _read(_argo(), idempotency_key="1", webhook_id="2")
    assert (plain.digest, plain.external_id) == (named.digest, named.external_id)


def test_where_a_name_ends_and_the_body_begins_is_not_in_doubt() -> None:
    assert _read(_ci(), b"a{}", idempotency_key="1").digest != _read(_ci(), b"{}", idempotency_key="1a").digest
    assert _read(_ci(), b"1:a{}").digest != _read(_ci(), b"{}", idempotency_key="a").digest


@pytest.mark.parametrize("name", ["x" * 101, "ü", "a b", "sim_1\0"])
def test_a_strange_name_is_not_kept_as_one(name: str) -> None:
    assert _read(_ci(), idempotency_key=name).external_id is None


@pytest.mark.parametrize(("body", "problem"), [(b"not json", "not JSON"), (b"[]", "not an object"), (b"", "not JSON")])
def test_a_signed_body_that_says_nothing_is_parked(body: bytes, problem: str) -> None:
    delivery = _read(_argo(body), body)

    assert delivery.parked is not None
    assert problem in delivery.parked
    assert (delivery.event_type, delivery.payload) == ("unknown", {})


@pytest.mark.parametrize(
    ("settings", "changed", "error"),
    [
        (Settings(_env_file=None), {}, NotConfiguredError),
        (SETTINGS, {"content_type": "application/x-www-form-urlencoded"}, UnsupportedContentTypeError),
    ],
)
def test_only_json_of_somebody_configured_is_taken(
    settings: Settings, changed: dict[str, str], error: type[ContextenError]
) -> None:
    with pytest.raises(error):
        _read(_ci(), BODY, settings=settings, **changed)
