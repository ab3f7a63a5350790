"""Stand-ins for GitHub, Linear and Slack, which run until Ctrl-C, and senders that misbehave as told."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from fastapi import FastAPI
from rich.markup import escape

from contexten.cli.output import AsJson, coloured, failures_explained, out, print_json, print_table
from contexten.emulators.clock import Clock
from contexten.emulators.deliveries import Delivery, GitHubDelivery
from contexten.emulators.github import create_github_emulator
from contexten.emulators.github_hooks import GitHubHooks
from contexten.emulators.linear import create_linear_emulator
from contexten.emulators.linear_deliveries import LinearDelivery
from contexten.emulators.outlet import Outlet
from contexten.emulators.sender import Sender, SendingFaults, Sent
from contexten.emulators.serving import serve_until_signalled
from contexten.emulators.slack import create_slack_emulator
from contexten.emulators.slack_deliveries import SlackDelivery
from contexten_core.errors import ConfigurationError, InvalidInputError, PayloadTooLargeError
from contexten_core.security.json import parse_object
from contexten_core.settings import get_settings

LARGEST_PAYLOAD = 25 * 1024 * 1024


class Provider(StrEnum):
    """Whom the emulators stand in for."""

    GITHUB = "github"
    LINEAR = "linear"
    SLACK = "slack"


PORTS = {Provider.GITHUB: 8081, Provider.LINEAR: 8082, Provider.SLACK: 8083}
SECRETS = {
    Provider.GITHUB: "GITHUB_WEBHOOK_SECRET",
    Provider.LINEAR: "LINEAR_WEBHOOK_SECRET",
    Provider.SLACK: "SLACK_SIGNING_SECRET",
}
API_SETTINGS = {
    Provider.GITHUB: ("GITHUB_API_URL", ""),
    Provider.LINEAR: ("LINEAR_API_URL", "/graphql"),
    Provider.SLACK: ("SLACK_API_URL", "/api/"),
}
NAMES = {Provider.GITHUB: "GitHub", Provider.LINEAR: "Linear", Provider.SLACK: "Slack"}
SERVES = {
    Provider.GITHUB: "hooks and deliveries, statuses, check runs, comments, reactions, reviews",
    Provider.LINEAR: "issues, teams, comments, reactions, in GraphQL",
    Provider.SLACK: "chat.postMessage, chat.update, reactions.add and what goes with them",
}

_SecretFrom = Annotated[
    str | None,
    typer.Option("--secret-from-env", metavar="NAME", help="The variable that holds the webhook secret."),
]
_Scale = Annotated[float, typer.Option(min=0, help="How fast time passes between attempts; 3600: an hour a second.")]
_Duplicate = Annotated[float, typer.Option(min=0, max=1, help="Chance that a delivery is sent twice at once.")]
_Reorder = Annotated[float, typer.Option(min=0, max=1, help="Chance that it is held back until later ones are sent.")]
_Delay = Annotated[float, typer.Option(min=0, max=86_400, help="Each is sent up to so many seconds late.")]
_Drop = Annotated[float, typer.Option(min=0, max=1, help="Chance that it gets lost on the way.")]
_CutBefore = Annotated[float, typer.Option(min=0, max=1, help="Chance that half of it arrives.")]
_CutAfter = Annotated[float, typer.Option(min=0, max=1, help="Chance that it arrives and the answer does not.")]
_PerSecond = Annotated[float | None, typer.Option(min=0.001, help="At most so many in a second.")]
_Seed = Annotated[int, typer.Option(help="The same seed, the same mishaps.")]

app = typer.Typer(no_args_is_help=True, help=__doc__)


def _emulator_command(provider: Provider) -> Callable[..., None]:
    def emulate(
        *,
        host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
        port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes any free one.")] = PORTS[provider],
        to: Annotated[str | None, typer.Option(metavar="URL", help="Where its deliveries go.")] = None,
        secret_from_env: _SecretFrom = None,
        token_from_env: Annotated[
            str | None,
            typer.Option(metavar="NAME", help="The variable with the only API token it accepts; any when left out."),
        ] = None,
        time_scale: _Scale = 1.0,
        duplicate: _Duplicate = 0.0,
        reorder: _Reorder = 0.0,
        delay: _Delay = 0.0,
        drop: _Drop = 0.0,
        cut_before: _CutBefore = 0.0,
        cut_after: _CutAfter = 0.0,
        per_second: _PerSecond = None,
        seed: _Seed = 0,
    ) -> None:
        with failures_explained():
            secret = _secret(provider, secret_from_env) if to else None
            token = _variable(token_from_env) if token_from_env else None
            faults = _faults(
                duplicate=duplicate,
                reorder=reorder,
                delay=delay,
                drop=drop,
                cut_before=cut_before,
                cut_after=cut_after,
                per_second=per_second,
                seed=seed,
            )

            async def main() -> None:
                clock = Clock(time_scale=time_scale)
                emulator, sender = _make(provider, clock=clock, faults=faults, token=token, to=to, secret=secret)
                async with sender:
                    await serve_until_signalled(
                        emulator, host=host, port=port, announce=lambda url: _announce(provider, url, to=to)
                    )

            asyncio.run(main())

    emulate.__doc__ = f"Stand in for {NAMES[provider]} until Ctrl-C: {SERVES[provider]}."
    return emulate


for _provider in Provider:
    app.command(_provider.value)(_emulator_command(_provider))


@app.command("send")
def send(
    provider: Annotated[Provider, typer.Argument(help="As whom to send.")],
    *,
    file: Annotated[str, typer.Option(help="The payload, as JSON; - reads standard input.")],
    event: Annotated[str | None, typer.Option(help="The event, such as push. Only GitHub needs it.")] = None,
    to: Annotated[
        str | None, typer.Option(metavar="URL", help="Where to; this machine's server when left out.")
    ] = None,
    times: Annotated[int, typer.Option(min=1, max=10_000, help="So many deliveries, each with an id of its own.")] = 1,
    at_once: Annotated[int, typer.Option(min=1, max=500, help="So many attempts under way at a time.")] = 10,
    retry: Annotated[bool, typer.Option("--retry", help="Also try again by the sender's schedule.")] = False,
    secret_from_env: _SecretFrom = None,
    time_scale: _Scale = 1.0,
    duplicate: _Duplicate = 0.0,
    reorder: _Reorder = 0.0,
    delay: _Delay = 0.0,
    drop: _Drop = 0.0,
    cut_before: _CutBefore = 0.0,
    cut_after: _CutAfter = 0.0,
    per_second: _PerSecond = None,
    seed: _Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Send a payload, with mishaps on the way; the exit code is 0 only if every delivery was taken.

    GitHub's bytes are the same each time, so that the receiver may take them for one event; Linear's and Slack's
    deliveries say in the body which they are.
    """
    with failures_explained(as_json=as_json):
        faults = _faults(
            duplicate=duplicate,
            reorder=reorder,
            delay=delay,
            drop=drop,
            cut_before=cut_before,
            cut_after=cut_after,
            per_second=per_second,
            seed=seed,
        )
        payload, secret = _payload(file), _secret(provider, secret_from_env)
        url = to or f"http://127.0.0.1:{get_settings().api_port}/{provider.value}/events"
        deliveries = [_delivery(provider, event, payload, number) for number in range(times)]

        async def main() -> list[Sent]:
            clock = Clock(time_scale=time_scale)
            async with Sender(secret=secret, clock=clock, faults=faults, concurrency=at_once, retry=retry) as sender:
                sent = [sender.send(delivery, url) for delivery in deliveries]
                await sender.settled()
                return sent

        lines = [_line(sent) for sent in asyncio.run(main())]
    if as_json:
        print_json({"url": url, "deliveries": lines})
    else:
        _print(url, lines)
    raise typer.Exit(0 if all(line["delivered"] for line in lines) else 1)


def _make(
    provider: Provider, *, clock: Clock, faults: SendingFaults, token: str | None, to: str | None, secret: bytes | None
) -> tuple[FastAPI, Sender]:
    if provider is Provider.GITHUB:
        hooks = GitHubHooks(clock=clock, faults=faults)
        if to:
            hooks.hook_everywhere(url=to, secret=secret)
        return create_github_emulator(required_token=token, hooks=hooks), hooks.sender
    sender = Sender(secret=secret, clock=clock, faults=faults)
    outlet = Outlet(sender=sender, url=to) if to else None
    if provider is Provider.LINEAR:
        return create_linear_emulator(required_key=token, clock=clock, outlet=outlet), sender
    return create_slack_emulator(required_token=token, outlet=outlet), sender


def _announce(provider: Provider, url: str, *, to: str | None) -> None:
    setting, path = API_SETTINGS[provider]
    out.print(f"{NAMES[provider]} emulator on {url}: {SERVES[provider]}; {url}/_emulator/requests shows all.")
    if to:
        body = '{"event": "push", "payload": {...}}' if provider is Provider.GITHUB else '{"payload": {...}}'
        command = f"curl -X POST {url}/_emulator/deliveries -H 'Content-Type: application/json' -d '{body}'"
        out.print(escape(f"It delivers to {to}: {command}"))
    else:
        out.print("It delivers nowhere; --to URL says where to.")
    out.print(f"For Contexten to call it, set {setting}={url}{path}. Ctrl-C ends it.")
    sys.stdout.flush()


def _faults(*, delay: float, **chances: Any) -> SendingFaults:
    return SendingFaults(delay=1.0 if delay else 0.0, delay_seconds=delay, **chances)


def _secret(provider: Provider, variable: str | None) -> bytes:
    if variable is not None:
        return _variable(variable).encode()
    settings = get_settings()
    configured = {
        Provider.GITHUB: settings.github_webhook_secret,
        Provider.LINEAR: settings.linear_webhook_secret,
        Provider.SLACK: settings.slack_signing_secret,
    }[provider]
    if configured is None:
        raise ConfigurationError(
            f"{SECRETS[provider]} is not set, so there is nothing to sign with",
            hint="set it to the receiver's secret, or name another variable with --secret-from-env",
        )
    return configured.get_secret_value().encode()


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigurationError(f"the environment has no {name}", hint="set it, or name another variable")
    return value


def _payload(file: str) -> dict[str, Any]:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(LARGEST_PAYLOAD + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(LARGEST_PAYLOAD + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidInputError(f"{file} cannot be read: {reason}", fields={"file": reason}) from error
    if len(content) > LARGEST_PAYLOAD:
        raise PayloadTooLargeError(f"{file} has more than {LARGEST_PAYLOAD} bytes", hint="no sender sends more")
    return parse_object(content)


def _delivery(provider: Provider, event: str | None, payload: Mapping[str, Any], number: int) -> Delivery:
    if provider is Provider.GITHUB:
        if event is None:
            raise ConfigurationError("GitHub says in a header which event it sends", hint="say which: --event push")
        return GitHubDelivery(event=event, payload=payload)
    if provider is Provider.LINEAR:
        fresh = {name: value for name, value in payload.items() if name != "webhookTimestamp"}
        made = LinearDelivery(payload=fresh)
        return LinearDelivery(payload=fresh, delivery_id=made.delivery_id, sent_at=made.sent_at + number)
    if number and "event_id" in payload:
        payload = {**payload, "event_id": f"{payload['event_id']}{number}"}
    return SlackDelivery.of_payload(payload)


def _line(sent: Sent) -> dict[str, Any]:
    last = sent.attempts[-1]
    return {
        "delivery_id": sent.delivery.delivery_id,
        "event": sent.delivery.event,
        "delivered": sent.delivered,
        "outcomes": [attempt.outcome.value for attempt in sent.attempts],
        "copies": sent.copies,
        "status": last.status,
        "answer": last.answer if last.answer is not None else last.detail,
    }


def _print(url: str, lines: list[dict[str, Any]]) -> None:
    rows = [
        (
            escape(line["delivery_id"]),
            escape(line["event"]),
            coloured("success" if line["delivered"] else "failure"),
            escape(", ".join(line["outcomes"]) + (" (twice)" if line["copies"] else "")),
            escape(f"{line['status'] or ''} {line['answer'][:200]}".strip()),
        )
        for line in lines
    ]
    print_table(f"Deliveries to {escape(url)}", ("delivery", "event", "outcome", "attempts", "answer"), rows)
