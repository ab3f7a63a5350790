import json
from pathlib import Path
from typing import Any

import pytest

from contexten.emulators.signing import sign_github, sign_github_sha1, sign_linear, sign_slack, sign_standard
from contexten_core.errors import ConfigurationError

VECTORS = Path(__file__).parents[4] / "shared" / "data" / "webhooks" / "signature_vectors.json"


def signature(vector: dict[str, Any]) -> str:
    secret, body = vector["secret"], vector["body"].encode()
    match vector["scheme"]:
        case "github-sha256":
            return sign_github(secret, body)
        case "github-sha1":
            return sign_github_sha1(secret, body)
        case "slack-v0":
            return sign_slack(secret, body, timestamp=int(vector["timestamp"]))
        case "standard-webhooks-v1":
            return sign_standard(secret, body, message_id=vector["msg_id"], timestamp=int(vector["timestamp"]))
        case unknown:
            raise AssertionError(unknown)


@pytest.mark.skipif(not VECTORS.exists(), reason=f"{VECTORS} is not here")
def test_every_vector_is_signed_as_its_sender_did_or_did_not() -> None:
    vectors = json.loads(VECTORS.read_text())
    assert len(vectors) == 18
    for vector in vectors:
        is_late = vector.get("now", 0) - int(vector.get("timestamp", 0)) > vector.get(
            "tolerance_s", vector.get("now", 0)
        )
        agrees = signature(vector) in vector["signature"].split(" ")
        assert agrees == (vector["valid"] or is_late), vector["id"]


def test_linear_signs_the_body_in_plain_hex() -> None:
    assert sign_linear("secret", b"data") == sign_github("secret", b"data").removeprefix("sha256=")


@pytest.mark.parametrize("secret", ["whsec_not base64", "whsec_ü", b"\xff"])
def test_a_secret_that_standard_webhooks_do_not_know_is_refused(secret: bytes | str) -> None:
    with pytest.raises(ConfigurationError, match="Standard Webhooks"):
        sign_standard(secret, b"", message_id="msg", timestamp=0)
