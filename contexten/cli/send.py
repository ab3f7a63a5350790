"""`contexten events send`: deliver a payload to the running server as its sender would, signed."""

import sys
from pathlib import Path
from time import monotonic
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import typer
from rich.markup import escape

from contexten.cli.output import AsJson, err, failures_explained, out, print_json
from contexten.cli.signed import SignedRequest, Wish, sign
from contexten_core.db import utc_now
from contexten_core.errors import ConfigurationError, InvalidInputError, OutboundError, PayloadTooLargeError, StackError
from contexten_core.events.models import EventProvider
from contexten_core.security.text import one_line
from contexten_core.settings import Settings, get_settings
from deployments.attach import attached, running_state

_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_REFUSED = 400
_SERVER_ERROR = 500
_SHOWN = 500


def send(
    *,
    provider: Annotated[EventProvider, typer.Option(help="As whom to send: github, linear, slack or deployment.")],
    file: Annotated[str, typer.Option(help="The payload, as JSON; - reads standard input.")],
    event: Annotated[str | None, typer.Option(help="The event's type, such as push. GitHub needs it.")] = None,
    to: Annotated[str | None, typer.Option(help="The server; the one that runs on this home when left out.")] = None,
    delivery_id: Annotated[str | None, typer.Option(help="The sender's id for it; a new one when left out.")] = None,
    source: Annotated[str | None, typer.Option(help="Which of DEPLOYMENT_SOURCES sends.")] = None,
    header: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, added or replaced; may be repeated.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Send the bytes as they are, whatever they are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send a payload to the server as its sender would, signed with the configured secret."""
    with failures_explained(as_json=as_json):
        settings = get_settings()
        if running_state(settings) is not None:
            settings = attached(settings)
        wish = Wish(_content(file, limit=settings.max_payload_bytes), raw, event, delivery_id, source)
        added = dict(_header(text) for text in header or [])
        request = sign(provider, wish, settings=settings, now=utc_now())
        url = _address(settings, to, request.path)
        began = monotonic()
        response = _post(url, request, added)
        milliseconds = (monotonic() - began) * 1000
        answer = _answer(response)
        if response.status_code >= _REFUSED:
            raise _refused(url, response, answer)
    if request.note and not as_json:
        err.print(f"[dim]Note:[/]  {escape(request.note)}")
    if as_json:
        told = {"status_code": response.status_code, "delivery_id": request.delivery_id, "url": url, "answer": answer}
        print_json(told)
    else:
        out.print(f"{_told(answer)}  [dim]({response.status_code} in {milliseconds:.0f} ms)[/]")


def _content(file: str, *, limit: int) -> bytes:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(limit + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidInputError(f"{file} cannot be read: {reason}", fields={"file": reason}) from error
    if len(content) > limit:
        raise PayloadTooLargeError(f"{file} has more than {limit} bytes", hint="the server takes no more")
    return content


def _header(text: str) -> tuple[str, str]:
    name, sign_, value = text.partition("=")
    if not sign_ or not name.strip():
        raise InvalidInputError(f"{text!r} is no header", fields={"header": "NAME=VALUE"}, hint="--header NAME=VALUE")
    return name.strip(), value.strip()


def _address(settings: Settings, to: str | None, path: str) -> str:
    if to is None:
        state = running_state(settings)
        if state is None:
            raise StackError(
                f"no stack runs on {settings.home}", hint="start one with `contexten serve`, or say where: --to URL"
            )
        return f"{state.urls['web']}{path}"
    if urlsplit(to).scheme not in ("http", "https"):
        raise ConfigurationError(f"{to!r} is no address of a server", hint="--to http://localhost:8000")
    return f"{to.rstrip('/')}{path}" if urlsplit(to).path in ("", "/") else to


def _post(url: str, request: SignedRequest, added: dict[str, str]) -> httpx.Response:
    headers = httpx.Headers(request.headers)
    try:
        headers.update(added)
        timeout = httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS)
        return httpx.post(url, content=request.body, headers=headers, timeout=timeout, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise OutboundError(
            f"{url} did not answer: {type(error).__name__} {error}".rstrip(),
            hint="is it the server's address, and does the server run? `contexten serve` starts one",
            transient=isinstance(error, httpx.TransportError),
            ambiguous=not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.InvalidURL | ValueError),
        ) from error


def _answer(response: httpx.Response) -> dict[str, Any]:
    try:
        said = response.json()
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {"text": one_line(response.text[: 2 * _SHOWN], _SHOWN)}


def _refused(url: str, response: httpx.Response, answer: dict[str, Any]) -> OutboundError:
    message = answer.get("message") or answer.get("detail") or answer.get("text") or response.reason_phrase
    hint = answer.get("hint")
    return OutboundError(
        f"{url} answered {response.status_code}: {message}",
        hint=hint if isinstance(hint, str) else None,
        transient=response.status_code >= _SERVER_ERROR,
    )


def _told(answer: dict[str, Any]) -> str:
    """Return an answer as a person wants to read it."""
    event_id = str(answer.get("event_id", ""))
    reason = escape(str(answer.get("reason") or ""))
    short = escape(event_id[:8])
    match answer.get("status"):
        case "accepted":
            parked = f", but {reason}" if reason else ""
            then = f"`contexten events explain {short}` tells what becomes of it"
            return f"[green]Accepted[/] as event {escape(event_id)}{parked}; {then}"
        case "duplicate":
            then = f"`contexten events replay {short}` handles it again"
            return f"[yellow]Duplicate[/] of event {escape(event_id)}: {reason}; {then}"
        case "ignored":
            return f"[yellow]Ignored[/], kept as event {escape(event_id)}: {reason}"
        case _:
            return f"Answered {escape(str(answer.get('text', answer)))}"
