"""Receive a delivery: who sent it, what it says, what makes it itself. Pure; storing it is another's."""

from collections.abc import Callable, Mapping
from datetime import datetime

from contexten_core.errors import NotConfiguredError
from contexten_core.events.delivery import Challenge, Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.receive_deployment import read_deployment
from contexten_core.events.receive_github import read_github
from contexten_core.events.receive_linear import read_linear
from contexten_core.events.receive_slack import read_slack
from contexten_core.settings import Settings

_SECRETS = {
    EventProvider.GITHUB: ("github_webhook_secrets", "github_scoped_secrets"),
    EventProvider.LINEAR: ("linear_webhook_secrets",),
    EventProvider.SLACK: ("slack_signing_secrets",),
    EventProvider.DEPLOYMENT: ("deployment_sources",),
}
_VARIABLES = {
    EventProvider.GITHUB: "GITHUB_WEBHOOK_SECRET",
    EventProvider.LINEAR: "LINEAR_WEBHOOK_SECRET",
    EventProvider.SLACK: "SLACK_SIGNING_SECRET",
    EventProvider.DEPLOYMENT: "DEPLOYMENT_SOURCES",
}
_Read = Callable[..., Delivery | Challenge]
_READERS: dict[EventProvider, _Read] = {
    EventProvider.GITHUB: read_github,
    EventProvider.LINEAR: read_linear,
    EventProvider.SLACK: read_slack,
    EventProvider.DEPLOYMENT: read_deployment,
}


def require_configured(provider: EventProvider, settings: Settings) -> None:
    """Do nothing for a provider that deliveries are taken from.

    Raises:
        NotConfiguredError: it has no secret, or is no sender of deliveries.
    """
    if not any(getattr(settings, name) for name in _SECRETS.get(provider, ())):
        variable = _VARIABLES.get(provider)
        raise NotConfiguredError(
            f"no webhook secret of {provider.value} is configured", hint=f"set {variable}" if variable else None
        )


def read_delivery(
    provider: EventProvider, *, headers: Mapping[str, str], body: bytes, settings: Settings, now: datetime
) -> Delivery | Challenge:
    """Return the delivery in a request that its sender signed, or the challenge that Slack wants back.

    A signed body that cannot be read becomes a parked delivery: sending it again would not help.

    Raises:
        NotConfiguredError: the provider has no secret.
        SignatureError: unsigned, signed with a secret that we do not know or that is not for this repository, or not
            signed now.
        UnsupportedContentTypeError: neither JSON nor, from Slack, a form.
        MalformedPayloadError: something is missing beside the body, such as GitHub's event header.
    """
    require_configured(provider, settings)
    lower = {name.lower(): value for name, value in headers.items()}
    return _READERS[provider](headers=lower, body=body, settings=settings, now=now)
