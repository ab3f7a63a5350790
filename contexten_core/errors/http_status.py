"""What an outside service's refusal means, and how long it asks us to wait."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from contexten_core.errors import classification as kinds
from contexten_core.errors.classification import Classification

_FORBIDDEN = 403
_TOO_MANY_REQUESTS = 429
_REFUSED_CREDENTIALS = frozenset({401, _FORBIDDEN, 407})
_TOO_SLOW_OR_EARLY = frozenset({408, 425})
_SERVER_ERROR = 500
_CHAIN_LIMIT = 10


def judge_status(status: int, headers: Mapping[str, str]) -> Classification:
    """Judge an answer to a call of ours."""
    if is_rate_limit(status, headers) or status in _TOO_SLOW_OR_EARLY or status >= _SERVER_ERROR:
        return kinds.SERVICE_AWAY
    return kinds.SECURITY if status in _REFUSED_CREDENTIALS else kinds.INTEGRATION


def is_rate_limit(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether we asked too often: GitHub says that with a 403 as well."""
    return status == _TOO_MANY_REQUESTS or (
        status == _FORBIDDEN and (headers.get("x-ratelimit-remaining") == "0" or "retry-after" in headers)
    )


def answer_of(error: BaseException) -> tuple[int, Mapping[str, str]] | None:
    """Return status and headers, by lower-case names, of the HTTP answer that the error carries; None without one."""
    response = _attribute(error, "response")
    status = _attribute(response, "status_code")
    if isinstance(status, bool) or not isinstance(status, int):
        return None
    headers = _attribute(response, "headers")
    known = headers if isinstance(headers, Mapping) else {}
    return status, {str(name).lower(): str(value) for name, value in known.items()}


def was_rate_limited(error: BaseException) -> bool:
    """Tell whether the error, or what it was raised from, is an answer that we asked too often."""
    return any(
        _attribute(part, "retry_after") is not None or (answer is not None and is_rate_limit(*answer))
        for part in _chain(error)
        for answer in (answer_of(part),)
    )


def asked_to_wait(error: BaseException, *, now: datetime) -> float | None:
    """Return the seconds that the other side asked us to wait (`retry_after` or a Retry-After header), or None."""
    for part in _chain(error):
        told = _attribute(part, "retry_after")
        if isinstance(told, timedelta):
            return max(told.total_seconds(), 0.0)
        if isinstance(told, int | float) and told >= 0:
            return float(told)
        answer = answer_of(part)
        if answer is not None and (seconds := _of_header(answer[1].get("retry-after", ""), now)) is not None:
            return seconds
    return None


def _of_header(value: str, now: datetime) -> float | None:
    """Read seconds, or a date as RFC 9110 has it."""
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((aware - now).total_seconds(), 0.0)


def _attribute(thing: object, name: str) -> Any:
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - a stranger's property may raise anything
        return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    part: BaseException | None = error
    for _ in range(_CHAIN_LIMIT):
        if part is None:
            return
        yield part
        part = part.__cause__
