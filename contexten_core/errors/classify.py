"""Judge an error: which category, which severity, and whether trying again can help.

By type and structure first (`rules`): SQLSTATE, HTTP status, errno, what our own errors say of themselves; a wrapper is
judged by what it wraps, a group by its worst member. The text is read last, and only of a bare `Exception`,
`RuntimeError` or `OSError`, and of timeouts and broken connections, whose type does not say who was silent.

| category         | what is meant                                                                    | severity |
| ---------------- | -------------------------------------------------------------------------------- | -------- |
| user_input       | what a person or a sender gave us is wrong: our own InvalidInput, NotFound,      | low      |
|                  | Conflict, Transition, Dependency, UnknownFlow, MalformedPayload, PayloadTooLarge |          |
| validation       | a value inside the program is not what the code takes: ValueError, TypeError,    | low      |
|                  | KeyError, arithmetic, JSON, pydantic                                             |          |
| database         | SQLAlchemy, psycopg, sqlite3: down or damaged                                    | critical |
|                  | a statement that is wrong; no connection free                                    | high     |
|                  | contention, data that a constraint refuses                                       | medium   |
| external_service | others' service is away, slow, broken or overrun: no connection, DNS, 408, 425,  | medium   |
|                  | 429, 5xx                                                                         |          |
| integration      | it answered, and did not take what we asked: other 4xx, GraphQL, Slack, git      | medium   |
|                  | a provider that nobody has set up                                                | low      |
| security         | signatures, tokens, certificates, 401, 403, PermissionError                      | high     |
| performance      | no memory                                                                        | critical |
|                  | more at once than allowed                                                        | high     |
|                  | too slow: OperationTimeout, TimeoutError that does not tell who was silent       | medium   |
| system           | disk full and the like; a part of the stack is down                              | critical |
|                  | bugs and wrong settings: AttributeError, ImportError, ...                        | high     |
|                  | everything else                                                                  | medium   |
|                  | stopped on purpose, or taken over                                                | low      |
"""

from collections.abc import Mapping
from typing import Any

from contexten_core.errors.classification import UNKNOWN, Classification
from contexten_core.errors.kinds import ErrorSeverity
from contexten_core.errors.rules import verdict_of
from contexten_core.errors.words import judge_words

__all__ = ["Classification", "classify"]

_DEEPEST = 10
_MOST_MEMBERS = 50
_SAY_NOTHING_BY_TYPE = (Exception, RuntimeError, OSError)
_SEVERITIES = tuple(ErrorSeverity)


def classify(error: BaseException, context: Mapping[str, Any] | None = None) -> Classification:
    """Return category, severity and whether trying again can help. Never raises, whatever the error is like.

    Args:
        error: any exception, or a group of them.
        context: what was being done; its `url`, `host`, `service`, `database` or `component` tells who was silent when
            a timeout does not.
    """
    try:
        return _judge(error, context or {}, _DEEPEST) or UNKNOWN
    except Exception:  # noqa: BLE001 - attributes and texts of a stranger's error may raise anything
        return UNKNOWN


def _judge(error: BaseException, context: Mapping[str, Any], depth: int) -> Classification | None:
    if depth == 0:
        return None
    if isinstance(error, BaseExceptionGroup):
        return _judge_group(error, context, depth)
    verdict = verdict_of(error, context)
    if isinstance(verdict, BaseException):
        return _judge(verdict, context, depth - 1)
    if verdict is None and error.__cause__ is not None:
        verdict = _judge(error.__cause__, context, depth - 1)
    if verdict is None and type(error) in _SAY_NOTHING_BY_TYPE:
        verdict = judge_words(str(error))
    return verdict


def _judge_group(
    group: BaseExceptionGroup[BaseException], context: Mapping[str, Any], depth: int
) -> Classification | None:
    """Judge a group by its worst member; trying again helps when it helps all of them."""
    found = [_judge(member, context, depth - 1) or UNKNOWN for member in group.exceptions[:_MOST_MEMBERS]]
    worst = max(found, key=lambda kind: _SEVERITIES.index(kind.severity))
    return worst.but(recoverable=all(kind.recoverable for kind in found))
