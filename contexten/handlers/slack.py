"""`app.slack`: handlers of Slack's events, interactions and commands, and a client of its API."""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from slack_sdk import WebClient

from contexten.handlers.provider import ANY_EVENT, ProviderHandlers
from contexten_core.errors import ConfigurationError
from contexten_core.events.models import EventProvider
from contexten_core.events.normalise_slack import URL_VERIFICATION, slack_event, slack_event_type


class Slack(ProviderHandlers):
    """Events are named after the inner event (`app_mention`), interactions by their type (`block_actions`).

    A slash command is `slash_command`, or just itself: `/deploy`.
    """

    provider: ClassVar[EventProvider] = EventProvider.SLACK

    @cached_property
    def client(self) -> WebClient:
        """A client of Slack's API, made at first use; its calls have a time limit.

        Raises:
            ConfigurationError: there is no token.
        """
        token = self._settings.slack_bot_token
        if token is None:
            raise ConfigurationError(
                "SLACK_BOT_TOKEN is not set, so there is no Slack client", hint="set it to the app's xoxb- token"
            )
        return WebClient(
            token.get_secret_value(),
            base_url=self._settings.slack_api_url,
            timeout=math.ceil(self._settings.api_timeout_seconds),
        )

    async def handle(self, payload: Mapping[str, Any], request: Any = None, *, event_type: str | None = None) -> Any:
        """Call the functions registered for this event; see `ProviderHandlers.handle`.

        The payload may be the whole delivery or just the inner event. A `url_verification` is answered with its
        challenge and reaches no function.
        """
        if (event_type or payload.get("type")) == URL_VERIFICATION:
            return {"challenge": payload.get("challenge")}
        return await super().handle(payload, request, event_type=event_type)

    def _given(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        return slack_event(payload)

    def _is_for(self, name: str, event_type: str, payload: Mapping[str, Any]) -> bool:
        if event_type == URL_VERIFICATION:
            return False
        return name in (ANY_EVENT, event_type) or (name.startswith("/") and name == payload.get("command"))

    def named(self, payload: Mapping[str, Any], event_type: str | None) -> tuple[str | None, Mapping[str, Any]]:
        if event_type is None:
            return slack_event_type(payload), payload
        event = {**slack_event(payload), "type": event_type}
        return event_type, {**payload, "event": event} if "event" in payload else event
