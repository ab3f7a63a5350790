"""`app.github`: handlers of GitHub's webhooks, and a client of its API."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import httpx
from githubkit import GitHub as GitHubClient
from githubkit import TokenAuthStrategy

from contexten.handlers.provider import ProviderHandlers, split_name
from contexten_core.errors import ConfigurationError
from contexten_core.events.models import EventProvider

_EVENT_HEADER = "x-github-event"
_CONNECT_SECONDS = 10.0
_INSTALLATION_DETAILS = ("installation_id", "setup_action")
# What a payload has that only payloads of this event have; the first that fits counts.
_SIGNS: tuple[tuple[str, frozenset[str]], ...] = (
    ("ping", frozenset({"zen"})),
    ("pull_request_review", frozenset({"review", "pull_request"})),
    ("pull_request_review_comment", frozenset({"comment", "pull_request"})),
    ("pull_request_review_thread", frozenset({"thread", "pull_request"})),
    ("issue_comment", frozenset({"comment", "issue"})),
    ("discussion_comment", frozenset({"comment", "discussion"})),
    ("commit_comment", frozenset({"comment"})),
    ("check_run", frozenset({"check_run"})),
    ("check_suite", frozenset({"check_suite"})),
    ("workflow_job", frozenset({"workflow_job"})),
    ("deployment_status", frozenset({"deployment_status"})),
    ("deployment", frozenset({"deployment"})),
    ("workflow_run", frozenset({"workflow_run", "workflow"})),
    ("release", frozenset({"release"})),
    ("push", frozenset({"ref", "commits"})),
    ("pull_request", frozenset({"pull_request"})),
    ("issues", frozenset({"issue"})),
    ("discussion", frozenset({"discussion"})),
)


class GitHub(ProviderHandlers):
    """Events are named `push`, `pull_request` (every action of it) or `pull_request:labeled` (that action)."""

    provider: ClassVar[EventProvider] = EventProvider.GITHUB
    unhandled: ClassVar[str] = "Event type not handled"

    @cached_property
    def client(self) -> GitHubClient[TokenAuthStrategy]:
        """A client of GitHub's API, made at first use; its calls have a time limit.

        Raises:
            ConfigurationError: there is no token.
        """
        token = self._settings.github_token
        if token is None:
            raise ConfigurationError(
                "GITHUB_ACCESS_TOKEN is not set, so there is no GitHub client", hint="set it to a token of GitHub's"
            )
        seconds = self._settings.api_timeout_seconds
        return GitHubClient(
            TokenAuthStrategy(token.get_secret_value()),
            base_url=self._settings.github_api_url,
            timeout=httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)),
        )

    async def handle(self, payload: Mapping[str, Any], request: Any = None, *, event_type: str | None = None) -> Any:
        """Call the functions registered for this event; see `ProviderHandlers.handle`.

        The event's type is `event_type`, or what the request's `X-GitHub-Event` header says; without either it is told
        from what the payload has, for the commonest events. What GitHub sends after somebody installed the app is
        answered here, without the code in it, which is as good as a password.
        """
        if "installation_id" in payload and "code" in payload:
            details = {key: payload[key] for key in _INSTALLATION_DETAILS if key in payload}
            return {"message": "GitHub app installation details received", "details": details}
        return await super().handle(payload, request, event_type=event_type or _header(request))

    def named(self, payload: Mapping[str, Any], event_type: str | None) -> tuple[str | None, Mapping[str, Any]]:
        event, action = split_name(event_type or _likely_event(payload) or "")
        return event or None, payload if action is None else {**payload, "action": action}


def _header(request: Any) -> str | None:
    headers: Mapping[str, str] = getattr(request, "headers", None) or {}
    return next((value for name, value in headers.items() if name.lower() == _EVENT_HEADER), None)


def _likely_event(payload: Mapping[str, Any]) -> str | None:
    return next((event for event, signs in _SIGNS if signs <= payload.keys()), None)
