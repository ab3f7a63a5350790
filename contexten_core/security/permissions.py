"""What a person may do in a repository, asked at the source: GitHub.

https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user
"""

import re
from collections import OrderedDict
from enum import IntEnum
from http import HTTPStatus
from time import monotonic
from urllib.parse import quote
from weakref import WeakKeyDictionary

from contexten_core.db import Database
from contexten_core.errors import OutboundError
from contexten_core.integrations.github_client import GitHubClient, GitHubRefusedError
from contexten_core.integrations.github_installations import has_app
from contexten_core.integrations.github_repository import Row, repository_in
from contexten_core.runtime import Runtime
from contexten_core.settings import Settings

FRESH_SECONDS = 60.0
"""How long an answer counts before it is asked for again."""

_MOST_KEPT = 2_000
# A bot's login ends in `[bot]`, and one that an enterprise manages has its short name behind an underscore.
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,99})(?:\[bot\])?")

_Kept = OrderedDict[tuple[str, str, str], tuple[float, "Permission"]]
_kept_by: WeakKeyDictionary[GitHubClient, _Kept] = WeakKeyDictionary()
_client_of: WeakKeyDictionary[Database, GitHubClient] = WeakKeyDictionary()


class Permission(IntEnum):
    """GitHub's roles; who has one may do what those below it may."""

    NONE = 0
    READ = 1
    TRIAGE = 2
    WRITE = 3
    MAINTAIN = 4
    ADMIN = 5

    @property
    def may_write(self) -> bool:
        return self >= Permission.WRITE

    def __str__(self) -> str:
        return self.name.lower()


# The older field of an answer, which every answer has, and the roles that it puts under one word.
_PERMISSIONS = {
    "none": Permission.NONE,
    "read": Permission.READ,
    "write": Permission.WRITE,
    "admin": Permission.ADMIN,
}
_FINER = {("read", "triage"): Permission.TRIAGE, ("write", "maintain"): Permission.MAINTAIN}


def client_of(runtime: Runtime) -> GitHubClient:
    """Return the client that a process asks with, so that its answers are kept in one place."""
    client = _client_of.get(runtime.database)
    if client is None:
        client = _client_of[runtime.database] = GitHubClient(runtime.settings)
    return client


def can_ask(settings: Settings, api_url: str) -> bool:
    """Tell whether there is anything to prove to that API who we are; without, it tells nobody's permissions."""
    return api_url == settings.github_api_url and (settings.github_token is not None or has_app(settings))


async def permission_of(
    client: GitHubClient, api_url: str, repository: str, login: str | None, *, insist: bool = False
) -> Permission:
    """Return what somebody may do in a repository; `NONE` when that cannot be found out.

    An answer is kept for 60 s; that there was none is not.

    Args:
        repository: `owner/name`.
        insist: whether to raise what may pass, instead of taking it for `NONE`.

    Raises:
        OutboundError: GitHub did not answer, or is out of order; only with `insist`.
    """
    if not login or _LOGIN.fullmatch(login) is None:
        return Permission.NONE
    key = (api_url, repository.lower(), login.lower())
    kept = _kept_by.setdefault(client, OrderedDict())
    known = kept.get(key)
    if known is not None and monotonic() - known[0] < FRESH_SECONDS:
        return known[1]
    kept.pop(key, None)
    try:
        answer = await repository_in(client, {"api_url": api_url, "repository": repository}).get(
            f"/collaborators/{quote(login, safe='')}/permission"
        )
    except OutboundError as error:
        if insist and error.transient:
            raise
        return Permission.NONE
    found = _read(answer)
    kept[key] = (monotonic(), found)
    while len(kept) > _MOST_KEPT:
        kept.popitem(last=False)
    return found


async def knows_repository(client: GitHubClient, api_url: str, repository: str) -> bool:
    """Tell whether an API knows a repository as GitHub does; only of one that does can permissions be asked.

    Raises:
        OutboundError: it did not answer.
    """
    try:
        answer = await repository_in(client, {"api_url": api_url, "repository": repository}).get("")
    except GitHubRefusedError as error:
        if error.answered == HTTPStatus.NOT_FOUND:
            return False
        raise
    return str(answer.get("full_name", "")).lower() == repository.lower()


def _read(answer: Row) -> Permission:
    permission, role = answer.get("permission"), answer.get("role_name")
    if not isinstance(permission, str):
        return Permission.NONE
    finer = _FINER.get((permission, role)) if isinstance(role, str) else None
    return finer or _PERMISSIONS.get(permission, Permission.NONE)
