import json
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contexten_core.security.signatures import Verdict, verify_github

EXAMPLES = settings(deadline=None, derandomize=True, database=None)

VECTORS = Path(__file__).parents[4] / "shared/data/webhooks/signature_vectors.json"
SECRET = b"It's a Secret to Everybody"
BODY = b"Hello, World!"
SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def _vectors() -> list[Any]:
    if not VECTORS.is_file():
        return [pytest.param({}, marks=pytest.mark.skip(reason=f"{VECTORS} is not there"))]
    vectors = json.loads(VECTORS.read_bytes())
    return [pytest.param(vector, id=vector["id"]) for vector in vectors if vector["scheme"] == "github-sha256"]


def _verdict(signature: str | None, *, body: bytes = BODY, secrets: tuple[bytes, ...] = (SECRET,)) -> Verdict:
    headers = {} if signature is None else {"x-hub-signature-256": signature}
    return verify_github(headers=headers, body=body, secrets=secrets)


@pytest.mark.parametrize("vector", _vectors())
def test_published_vectors(vector: dict[str, Any]) -> None:
    verdict = _verdict(vector["signature"], body=vector["body"].encode(), secrets=(vector["secret"].encode(),))

    assert verdict is (Verdict.VALID if vector["valid"] else Verdict.MISMATCH)


def test_the_example_of_githubs_documentation() -> None:
    assert _verdict(SIGNATURE) is Verdict.VALID


@pytest.mark.parametrize("secrets", [(b"the next secret", SECRET), (SECRET, b"the next secret"), (b"", SECRET)])
def test_while_one_secret_replaces_another_both_are_good(secrets: tuple[bytes, ...]) -> None:
    assert _verdict(SIGNATURE, secrets=secrets) is Verdict.VALID


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
