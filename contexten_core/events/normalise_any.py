"""What any event says, in our words, whoever it comes from."""

from collections.abc import Mapping
from typing import Any

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NOBODY, NormalisedEvent, Own, first_line, first_link, links_of, text_at
from contexten_core.events.normalise_deployment import normalise_deployment
from contexten_core.events.normalise_github import normalise_github
from contexten_core.events.normalise_linear import normalise_linear
from contexten_core.events.normalise_slack import normalise_slack
from contexten_core.security.text import one_line

_TITLES = ("title", "name", "message")
_ACTORS = ("actor", "user", "user_id")


def normalise(
    provider: EventProvider,
    event_type: str,
    payload: Mapping[str, Any],
    *,
    source: str | None = None,
    own: Own = NOBODY,
) -> NormalisedEvent:
    """Read the parts of a payload that we act on; never raises.

    Args:
        provider: whose shape the payload has.
        event_type: what the sender calls the event.
        payload: what it says.
        source: the name of the source that sent a deployment.
        own: who we are, to tell what we did ourselves.
    """
    match provider:
        case EventProvider.GITHUB:
            return normalise_github(event_type, payload, own)
        case EventProvider.LINEAR:
            return normalise_linear(event_type, payload, own)
        case EventProvider.SLACK:
            return normalise_slack(event_type, payload, own)
        case EventProvider.DEPLOYMENT:
            return normalise_deployment(event_type, payload, source=source)
        case EventProvider.SYSTEM | EventProvider.USER:
            return _neutral(provider, event_type, payload)


def _neutral(provider: EventProvider, event_type: str, payload: Mapping[str, Any]) -> NormalisedEvent:
    url = first_link(payload, ("url",))
    return NormalisedEvent(
        provider=provider,
        type=event_type,
        name=one_line(f"{provider.value} {event_type[:300]}", 300),
        action=text_at(payload, "action"),
        actor=first_line(payload, _ACTORS),
        title=first_line(payload, _TITLES),
        text=text_at(payload, "text"),
        url=url,
        links=links_of(url),
    )
