"""One way to call Slack's Web API: bounded, and with every failure in our words.

https://docs.slack.dev/apis/web-api - what is refused comes as 200 with `ok` false and a name for the reason. The token
is sent only to the configured `SLACK_API_URL`.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from contexten_core.errors import OutboundError
from contexten_core.errors.breaker import BREAKERS, DependencyKind
from contexten_core.integrations.json_call import Answer, call_json, host_of
from contexten_core.security.text import one_line
from contexten_core.settings import Settings

_WAIT_SECONDS = 30.0
_ERROR_LIMIT = 100
_LIMITED = frozenset({"ratelimited", "rate_limited"})
_PASSING = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
_TOKEN = "the token is not valid; check SLACK_BOT_TOKEN"  # noqa: S105 - what to do about one
_NOT_CONFIGURED = "no Slack token is configured; set SLACK_BOT_TOKEN"
_HINTS = {
    "account_inactive": _TOKEN,
    "cannot_reply_to_message": "this kind of message takes no replies",
    "channel_not_found": "there is no such channel, or it is private and the app is not in it; invite the app",
    "ekm_access_denied": "an administrator has suspended posting",
    "invalid_auth": _TOKEN,
    "invalid_name": "there is no such emoji; name it without colons",
    "is_archived": "the channel is archived; choose another",
    "message_not_found": "the message was deleted, or is in another channel",
    "msg_too_long": "Slack takes at most 40,000 characters",
    "no_permission": "the app may not do this; look at its scopes and at the channel's posting permissions",
    "no_text": "there is nothing to say",
    "not_authed": _TOKEN,
    "not_in_channel": "the app is not in the channel; invite it: /invite @app",
    "restricted_action": "the workspace's settings keep apps from posting there",
    "thread_not_found": "the thread was deleted, or is in another channel",
    "token_expired": _TOKEN,
    "token_revoked": _TOKEN,
    "too_many_reactions": "the message has as many reactions as Slack allows",
}


class SlackRefusedError(OutboundError):
    """Slack understood what was asked for and does not do it; `error` is its name for the reason."""

    def __init__(self, message: str, *, error: str, hint: str | None) -> None:
        super().__init__(message, hint=hint)
        self.error = error


class SlackClient:
    """Calls Slack, at the one address that is configured."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def unable(self) -> str | None:
        """Return why nothing can be written there at all, or None."""
        return _NOT_CONFIGURED if self._settings.slack_bot_token is None else None

    async def write(self, method: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call a method that changes something and return what it answers.

        Raises:
            SlackRefusedError: see there.
            OutboundError: Slack failed, or did not answer; `ambiguous` when it may have been carried out.
        """
        return await self._call("POST", method, body=body)

    async def read(self, method: str, params: Mapping[str, str]) -> Mapping[str, Any]:
        """Call a method that only tells something; it raises the same."""
        return await self._call("GET", method, params=params)

    async def _call(
        self, verb: str, method: str, *, body: Mapping[str, Any] | None = None, params: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        token = self._settings.slack_bot_token
        if token is None:
            raise OutboundError("Slack cannot be called", hint=_NOT_CONFIGURED)
        with BREAKERS.calling(DependencyKind.SLACK, host_of(self._settings.slack_api_url)):
            answer = await call_json(
                "Slack",
                verb,
                f"{self._settings.slack_api_url}{method}",
                authorization=f"Bearer {token.get_secret_value()}",
                seconds=self._settings.api_timeout_seconds,
                params=params,
                body=body,
            )
            if answer.data is not None and answer.data.get("ok") is True and answer.status == HTTPStatus.OK:
                return answer.data
            raise _failure(answer, method)


def _failure(answer: Answer, method: str) -> OutboundError:
    data = answer.data or {}
    error = one_line(str(data.get("error") or ""), _ERROR_LIMIT)
    message = f"Slack answered {error or answer.status} to {method}"
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or error in _LIMITED:
        wait = answer.retry_after or _WAIT_SECONDS
        return OutboundError(f"Slack's rate limit is used up ({method})", transient=True, retry_after=wait)
    if answer.is_server_error or error in _PASSING:
        return OutboundError(message, transient=True, ambiguous=True, retry_after=answer.retry_after)
    if not error:
        return OutboundError(
            f"{message}, and not as Slack does", hint="is SLACK_API_URL the address of Slack's API?", ambiguous=True
        )
    if error == "missing_scope":
        needed = one_line(str(data.get("needed") or ""), _ERROR_LIMIT)
        hint: str | None = f"give the app the scope {needed or 'that the method needs'} and install it again"
    else:
        hint = _HINTS.get(error)
    return SlackRefusedError(message, error=error, hint=hint)
