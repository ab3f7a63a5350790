"""One way to call Linear's GraphQL: bounded, and with every failure in our words.

https://linear.app/developers/graphql and https://linear.app/developers/rate-limiting - a used-up budget comes as 400
with the code RATELIMITED. The key is sent only to the configured `LINEAR_API_URL`.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from contexten_core.db import utc_now
from contexten_core.errors import OutboundError
from contexten_core.errors.breaker import BREAKERS, DependencyKind
from contexten_core.integrations.json_call import LONGEST_WAIT_SECONDS, Answer, call_json, host_of
from contexten_core.security.text import one_line
from contexten_core.settings import Settings

_KEY_PREFIX = "lin_api_"
_WAIT_SECONDS = 60.0
_BUDGETS = ("requests", "complexity", "endpoint-requests")
_SAID_LIMIT = 300
_LIMITED, _INTERNAL = "ratelimited", "internal error"
_PASSING = frozenset({_INTERNAL, "lock timeout", "network error"})
_KINDS = {401: "authentication error", 403: "forbidden", 429: _LIMITED}
_HINTS = {
    "authentication error": "the key is not valid; check LINEAR_ACCESS_TOKEN",
    "forbidden": "the key may not write there; give it write access to the team",
}
_NOT_CONFIGURED = "no Linear key is configured; set LINEAR_ACCESS_TOKEN"


class LinearRefusedError(OutboundError):
    """Linear understood what was asked for and does not do it: it is not there, is there already, or is not valid."""


class LinearClient:
    """Calls Linear, at the one address that is configured."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def unable(self) -> str | None:
        """Return why nothing can be written there at all, or None."""
        return _NOT_CONFIGURED if self._settings.linear_api_key is None else None

    async def call(self, query: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Carry out a query or mutation of one root field, and return what that field answers.

        Raises:
            LinearRefusedError: see there.
            OutboundError: Linear failed, or did not answer; `ambiguous` when it may have been carried out.
        """
        key = self._settings.linear_api_key
        if key is None:
            raise OutboundError("Linear cannot be called", hint=_NOT_CONFIGURED)
        secret = key.get_secret_value()
        with BREAKERS.calling(DependencyKind.LINEAR, host_of(self._settings.linear_api_url)):
            answer = await call_json(
                "Linear",
                "POST",
                self._settings.linear_api_url,
                authorization=secret if secret.startswith(_KEY_PREFIX) else f"Bearer {secret}",
                seconds=self._settings.api_timeout_seconds,
                body={"query": query, "variables": variables},
            )
            if (failure := _failure(answer)) is not None:
                raise failure
        data = None if answer.data is None else answer.data.get("data")
        field = next(iter(data.values()), None) if isinstance(data, Mapping) else None
        if not isinstance(field, Mapping):
            raise OutboundError(
                f"Linear did not answer as GraphQL does ({answer.status})",
                hint="is LINEAR_API_URL the address of Linear's API?",
                ambiguous=True,
            )
        if field.get("success") is False:
            raise LinearRefusedError("Linear answered that it did not succeed")
        return field


def _failure(answer: Answer) -> OutboundError | None:
    errors = None if answer.data is None else answer.data.get("errors")
    error = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], Mapping) else None
    if error is None and answer.status == HTTPStatus.OK:
        return None
    extensions = (error or {}).get("extensions")
    extensions = extensions if isinstance(extensions, Mapping) else {}
    said = extensions.get("userPresentableMessage") or (error or {}).get("message") or ""
    message = one_line(f"Linear answered {answer.status}: {said}".rstrip(": "), _SAID_LIMIT)
    kind = _kind(answer, extensions)
    if kind == _LIMITED:
        return OutboundError("Linear's rate limit is used up", transient=True, retry_after=_wait_seconds(answer))
    if kind in _PASSING:
        return OutboundError(message, transient=True, ambiguous=True, retry_after=answer.retry_after)
    if kind in _HINTS:
        return OutboundError(message, hint=_HINTS[kind])
    if error is None:
        return OutboundError(message, hint="is LINEAR_API_URL the address of Linear's API?")
    return LinearRefusedError(message)


def _kind(answer: Answer, extensions: Mapping[str, Any]) -> str:
    """Return the kind of an error in Linear's own words, which are not always with it."""
    if extensions.get("code") == "RATELIMITED":
        return _LIMITED
    if answer.is_server_error:
        return _INTERNAL
    return _KINDS.get(answer.status) or str(extensions.get("type", "")).lower()


def _wait_seconds(answer: Answer) -> float:
    """Return how long to leave Linear alone: as it says, or until the budget that is used up is renewed."""
    if answer.retry_after is not None:
        return answer.retry_after
    now = utc_now().timestamp()
    waits = [
        reset / 1_000 - now
        for budget in _BUDGETS
        if answer.number(f"x-ratelimit-{budget}-remaining") == 0
        and (reset := answer.number(f"x-ratelimit-{budget}-reset")) is not None
    ]
    return min(max(max(waits, default=_WAIT_SECONDS), 1.0), LONGEST_WAIT_SECONDS)
