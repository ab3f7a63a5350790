"""The root fields of Linear's GraphQL that the emulator answers."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from contexten.emulators.graphql import GraphQLError, Schema
from contexten.emulators.linear_recorder import LinearRecorder, connection, now
from contexten.emulators.recorder import Shelf
from contexten.emulators.shapes import Json

Arguments = Mapping[str, Any]
Field = Callable[[LinearRecorder, Arguments], Any]

LARGEST_TEXT = 100_000
VERSION = 4


class LinearRefusalError(Exception):
    """A request that Linear understands and refuses: an item of `errors` beside `data: null`."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def viewer(recorder: LinearRecorder, _arguments: Arguments) -> Json:
    return recorder.viewer


def teams(recorder: LinearRecorder, _arguments: Arguments) -> Json:
    return connection("Team", [recorder.team])


def team(recorder: LinearRecorder, arguments: Arguments) -> Json:
    if arguments.get("id") not in {recorder.team["id"], recorder.team["key"]}:
        raise LinearRefusalError("Entity not found: Team")
    return recorder.team


def issue(recorder: LinearRecorder, arguments: Arguments) -> Json:
    found = _issue(recorder, arguments.get("id"))
    comments = [comment for comment in recorder.comments if comment["issue"]["id"] == found["id"]]
    return {**found, "comments": connection("Comment", comments), "reactions": _reactions(recorder, "issue", found)}


def comment(recorder: LinearRecorder, arguments: Arguments) -> Json:
    found = _find(recorder.comments, arguments.get("id"), "Comment")
    return {**found, "reactions": _reactions(recorder, "comment", found)}


def comment_create(recorder: LinearRecorder, arguments: Arguments) -> Json:
    given = _input(arguments)
    about, body = _issue(recorder, given.get("issueId")), _text(given, "body")
    comment_id = _new_id(given, recorder.comments, "Comment")
    parent_id = given.get("parentId")
    moment = now()
    comment: Json = {
        "__typename": "Comment",
        "id": comment_id,
        "body": body,
        "createdAt": moment,
        "updatedAt": moment,
        "editedAt": None,
        "url": f"{about['url']}#comment-{comment_id[:8]}",
        "user": recorder.viewer,
        "issue": about,
        "parent": _find(recorder.comments, parent_id, "Comment") if parent_id is not None else None,
    }
    recorder.comments.put(comment["id"], comment)
    return _payload(recorder, "Comment", comment=comment)


def comment_update(recorder: LinearRecorder, arguments: Arguments) -> Json:
    comment = _find(recorder.comments, arguments.get("id"), "Comment")
    moment = now()
    changed = {**comment, "body": _text(_input(arguments), "body"), "updatedAt": moment, "editedAt": moment}
    return _payload(recorder, "Comment", comment=recorder.comments.put(comment["id"], changed))


def issue_update(recorder: LinearRecorder, arguments: Arguments) -> Json:
    found, given = _issue(recorder, arguments.get("id")), _input(arguments)
    changed = {**found, "updatedAt": now()}
    if "stateId" in given:
        states = [state for state in recorder.states if state["id"] == given["stateId"]]
        if not states:
            raise LinearRefusalError("Entity not found: WorkflowState")
        changed["state"] = states[0]
    for name in ("title", "description"):
        if name in given:
            changed[name] = _text(given, name)
    return _payload(recorder, "Issue", issue=recorder.issues.put(found["id"], changed))


def reaction_create(recorder: LinearRecorder, arguments: Arguments) -> Json:
    given = _input(arguments)
    comment_id, issue_id = given.get("commentId"), given.get("issueId")
    if (comment_id is None) == (issue_id is None):
        raise LinearRefusalError("Argument Validation Error")
    reaction: Json = {
        "__typename": "Reaction",
        "id": _new_id(given, recorder.reactions, "Reaction"),
        "emoji": _text(given, "emoji"),
        "createdAt": now(),
        "user": recorder.viewer,
        "comment": _find(recorder.comments, comment_id, "Comment") if comment_id is not None else None,
        "issue": _issue(recorder, issue_id) if issue_id is not None else None,
    }
    recorder.reactions.put(reaction["id"], reaction)
    return _payload(recorder, "Reaction", reaction=reaction)


FIELDS: Mapping[str, Mapping[str, Field]] = {
    "query": {"viewer": viewer, "teams": teams, "team": team, "issue": issue, "comment": comment},
    "mutation": {
        "commentCreate": comment_create,
        "commentUpdate": comment_update,
        "issueUpdate": issue_update,
        "reactionCreate": reaction_create,
    },
}


def _fields(names: str, **objects: str) -> dict[str, str | None]:
    return {**dict.fromkeys(names.split()), **objects}


SCHEMA: Schema = {
    "Query": _fields("", viewer="User", teams="TeamConnection", team="Team", issue="Issue", comment="Comment"),
    "Mutation": _fields(
        "",
        commentCreate="CommentPayload",
        commentUpdate="CommentPayload",
        issueUpdate="IssuePayload",
        reactionCreate="ReactionPayload",
    ),
    "User": _fields("id name displayName email active app isMe url"),
    "Team": _fields("id key name", states="WorkflowStateConnection"),
    "WorkflowState": _fields("id name type color position"),
    "Issue": _fields(
        "id identifier number title description priority url branchName createdAt updatedAt",
        team="Team",
        state="WorkflowState",
        creator="User",
        assignee="User",
        comments="CommentConnection",
        reactions="Reaction",
    ),
    "Comment": _fields(
        "id body createdAt updatedAt editedAt url", user="User", issue="Issue", parent="Comment", reactions="Reaction"
    ),
    "Reaction": _fields("id emoji createdAt", user="User", comment="Comment", issue="Issue"),
    "PageInfo": _fields("hasNextPage hasPreviousPage startCursor endCursor"),
    **{
        f"{kind}Connection": _fields("", nodes=kind, pageInfo="PageInfo")
        for kind in ("Team", "WorkflowState", "Comment")
    },
    **{
        f"{kind}Payload": _fields("success lastSyncId", **{kind.lower(): kind})
        for kind in ("Comment", "Issue", "Reaction")
    },
}


def _issue(recorder: LinearRecorder, key: Any) -> Json:
    for found in recorder.issues:
        if key in {found["id"], found["identifier"]}:
            return found
    raise LinearRefusalError("Entity not found: Issue")


def _reactions(recorder: LinearRecorder, about: str, found: Json) -> list[Json]:
    return [reaction for reaction in recorder.reactions if (reaction[about] or {}).get("id") == found["id"]]


def _new_id(given: Arguments, shelf: Shelf, kind: str) -> str:
    """Take an id that the client made, which has to be of version 4, or make one."""
    wanted = given.get("id")
    if wanted is None:
        return str(uuid.uuid4())
    try:
        new_id = uuid.UUID(wanted)
    except (ValueError, TypeError, AttributeError) as error:
        raise LinearRefusalError("Argument Validation Error") from error
    if new_id.version != VERSION:
        raise LinearRefusalError("Argument Validation Error")
    if shelf.get(str(new_id)) is not None:
        raise LinearRefusalError(f"Entity already exists: {kind}")
    return str(new_id)


def _find(shelf: Shelf, key: Any, kind: str) -> Json:
    found = shelf.get(str(key))
    if found is None:
        raise LinearRefusalError(f"Entity not found: {kind}")
    return found


def _input(arguments: Arguments) -> Arguments:
    given = arguments.get("input")
    if not isinstance(given, Mapping):
        raise GraphQLError('Argument "input" is required, but it was not provided.')
    return given


def _text(given: Arguments, name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value or len(value) > LARGEST_TEXT:
        raise LinearRefusalError("Argument Validation Error")
    # JSON can spell half a surrogate pair, which no answer could be encoded with.
    return value.encode("utf-8", "replace").decode("utf-8")


def _payload(recorder: LinearRecorder, kind: str, **made: Json) -> Json:
    return {
        "__typename": f"{kind}Payload",
        "success": True,
        "lastSyncId": float(recorder.next_id()),
        **made,
    }
