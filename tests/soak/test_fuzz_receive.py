"""Coverage-guided fuzzing of verifiers and readers: `CONTEXTEN_SOAK_SECONDS` says how long (see `make soak`).

Run as a program, this file is the target: libFuzzer ends its process at the first input that raises anything but a
refusal.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

RUNS = 2_000
SECONDS = os.environ.get("CONTEXTEN_SOAK_SECONDS")
CORPUS = (
    b"",
    b"null",
    b"[" * 200,
    b'{"type":' * 150,
    b'{"type": NaN}',
    b'{"type": 1e400}',
    b'{"type": "Issue", "webhookTimestamp": 1772443800000}',
    b'{"type": "Issue", "createdAt": "2026-03-02T09:30:00.000Z"}',
    b'{"type": "event_callback", "event_id": "Ev1", "event": {"type": "message", "text": "\\ud800"}}',
    b'{"type": "url_verification", "challenge": "\\u0000"}',
    b'{"repository": {"full_name": "acme/shop"}, "organization": {"login": "acme"}}',
    b"payload=%7B%22type%22%3A%22view_closed%22%7D&payload=%ff",
    b"command=%2Fdeploy&text=%00",
    b"\xff\xfe{\x00}\x00",
    b"\x1f\x8b\x08\x00",
)


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed: nothing is fuzzed by coverage")
def test_no_input_makes_receiving_raise_anything_but_a_refusal(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, body in enumerate(CORPUS):
        (corpus / f"{number}").write_bytes(bytes([number]) * 4 + body)
    length = [f"-runs={RUNS}"] if SECONDS is None else [f"-max_total_time={float(SECONDS):.0f}"]
    done = subprocess.run(
        [sys.executable, __file__, *length, "-seed=1", "-max_len=4096", f"-artifact_prefix={tmp_path}/", str(corpus)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120 + float(SECONDS or 0),
        check=False,
    )

    assert done.returncode == 0, done.stderr[-4_000:]
    assert "Done " in done.stderr, done.stderr[-4_000:]


def fuzz() -> None:
    import atheris

    readers = [f"contexten_core.events.receive_{name}" for name in ("body", "deployment", "github", "linear", "slack")]
    with atheris.instrument_imports(include=["contexten_core.events.receive", *readers, "contexten_core.security"]):
        from contexten_core.events.receive import read_delivery
    from datetime import UTC, datetime

    from pydantic import SecretStr

    from contexten.emulators.signing import sign_github, sign_linear, sign_slack, sign_standard
    from contexten_core.errors import MalformedPayloadError, SignatureError, UnsupportedContentTypeError
    from contexten_core.events.models import EventProvider
    from contexten_core.settings import Settings

    secret, scoped = "a-secret-that-is-shared", "the-secret-of-one-repository"
    standard = "whsec_YSBrZXkgb2YgdHdlbnR5LWZvdXIgYnl0ZXM="
    now = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    moment = int(now.timestamp())
    settings = Settings(
        _env_file=None,
        github_webhook_secrets=(SecretStr(secret),),
        github_scoped_secrets={"acme/shop": SecretStr(scoped)},
        linear_webhook_secrets=(SecretStr(secret),),
        slack_signing_secrets=(SecretStr(secret),),
        deployment_sources={
            "standard": {"scheme": "standard", "secret": standard},
            "hmac": {"scheme": "hmac", "secret": scoped, "header": "x-signature"},
            "bearer": {"scheme": "bearer", "secret": secret},
        },
    )
    providers = (EventProvider.GITHUB, EventProvider.LINEAR, EventProvider.SLACK, EventProvider.DEPLOYMENT)
    types = ("application/json", "application/x-www-form-urlencoded", "text/plain", "")
    names = ("x-github-event", "x-hub-signature-256", "linear-signature", "x-slack-request-timestamp", "webhook-id")

    def target(data: bytes) -> None:
        provider, content_type, signing, name = (*data[:4], 0, 0, 0, 0)[:4]
        body = data[4:]
        headers = {"content-type": types[content_type % 2 if signing % 8 else content_type % 4]}
        if signing % 8:
            headers |= {
                "x-github-event": "push",
                "x-hub-signature-256": sign_github(scoped if signing % 8 == 1 else secret, body),
                "linear-signature": sign_linear(secret, body),
                "x-slack-request-timestamp": str(moment),
                "x-slack-signature": sign_slack(secret, body, timestamp=moment),
                "webhook-id": "msg_1",
                "webhook-timestamp": str(moment),
                "webhook-signature": sign_standard(standard, body, message_id="msg_1", timestamp=moment),
            }
        if signing % 8 in (0, 7):
            headers[names[name % len(names)]] = body[:64].decode("latin-1")
            headers["authorization"] = f"Bearer {body[64:128].decode('latin-1')}"
        try:
            read_delivery(providers[provider % 4], headers=headers, body=body, settings=settings, now=now)
        except (SignatureError, UnsupportedContentTypeError, MalformedPayloadError):
            return

    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz()
