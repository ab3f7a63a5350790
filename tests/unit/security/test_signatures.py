import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.security.signatures import (
    Proof,
    Verdict,
    linear_sent_at,
    prove_github,
    verify_github,
    verify_linear,
    verify_slack,
)

EXAMPLES = settings(deadline=None, derandomize=True, database=None)

VECTORS = Path(__file__).parents[4] / "shared/data/webhooks/signature_vectors.json"
SECRET = b"It's a Secret to Everybody"
BODY = b"Hello, World!"
SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def _vectors(scheme: str) -> list[Any]:
    if not VECTORS.is_file():
        return [pytest.param({}, marks=pytest.mark.skip(reason=f"{VECTORS} is not there"))]
    vectors = json.loads(VECTORS.read_bytes())
    return [pytest.param(vector, id=vector["id"]) for vector in vectors if vector["scheme"] == scheme]


def _verdict(signature: str | None, *, body: bytes = BODY, secrets: tuple[bytes, ...] = (SECRET,)) -> Verdict:
    headers = {} if signature is None else {"x-hub-signature-256": signature}
    return verify_github(headers=headers, body=body, secrets=secrets)


@pytest.mark.parametrize("vector", _vectors("github-sha256"))
def test_published_vectors(vector: dict[str, Any]) -> None:
    verdict = _verdict(vector["signature"], body=vector["body"].encode(), secrets=(vector["secret"].encode(),))

    assert verdict is (Verdict.VALID if vector["valid"] else Verdict.MISMATCH)


def test_the_example_of_githubs_documentation() -> None:
    assert _verdict(SIGNATURE) is Verdict.VALID


@pytest.mark.parametrize("secrets", [(b"the next secret", SECRET), (SECRET, b"the next secret"), (b"", SECRET)])
def test_while_one_secret_replaces_another_both_are_good(secrets: tuple[bytes, ...]) -> None:
    assert _verdict(SIGNATURE, secrets=secrets) is Verdict.VALID


def test_which_secrets_signed_is_told_by_their_places() -> None:
    headers = {"x-hub-signature-256": SIGNATURE}
    proof = prove_github(headers=headers, body=BODY, secrets=[b"another", SECRET, b"", SECRET])

    assert proof == Proof(Verdict.VALID, (1, 3))
    assert prove_github(headers=headers, body=BODY, secrets=[b"another"]) == Proof(Verdict.MISMATCH)


@pytest.mark.parametrize("vector", _vectors("github-sha1"))
def test_a_valid_sha1_signature_is_none(vector: dict[str, Any]) -> None:
    headers = {vector["header"].lower(): vector["signature"]}

    verdict = verify_github(headers=headers, body=vector["body"].encode(), secrets=[vector["secret"].encode()])
    assert verdict is Verdict.UNSIGNED


@pytest.mark.parametrize("signature", [None, ""])
def test_a_delivery_without_a_signature_is_unsigned(signature: str | None) -> None:
    assert _verdict(signature) is Verdict.UNSIGNED


def test_the_older_sha1_signature_counts_for_nothing() -> None:
    headers = {"x-hub-signature": f"sha1={digest(SECRET, BODY, 'sha1').hex()}"}

    assert verify_github(headers=headers, body=BODY, secrets=[SECRET]) is Verdict.UNSIGNED


@pytest.mark.parametrize(
    "signature",
    [
        SIGNATURE.removeprefix("sha256="),
        SIGNATURE.upper(),
        SIGNATURE[:-1],
        SIGNATURE + "0",
        f"{SIGNATURE} ",
        f"{SIGNATURE}, {SIGNATURE}",
        "sha256=",
        "sha256=♥",
        "\udcff",
    ],
)
def test_anything_but_the_exact_signature_is_a_mismatch(signature: str) -> None:
    assert _verdict(signature) is Verdict.MISMATCH


@pytest.mark.parametrize("secrets", [(), (b"",)])
def test_an_empty_secret_verifies_nothing_not_even_what_it_signed(secrets: tuple[bytes, ...]) -> None:
    signed_with_nothing = f"sha256={digest(b'', BODY, sha256).hex()}"

    assert _verdict(signed_with_nothing, secrets=secrets) is Verdict.MISMATCH


@EXAMPLES
@given(secret=st.binary(min_size=1), body=st.binary())
def test_what_was_signed_is_valid(secret: bytes, body: bytes) -> None:
    assert _verdict(f"sha256={digest(secret, body, sha256).hex()}", body=body, secrets=(secret,)) is Verdict.VALID


@EXAMPLES
@given(signature=st.text(), body=st.binary())
def test_no_header_and_no_body_make_it_raise(signature: str, body: bytes) -> None:
    assert _verdict(signature, body=body) is not Verdict.VALID


NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def _slack(
    *,
    body: bytes = BODY,
    signed: bytes = BODY,
    secret: bytes = SECRET,
    secrets: tuple[bytes, ...] = (SECRET,),
    timestamp: str = f"{NOW.timestamp():.0f}",
    now: datetime = NOW,
) -> Verdict:
    signature = digest(secret, b"v0:" + timestamp.encode("utf-8", "replace") + b":" + signed, sha256).hex()
    headers = {"x-slack-signature": f"v0={signature}", "x-slack-request-timestamp": timestamp}
    return verify_slack(headers=headers, body=body, secrets=secrets, now=now)


@pytest.mark.parametrize("vector", _vectors("slack-v0"))
def test_slacks_own_vectors(vector: dict[str, Any]) -> None:
    verdict = verify_slack(
        headers={"x-slack-signature": vector["signature"], "x-slack-request-timestamp": str(vector["timestamp"])},
        body=vector["body"].encode(),
        secrets=[vector["secret"].encode()],
        now=datetime.fromtimestamp(vector["now"], UTC),
    )

    assert (verdict is Verdict.VALID) is vector["valid"]


def test_what_slack_signed_just_now_is_valid_under_each_of_its_secrets() -> None:
    assert _slack() is Verdict.VALID
    assert _slack(secrets=(b"the next secret", SECRET)) is Verdict.VALID


@pytest.mark.parametrize(
    "changed", [{"body": BODY + b" "}, {"secret": b"another"}, {"secrets": ()}, {"secrets": (b"",)}]
)
def test_slack_did_not_sign_this(changed: dict[str, Any]) -> None:
    assert _slack(**changed) is Verdict.MISMATCH


def test_a_slack_signature_is_bound_to_its_timestamp() -> None:
    moment = f"{NOW.timestamp():.0f}"
    signature = f"v0={digest(SECRET, f'v0:{moment}:'.encode() + BODY, sha256).hex()}"
    headers = {"x-slack-signature": signature, "x-slack-request-timestamp": str(int(moment) + 1)}

    assert verify_slack(headers=headers, body=BODY, secrets=[SECRET], now=NOW) is Verdict.MISMATCH


@pytest.mark.parametrize("missing", ["x-slack-signature", "x-slack-request-timestamp"])
def test_a_slack_request_without_one_of_its_headers_is_unsigned(missing: str) -> None:
    headers = {"x-slack-signature": "v0=00", "x-slack-request-timestamp": "1", missing: ""}

    assert verify_slack(headers=headers, body=BODY, secrets=[SECRET], now=NOW) is Verdict.UNSIGNED


@pytest.mark.parametrize(("seconds", "verdict"), [(300, Verdict.VALID), (301, Verdict.STALE)])
@pytest.mark.parametrize("sign", [1, -1])
def test_slack_may_be_five_minutes_off_either_way(seconds: int, sign: int, verdict: Verdict) -> None:
    assert _slack(now=NOW + sign * timedelta(seconds=seconds)) is verdict


@pytest.mark.parametrize("timestamp", ["now", "-5", "1e9", " 1", "١٢٣", "9" * 400, "1.5"])
def test_a_signed_slack_timestamp_that_is_no_time_is_stale(timestamp: str) -> None:
    assert _slack(timestamp=timestamp) is Verdict.STALE


def _linear_body(sent_at: datetime = NOW) -> bytes:
    return json.dumps({"type": "Issue", "webhookTimestamp": int(sent_at.timestamp() * 1000)}).encode()


def _linear(body: bytes, *, signature: str | None = None, secrets: tuple[bytes, ...] = (SECRET,)) -> Verdict:
    signature = digest(SECRET, body, sha256).hex() if signature is None else signature
    return verify_linear(headers={"linear-signature": signature}, body=body, secrets=secrets, now=NOW)


def test_what_linear_signed_just_now_is_valid_under_each_of_its_secrets() -> None:
    assert _linear(_linear_body()) is Verdict.VALID
    assert _linear(_linear_body(), secrets=(b"the next secret", SECRET)) is Verdict.VALID


def test_linear_did_not_sign_this() -> None:
    body = _linear_body()

    assert _linear(body, signature="") is Verdict.UNSIGNED
    assert verify_linear(headers={}, body=body, secrets=[SECRET], now=NOW) is Verdict.UNSIGNED
    assert _linear(body, signature=digest(b"another", body, sha256).hex()) is Verdict.MISMATCH
    assert _linear(body, signature=digest(SECRET, body, sha256).hex().upper()) is Verdict.MISMATCH
    assert _linear(body, secrets=()) is Verdict.MISMATCH


@pytest.mark.parametrize(("seconds", "verdict"), [(60, Verdict.VALID), (61, Verdict.STALE)])
@pytest.mark.parametrize("sign", [1, -1])
def test_linear_may_be_a_minute_off_either_way(seconds: int, sign: int, verdict: Verdict) -> None:
    assert _linear(_linear_body(NOW + sign * timedelta(seconds=seconds))) is verdict


@pytest.mark.parametrize(
    "body", [b"{}", b"not json", b"[]", b'{"webhookTimestamp": "1"}', b'{"webhookTimestamp": 1%s}' % (b"0" * 4_000)]
)
def test_a_signed_linear_body_that_does_not_say_when_is_stale(body: bytes) -> None:
    assert _linear(body) is Verdict.STALE


def test_linear_may_be_older_where_its_retries_are_expected() -> None:
    body = _linear_body(NOW - timedelta(hours=7))
    headers = {"linear-signature": digest(SECRET, body, sha256).hex()}

    def verdict(oldest: timedelta) -> Verdict:
        return verify_linear(headers=headers, body=body, secrets=[SECRET], now=NOW, oldest=oldest)

    assert verdict(timedelta(hours=7)) is Verdict.VALID
    assert verdict(timedelta(hours=7) - timedelta(seconds=1)) is Verdict.STALE


def test_until_2022_linear_said_only_when_it_happened() -> None:
    assert linear_sent_at({"createdAt": "2026-03-02T09:30:00.000Z"}) == NOW
    assert _linear(b'{"createdAt": "2026-03-02T09:29:30.000Z"}') is Verdict.VALID
    assert _linear(b'{"createdAt": "2026-03-02T09:28:30.000Z"}') is Verdict.STALE


@pytest.mark.parametrize(
    "given", ["2026-03-02T09:30:00", "yesterday", "", 1_772_443_800_000, None, "2026-03-02T09:30:00Z" + " " * 40]
)
def test_what_is_no_time_of_a_zone_is_no_time_either(given: object) -> None:
    assert linear_sent_at({"createdAt": given}) is None


@pytest.mark.parametrize("given", [None, "2026-03-02T09:30:00Z"])
def test_a_timestamp_that_is_none_is_not_made_up_for(given: object) -> None:
    assert linear_sent_at({"webhookTimestamp": given, "createdAt": "2026-03-02T09:30:00Z"}) is None


@pytest.mark.parametrize("given", [None, True, "1", 1.5, 10**30, -(10**30), [], {}])
def test_what_is_no_time_in_milliseconds_is_no_time(given: object) -> None:
    assert linear_sent_at({"webhookTimestamp": given}) is None


@EXAMPLES
@given(signature=st.text(), timestamp=st.text(), body=st.binary())
@pytest.mark.parametrize("verify", [verify_slack, verify_linear])
def test_no_header_and_no_body_make_the_others_raise(
    verify: Callable[..., Verdict], signature: str, timestamp: str, body: bytes
) -> None:
    headers = {
        "x-slack-signature": signature,
        "x-slack-request-timestamp": timestamp,
        "linear-signature": signature,
    }

    assert verify(headers=headers, body=body, secrets=[SECRET], now=NOW) in (Verdict.UNSIGNED, Verdict.MISMATCH)
