"""Comments, reactions and states at Linear, each carried out once.

Linear takes ids that its clients make, so an effect's key becomes the id of what it makes: a repetition is refused,
and found by that id.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID

from contexten_core.db import Database
from contexten_core.errors import OutboundError
from contexten_core.integrations.json_call import bounded, text_of
from contexten_core.integrations.linear_client import LinearClient, LinearRefusedError
from contexten_core.integrations.posts import Posts
from contexten_core.security.text import one_line
from contexten_core.settings import Settings

COMMENT = "linear.comment"
STICKY = "linear.sticky"
STATE = "linear.state"
REACTION = "linear.reaction"

_HINT_LIMIT = 500
_TRIES = 2

_FIND_COMMENT = "query($id: String!) { comment(id: $id) { id url } }"
_CREATE_COMMENT = """mutation($input: CommentCreateInput!) {
    commentCreate(input: $input) { success comment { id url } } }"""
_UPDATE_COMMENT = """mutation($id: String!, $input: CommentUpdateInput!) {
    commentUpdate(id: $id, input: $input) { success comment { id url } } }"""
_FIND_STATE = """query($id: String!) { issue(id: $id) {
    identifier state { id name type } team { states(first: 250) { nodes { id name type position } } } } }"""
_UPDATE_ISSUE = """mutation($id: String!, $input: IssueUpdateInput!) {
    issueUpdate(id: $id, input: $input) { success } }"""
_CREATE_REACTION = """mutation($input: ReactionCreateInput!) {
    reactionCreate(input: $input) { success reaction { id } } }"""
_FIND_REACTIONS = {
    "commentId": "query($id: String!) { comment(id: $id) { reactions { id emoji user { isMe } } } }",
    "issueId": "query($id: String!) { issue(id: $id) { reactions { id emoji user { isMe } } } }",
}


class LinearPoster:
    """Carries out effects at Linear.

    What an effect's content holds, by its kind:

    - `linear.comment`: issue_id, body
    - `linear.sticky`: issue_id, post, body; the one comment of that `post` key is edited
    - `linear.state`: issue_id, state: the name of one of its team's states, or a type such as `started`
    - `linear.reaction`: comment_id or issue_id, emoji
    """

    kinds = frozenset({COMMENT, STICKY, STATE, REACTION})

    def __init__(self, settings: Settings, database: Database) -> None:
        self._client = LinearClient(settings)
        self._posts = Posts(database)

    def unable(self, content: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - there is one address for all
        """Return why nothing can be carried out at all, or None."""
        return self._client.unable()

    async def post(
        self,
        content: Mapping[str, Any],
        *,
        key: str,
        maybe_done: bool,  # noqa: ARG002 - a repetition does nothing, whether or not one is expected
    ) -> dict[str, Any]:
        """Carry an effect out and return what Linear made of it.

        Raises:
            OutboundError: Linear refused, or did not answer.
        """
        async with bounded("Linear"):
            if "state" in content:
                return await self._move(content)
            if "emoji" in content:
                return await self._react(content, key)
            if "post" in content:
                return await self._stick(content, key)
            comment, _ = await self._comment(content, id_of(key))
            return comment

    async def _comment(self, content: Mapping[str, Any], comment_id: str) -> tuple[dict[str, Any], bool]:
        """Return the comment of that id, and whether it is new."""
        given = {"id": comment_id, "issueId": text_of(content, "issue_id"), "body": text_of(content, "body")}
        try:
            made = await self._client.call(_CREATE_COMMENT, {"input": given})
        except LinearRefusedError:
            if (found := await self._find(comment_id)) is None:
                raise
            return found, False
        return _kept(made.get("comment"), comment_id), True

    async def _stick(self, content: Mapping[str, Any], key: str) -> dict[str, Any]:
        name, body = text_of(content, "post"), text_of(content, "body")
        for _ in range(_TRIES):
            post = await self._posts.take(name, effect=key)
            if post.external_id is None:
                comment: dict[str, Any] | None = await self._make_sticky(content, id_of(post.mark_key))
            else:
                comment = await self._edit(post.external_id, body)
            if comment is not None:
                await self._posts.keep(name, external_id=comment["id"], url=comment["url"], effect=key)
                return comment
            await self._posts.drop(name, external_id=str(post.external_id))
        raise OutboundError("Linear loses the comment that is to be edited", transient=True)

    async def _make_sticky(self, content: Mapping[str, Any], comment_id: str) -> dict[str, Any]:
        comment, is_new = await self._comment(content, comment_id)
        return comment if is_new else await self._edit(comment_id, text_of(content, "body")) or comment

    async def _edit(self, comment_id: str, body: str) -> dict[str, Any] | None:
        """Change a comment and return it; None when it is gone."""
        try:
            made = await self._client.call(_UPDATE_COMMENT, {"id": comment_id, "input": {"body": body}})
        except LinearRefusedError:
            if await self._find(comment_id) is not None:
                raise
            return None
        return _kept(made.get("comment"), comment_id)

    async def _find(self, comment_id: str) -> dict[str, Any] | None:
        try:
            return _kept(await self._client.call(_FIND_COMMENT, {"id": comment_id}), comment_id)
        except LinearRefusedError:
            return None

    async def _move(self, content: Mapping[str, Any]) -> dict[str, Any]:
        issue_id, wanted = text_of(content, "issue_id"), text_of(content, "state")
        issue = await self._client.call(_FIND_STATE, {"id": issue_id})
        current, states = issue.get("state"), _nodes(issue.get("team"))
        state = _chosen(states, wanted, current if isinstance(current, Mapping) else {})
        if state is None:
            known = ", ".join(str(state.get("name")) for state in states)
            raise OutboundError(
                one_line(f"{issue.get('identifier') or issue_id} has no state {wanted!r}", _HINT_LIMIT),
                hint=one_line(f"its team's states are: {known}", _HINT_LIMIT),
            )
        if not isinstance(current, Mapping) or state.get("id") != current.get("id"):
            await self._client.call(_UPDATE_ISSUE, {"id": issue_id, "input": {"stateId": state.get("id")}})
        return {"issue": issue.get("identifier"), "state": state.get("name")}

    async def _react(self, content: Mapping[str, Any], key: str) -> dict[str, Any]:
        about = "comment" if content.get("comment_id") else "issue"
        field, about_id, emoji = f"{about}Id", text_of(content, f"{about}_id"), text_of(content, "emoji")
        reaction_id = id_of(key)
        try:
            given = {"id": reaction_id, field: about_id, "emoji": emoji}
            await self._client.call(_CREATE_REACTION, {"input": given})
        except LinearRefusedError:
            if not await self._has_reacted(field, about_id, reaction_id, emoji):
                raise
        return {"id": reaction_id, "emoji": emoji}

    async def _has_reacted(self, field: str, about_id: str, reaction_id: str, emoji: str) -> bool:
        try:
            about = await self._client.call(_FIND_REACTIONS[field], {"id": about_id})
        except LinearRefusedError:
            return False
        reactions = about.get("reactions")
        return any(_is_same(found, reaction_id, emoji) for found in (reactions if isinstance(reactions, list) else []))


def id_of(key: str) -> str:
    """Return the id that Linear is given for what a key names: always the same, in the form of UUID version 4."""
    # That version is the one that Linear's schema asks for; the names' own, 5, it does not promise to take.
    return str(UUID(bytes=sha256(f"contexten {key}".encode()).digest()[:16], version=4))


def _kept(comment: Any, comment_id: str) -> dict[str, Any]:
    url = comment.get("url") if isinstance(comment, Mapping) else None
    return {"id": comment_id, "url": url if isinstance(url, str) else None}


def _is_same(reaction: Any, reaction_id: str, emoji: str) -> bool:
    """Return whether it is that reaction, or one of ours with the same emoji, of which Linear takes only one."""
    if not isinstance(reaction, Mapping):
        return False
    user = reaction.get("user")
    is_ours = isinstance(user, Mapping) and user.get("isMe") is True
    return reaction.get("id") == reaction_id or (is_ours and reaction.get("emoji") == emoji)


def _nodes(team: Any) -> list[Mapping[str, Any]]:
    states = team.get("states") if isinstance(team, Mapping) else None
    nodes = states.get("nodes") if isinstance(states, Mapping) else None
    return [node for node in nodes if isinstance(node, Mapping)] if isinstance(nodes, list) else []


def _chosen(states: list[Mapping[str, Any]], wanted: str, current: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the state of that name; else of that type the present one, or the first as the team orders them."""
    wanted = wanted.strip().casefold()
    for state in states:
        if str(state.get("name")).casefold() == wanted:
            return state
    if str(current.get("type")).casefold() == wanted:
        return current
    of_type = [state for state in states if str(state.get("type")).casefold() == wanted]
    return min(of_type, key=_position, default=None)


def _position(state: Mapping[str, Any]) -> float:
    position = state.get("position")
    return float(position) if isinstance(position, int | float) else 0.0
