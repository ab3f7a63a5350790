"""What a message says, for errors whose type says nothing.

The last resort: an error of a type of its own is judged by that. The first of these that matches decides.
"""

import re
from collections.abc import Sequence

from contexten_core.errors import classification as kinds
from contexten_core.errors.classification import Classification
from contexten_core.errors.kinds import ErrorCategory

_READ_CHARACTERS = 2_000

_FAILED = (
    r"invalid|expired|revoked|missing|rejected|mismatch|not valid|bad|wrong|failed|cannot be verified|could not verify"
)
_SECURITY = (
    r"signatures?|unauthori[sz]ed|unauthenticated|authentication|authori[sz]ation|forbidden"
    r"|(?:access|permission) denied"
    rf"|(?:{_FAILED}) (?:\w+ ){{0,2}}(?:tokens?|credentials?|secrets?|api keys?|passwords?)"
    rf"|(?:tokens?|credentials?|secrets?|api keys?|passwords?)[^.\n]{{0,40}} (?:{_FAILED})"
)
_NAMED_SERVICE = r"github|gitlab|bitbucket|slack|linear(?:\.app| api)|api\.linear|openai|anthropic|https?(?=://)"
_DATABASE = r"databases?|db|postgres(?:ql)?|psycopg|sqlite|sqlalchemy|sql|connection pool|queuepool|deadlock"
_CONNECTION = r"connections?|connect|unreachable|refused|reset by peer|resolve|resolution|dns|ssl|tls|network|socket"
_TIME = r"time-?outs?|timed out|deadline exceeded"
_HOST = r"(?:[a-z0-9-]{1,63}\.){1,4}[a-z]{2,24}"
_SERVICE = (
    r"api|rate[- ]?limit\w*|too many requests|service unavailable|(?:bad )?gateway|upstream"
    r"|(?:external|remote) (?:service|server|host)|name resolution|dns"
)
_SLOW = rf"{_TIME}|too slow|slow|out of memory|memory|overload(?:ed)?|cpu|resources? exhausted|performance"
_PASSING = (
    rf"{_TIME}|{_CONNECTION}|temporar\w+|unavailable|rate[- ]?limit\w*|too many requests|gateway|overload(?:ed)?"
    r"|deadlock|locked|out of memory"
)


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])")


_MEANINGS: Sequence[tuple[re.Pattern[str], re.Pattern[str] | None, Classification]] = (
    (_words(_SECURITY), None, kinds.SECURITY),
    (_words(_NAMED_SERVICE), None, kinds.SERVICE_WRONG),
    (_words(_DATABASE), None, kinds.DATABASE_STATEMENT),
    (_words(_HOST), _words(f"{_CONNECTION}|{_TIME}"), kinds.SERVICE_WRONG),
    (_words(_SERVICE), None, kinds.SERVICE_WRONG),
    (_words(_CONNECTION), None, kinds.SERVICE_WRONG),
    (_words(_SLOW), None, kinds.COMMAND_TOO_SLOW),
    (_words(r"user input|(?:invalid|bad|wrong) input"), None, kinds.USER_INPUT),
    (_words(r"integrations?|webhooks?"), None, kinds.INTEGRATION),
    (_words(r"validation|invalid|malformed|must be|required"), None, kinds.VALIDATION),
)
_MAY_PASS = frozenset({ErrorCategory.EXTERNAL_SERVICE, ErrorCategory.DATABASE, ErrorCategory.PERFORMANCE})
_PASSES = _words(_PASSING)


def judge_words(text: str) -> Classification | None:
    """Return what a message says the error is about, or None when it says nothing."""
    said = text[:_READ_CHARACTERS].lower()
    for wanted, along_with, kind in _MEANINGS:
        if wanted.search(said) and (along_with is None or along_with.search(said)):
            return kind.but(recoverable=kind.category in _MAY_PASS and _PASSES.search(said) is not None)
    return None
