"""Which thing outside is the one that is edited, and that no two workers make it at once."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contexten_core.db import Database
from contexten_core.errors import OutboundError
from contexten_core.events.models import PostModel
from contexten_core.integrations import post_store

_TURN = timedelta(seconds=90)
_WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Post:
    """A thing that is edited.

    Attributes:
        external_id: its service's id; None when it has to be found or made.
        mark_key: what its mark is made of. It changes when the thing was deleted outside, so that a copy that somebody
            made of the old one is not taken for ours.
    """

    key: str
    external_id: str | None
    mark_key: str


class Posts:
    """The things that are edited, by the keys of their PostModels. Each call is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, key: str, *, effect: str) -> Post:
        """Return a post; one that is still to be made is for this effect alone to make, for a minute and a half.

        Raises:
            OutboundError: another effect is making it; try again.
        """
        async with self._database.transaction() as session:
            row = await post_store.hold(session, key)
            if row.external_id is not None:
                return Post(key, row.external_id, _mark_key(row))
            now = await self._database.now(session)
            state = row.state or {}
            if state.get("effect") not in (None, effect) and now < _since(state) + _TURN:
                raise OutboundError(
                    f"{key} is being made for {state.get('effect')}", transient=True, retry_after=_WAIT_SECONDS
                )
            row.state = {**state, "effect": effect, "since": now.isoformat()}
            return Post(key, None, _mark_key(row))

    async def keep(self, key: str, *, external_id: str, url: str | None, effect: str) -> None:
        """Write down which thing it is, and which effect's content it has now."""
        async with self._database.transaction() as session:
            row = await post_store.hold(session, key)
            row.external_id, row.url = external_id, url
            row.state = {**(row.state or {}), "effect": effect}

    async def drop(self, key: str, *, external_id: str) -> None:
        """Write down that the thing is gone, and another has to be made."""
        async with self._database.transaction() as session:
            row = await post_store.hold(session, key)
            if row.external_id == external_id:
                row.external_id, row.url, row.state = None, None, {"gone": external_id}


def _mark_key(row: PostModel) -> str:
    gone = (row.state or {}).get("gone")
    return row.key if gone is None else f"{row.key}:after:{gone}"


def _since(state: dict[str, Any]) -> datetime:
    try:
        moment = datetime.fromisoformat(str(state.get("since")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
