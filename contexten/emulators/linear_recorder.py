"""What a Linear emulator holds: one team, its issues, their comments and reactions."""

import uuid
from datetime import UTC, datetime

from contexten.emulators.recorder import Recorder
from contexten.emulators.shapes import Json

STATES = (("Backlog", "backlog"), ("Todo", "unstarted"), ("In Progress", "started"), ("Done", "completed"))
URL = "https://linear.app/acme"


class LinearRecorder(Recorder):
    """Bounded memory of a Linear emulator: the newest `capacity` of each kind. Ids come from names, and stay.

    Attributes:
        viewer: the user or app that the key belongs to.
        team: the one team, `ENG`, and its workflow states.
    """

    def __init__(self, *, capacity: int) -> None:
        super().__init__(capacity=capacity)
        self.issues = self.shelf()
        self.comments = self.shelf()
        self.reactions = self.shelf()
        self.viewer: Json = {
            "__typename": "User",
            "id": stable_uuid("viewer"),
            "name": "Contexten",
            "displayName": "contexten",
            "email": "contexten@example.com",
            "active": True,
            "app": True,
            "isMe": True,
            "url": f"{URL}/profiles/contexten",
        }
        self.states: list[Json] = [
            {
                "__typename": "WorkflowState",
                "id": stable_uuid(f"state {name}"),
                "name": name,
                "type": kind,
                "color": "#bec2c8",
                "position": float(position),
            }
            for position, (name, kind) in enumerate(STATES)
        ]
        self.team: Json = {
            "__typename": "Team",
            "id": stable_uuid("team ENG"),
            "key": "ENG",
            "name": "Engineering",
            "states": connection("WorkflowState", self.states),
        }

    def add_issue(self, number: int, title: str, *, description: str | None = None, state: str = "Todo") -> Json:
        """Make the issue `ENG-<number>`."""
        identifier, moment = f"{self.team['key']}-{number}", now()
        issue: Json = {
            "__typename": "Issue",
            "id": stable_uuid(f"issue {identifier}"),
            "identifier": identifier,
            "number": number,
            "title": title,
            "description": description,
            "priority": 0,
            "url": f"{URL}/issue/{identifier}",
            "branchName": f"contexten/{identifier.lower()}",
            "createdAt": moment,
            "updatedAt": moment,
            "team": self.team,
            "state": next(found for found in self.states if found["name"] == state),
            "creator": self.viewer,
            "assignee": None,
        }
        return self.issues.put(issue["id"], issue)


def stable_uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{URL}/{name}"))


def connection(kind: str, nodes: list[Json]) -> Json:
    """Put objects into the form that Linear gives lists in."""
    info = {
        "__typename": "PageInfo",
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": nodes[0]["id"] if nodes else None,
        "endCursor": nodes[-1]["id"] if nodes else None,
    }
    return {"__typename": f"{kind}Connection", "nodes": nodes, "pageInfo": info}


def now() -> str:
    """Give the time as Linear writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
