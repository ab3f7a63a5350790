"""What any event says, in our words, whoever it comes from."""

from collections.abc import Mapping
from typing import Any

from contexten_core.events.models import EventProvider
from contexten_core.events.normalise import NormalisedEvent, first_text, normalise_github, text_at
from contexten_core.events.normalise_linear import normalise_linear
from contexten_core.events.normalise_slack import normalise_slack
from contexten_core.security.text import one_line

_TITLES = ("title", "name", "message")
_ACTORS = ("actor", "user", "user_id")


def normalise(provider: EventProvider, event_type: str, payload: Mapping[str, Any]) -> NormalisedEvent:
    """Read the parts of a payload that we act on; never raises."""
    match provider:
        case EventProvider.GITHUB:
            return normalise_github(event_type, payload)
        case EventProvider.LINEAR:
            return normalise_linear(event_type, payload)
        case EventProvider.SLACK:
            return normalise_slack(event_type, payload)
        case EventProvider.DEPLOYMENT | EventProvider.SYSTEM | EventProvider.USER:
            return _neutral(provider, event_type, payload)


def _neutral(provider: EventProvider, event_type: str, payload: Mapping[str, Any]) -> NormalisedEvent:
    return NormalisedEvent(
        type=event_type,
        name=one_line(f"{provider.value} {event_type}", 300),
        action=text_at(payload, "action"),
        actor=first_text(payload, _ACTORS),
        title=first_text(payload, _TITLES),
        text=text_at(payload, "text"),
        url=text_at(payload, "url"),
    )
