"""Send events to a running Contexten as GitHub, Linear and Slack send them: signed, each with an id of its own."""

import json
import time
from collections.abc import Generator, Mapping
from hashlib import sha256
from hmac import digest
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx
from pydantic import SecretStr

from contexten.emulators.sender import GitHubDelivery
from contexten_core.errors import ConfigurationError, OutboundError
from contexten_core.settings import get_settings

_CONNECT_SECONDS = 10.0
_REFUSED = 400
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_SHOWN = 300


class Answer(dict[str, Any]):
    """What the server answered. Awaiting it gives itself, for code written for the older, asynchronous client."""

    def __await__(self) -> Generator[None, None, Self]:
        yield from ()
        return self


class CodegenClient:
    """Sends signed events to a server, for trying out handlers and prompts. Also a context manager.

    Calls block; from an event loop that also runs the server, call through `asyncio.to_thread`.

    Args:
        base_url: where the server is.
        timeout: seconds that one answer may take.
        github_secret: signs what is sent as GitHub; the first configured secret when left out, here and below.
        linear_secret: the same for Linear.
        slack_secret: the same for Slack.
    """

    def __init__(
        self,
        base_url: str = "http://localhost:8000",
        timeout: float = 30,
        *,
        github_secret: str | None = None,
        linear_secret: str | None = None,
        slack_secret: str | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._github_secret = github_secret
        self._linear_secret = linear_secret
        self._slack_secret = slack_secret
        self._http = httpx.Client(timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)))

    def send_slack_message(self, text: str, channel: str = "C123456", event_type: str = "message", **kw: Any) -> Answer:
        """Send an event of Slack's Events API; `kw` adds to the inner event, or replaces parts of it.

        Raises:
            ConfigurationError: no signing secret is configured or given.
            OutboundError: the server did not answer, or refused the event; says what it said.
        """
        now = time.time()
        moment = f"{now:.6f}"
        event = {"type": event_type, "text": text, "channel": channel, "user": "U123456", "ts": moment}
        payload = {
            "type": "event_callback",
            "team_id": "T123456",
            "api_app_id": "A123456",
            "event_id": f"Ev{uuid4().hex.upper()}",
            "event_time": int(now),
            "event": {**event, "event_ts": moment, **kw},
        }
        body = _body(payload)
        secret = _secret(self._slack_secret, get_settings().slack_signing_secrets, "SLACK_SIGNING_SECRET")
        timestamp = str(int(now))
        signature = _hex(secret, b"v0:" + timestamp.encode() + b":" + body)
        headers = {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": f"v0={signature}"}
        return self._post("/slack/events", body, headers)

    def send_github_event(
        self, event_type: str, action: str | None = None, payload: Mapping[str, Any] | None = None
    ) -> Answer:
        """Send an event of GitHub, such as `push`, or `pull_request` with the action `labeled`.

        The server takes the same payload twice for one delivery that was repeated.

        Raises:
            ConfigurationError: no webhook secret is configured or given.
            OutboundError: the server did not answer, or refused the event; says what it said.
        """
        event, _, named_action = event_type.partition(":")
        action = action or named_action or None
        delivery = GitHubDelivery(
            event=event, payload={**(payload or {}), **({} if action is None else {"action": action})}
        )
        secret = _secret(self._github_secret, get_settings().github_webhook_secrets, "GITHUB_WEBHOOK_SECRET")
        return self._post("/github/events", delivery.body, delivery.headers(secret))

    def send_linear_event(self, payload: Mapping[str, Any]) -> Answer:
        """Send an event of Linear. It is sent now, unless the payload has a `webhookTimestamp` (ms) of its own.

        Raises:
            ConfigurationError: no signing secret is configured or given.
            OutboundError: the server did not answer, or refused the event; says what it said.
        """
        body = _body({"webhookTimestamp": int(time.time() * 1000), "webhookId": str(uuid4()), **payload})
        secret = _secret(self._linear_secret, get_settings().linear_webhook_secrets, "LINEAR_WEBHOOK_SECRET")
        headers = {
            "Linear-Delivery": str(uuid4()),
            "Linear-Event": str(payload.get("type", "")),
            "Linear-Signature": _hex(secret, body),
        }
        return self._post("/linear/events", body, headers)

    def close(self) -> Answer:
        """Close the connections."""
        self._http.close()
        return Answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        address = f"{self.base_url}{path}"
        try:
            response = self._http.post(address, content=body, headers={"Content-Type": "application/json", **headers})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.InvalidURL)
            raise OutboundError(
                f"{address} did not answer: {type(error).__name__} {error}".rstrip(),
                hint="start the server with `contexten serve`, or give the client another base_url",
                transient=isinstance(error, httpx.TransportError),
                ambiguous=not unsent,
            ) from error
        said = _said(response)
        if response.status_code < _REFUSED:
            return Answer(said)
        hint = said.get("hint")
        message = said.get("message") or said.get("detail") or response.reason_phrase
        raise OutboundError(
            f"{address} answered {response.status_code}: {message}",
            hint=hint if isinstance(hint, str) else None,
            transient=response.status_code >= _SERVER_ERROR or response.status_code == _TOO_MANY_REQUESTS,
        )


def _said(response: httpx.Response) -> dict[str, Any]:
    try:
        said = response.json()
    except ValueError:
        return {"message": response.text[:_SHOWN]}
    return said if isinstance(said, dict) else {"message": said}


def _body(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":"), allow_nan=False).encode()


def _hex(secret: str, signed: bytes) -> str:
    return digest(secret.encode(), signed, sha256).hex()


def _secret(given: str | None, configured: tuple[SecretStr, ...], setting: str) -> str:
    if given is not None:
        return given
    if not configured:
        raise ConfigurationError(
            f"{setting} is not set, so there is nothing to sign with",
            hint="set it to the server's secret, or give the client one by keyword",
        )
    return configured[0].get_secret_value()
