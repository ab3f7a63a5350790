import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten.emulators.signing import sign_standard
from contexten_core.security.signatures import Verdict
from contexten_core.security.signatures_standard import standard_key, verify_bearer, verify_hmac, verify_standard

EXAMPLES = settings(deadline=None, derandomize=True, database=None)

VECTORS = Path(__file__).parents[4] / "shared/data/webhooks/signature_vectors.json"
SCHEME = "standard-webhooks-v1"
SECRET = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT_SECRET = b"whsec_" + b64encode(b"the one that replaces it")
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
BODY = b'{"type": "deployment.succeeded"}'


def _vectors() -> list[Any]:
    if not VECTORS.is_file():
        return [pytest.param({}, marks=pytest.mark.skip(reason=f"{VECTORS} is not there"))]
    vectors = json.loads(VECTORS.read_bytes())
    return [pytest.param(vector, id=vector["id"]) for vector in vectors if vector["scheme"] == SCHEME]


@pytest.mark.parametrize("vector", _vectors())
def test_published_vectors(vector: dict[str, Any]) -> None:
    verdict = verify_standard(
        headers={
            vector["id_header"]: vector["msg_id"],
            vector["timestamp_header"]: vector["timestamp"],
            vector["header"]: vector["signature"],
        },
        body=vector["body"].encode(),
        secrets=[vector["secret"].encode()],
        now=datetime.fromtimestamp(vector["now"], UTC),
    )

    assert (verdict is Verdict.VALID) is vector["valid"]


def _headers(*, body: bytes = BODY, secret: bytes = SECRET, sent_at: datetime = NOW, **changed: str) -> dict[str, str]:
    timestamp = int(sent_at.timestamp())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign_standard(secret, body, message_id="msg_1", timestamp=timestamp),
    }
    return headers | {name.replace("_", "-"): value for name, value in changed.items()}


def _verdict(headers: Mapping[str, str], *secrets: bytes) -> Verdict:
    return verify_standard(headers=headers, body=BODY, secrets=secrets or (SECRET,), now=NOW)


def test_what_was_signed_just_now_is_valid_under_each_live_secret() -> None:
    assert _verdict(_headers()) is Verdict.VALID
    assert _verdict(_headers(), NEXT_SECRET, SECRET) is Verdict.VALID
    assert _verdict(_headers(secret=NEXT_SECRET), SECRET, NEXT_SECRET) is Verdict.VALID


def test_each_of_a_senders_signatures_is_looked_at() -> None:
    old, new = (_headers(secret=secret)["webhook-signature"] for secret in (NEXT_SECRET, SECRET))

    assert _verdict(_headers(webhook_signature=f"{old} v1a,AAAA {new}")) is Verdict.VALID
    assert _verdict(_headers(webhook_signature=old)) is Verdict.MISMATCH


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook_id": "msg_2"},
        {"webhook_timestamp": str(int(NOW.timestamp()) + 1)},
        {"body": BODY + b" "},
        {"webhook_signature": "v1,"},
        {"webhook_signature": "v1a,AAAA"},
        {"webhook_signature": "\udcff ♥"},
        {"secret": NEXT_SECRET},
    ],
)
def test_id_time_body_and_secret_are_all_signed(changed: dict[str, Any]) -> None:
    assert _verdict(_headers(**changed)) is Verdict.MISMATCH


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_without_one_of_its_headers_it_is_unsigned(missing: str) -> None:
    assert _verdict({**_headers(), missing: ""}) is Verdict.UNSIGNED


@pytest.mark.parametrize(("seconds", "verdict"), [(300, Verdict.VALID), (301, Verdict.STALE)])
@pytest.mark.parametrize("sign", [1, -1])
def test_it_may_be_five_minutes_off_either_way(seconds: int, sign: int, verdict: Verdict) -> None:
    assert _verdict(_headers(sent_at=NOW + sign * timedelta(seconds=seconds))) is verdict


@pytest.mark.parametrize("secret", [b"", b"whsec_", b"whsec_not base64!", b"whsec_abc", b"\xff\xfe"])
def test_a_secret_without_a_key_verifies_nothing(secret: bytes) -> None:
    assert standard_key(secret) is None
    assert _verdict(_headers(), secret) is Verdict.MISMATCH


KEY = b"a-secret-of-the-tests-alone"


def _hmac(value: str | None, *, secrets: tuple[bytes, ...] = (KEY,), prefix: str = "") -> Verdict:
    headers = {} if value is None else {"x-our-signature": value}
    return verify_hmac(headers=headers, body=BODY, secrets=secrets, header="x-our-signature", prefix=prefix)


def test_a_header_of_its_own_holds_the_hmac_of_the_body_after_a_prefix_of_its_own() -> None:
    signature = digest(KEY, BODY, sha256).hex()

    assert _hmac(signature) is Verdict.VALID
    assert _hmac(f"v1:{signature}", prefix="v1:", secrets=(b"another", KEY)) is Verdict.VALID
    assert _hmac(None) is Verdict.UNSIGNED
    for wrong in (f"v1:{signature}", signature[:-1], digest(b"another", BODY, sha256).hex()):
        assert _hmac(wrong) is Verdict.MISMATCH


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (f"Bearer {KEY.decode()}", Verdict.VALID),
        (f"bearer  {KEY.decode()} ", Verdict.VALID),
        (f"Bearer {KEY.decode()}x", Verdict.MISMATCH),
        ("Bearer ♥", Verdict.MISMATCH),
        ("Bearer ", Verdict.UNSIGNED),
        (f"Basic {KEY.decode()}", Verdict.UNSIGNED),
        (KEY.decode(), Verdict.UNSIGNED),
        ("", Verdict.UNSIGNED),
    ],
)
def test_a_bearer_has_the_secret_itself(given: str, verdict: Verdict) -> None:
    assert verify_bearer(headers={"authorization": given}, secrets=(b"another", KEY)) is verdict


def test_an_empty_secret_bears_nothing() -> None:
    assert verify_bearer(headers={"authorization": "Bearer  "}, secrets=(b"",)) is Verdict.MISMATCH


@EXAMPLES
@given(name=st.text(), timestamp=st.text(), signature=st.text(), body=st.binary(), secret=st.binary())
def test_no_header_no_body_and_no_secret_make_them_raise(
    name: str, timestamp: str, signature: str, body: bytes, secret: bytes
) -> None:
    headers = {
        "webhook-id": name,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature,
        "authorization": signature,
        "x": signature,
    }

    assert verify_standard(headers=headers, body=body, secrets=[secret], now=NOW) is not Verdict.VALID
    assert verify_hmac(headers=headers, body=body, secrets=[secret], header="x", prefix="p=") is not Verdict.VALID
    verify_bearer(headers=headers, secrets=[secret])
