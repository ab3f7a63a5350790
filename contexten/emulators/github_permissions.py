"""A repository, and who may do what in it, as GitHub tells it. Whoever is not listed may write."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from contexten.emulators.github_problems import GitHubProblem
from contexten.emulators.github_requests import api_url
from contexten.emulators.interception import CONTROL_PREFIX
from contexten.emulators.shapes import Json, repository, user

Role = Literal["none", "read", "triage", "write", "maintain", "admin"]
UNLISTED: Role = "write"
MOST_LISTED = 10_000
# GitHub's older field knows four words only.
_PERMISSIONS = {"triage": "read", "maintain": "write"}

router = APIRouter()
control_router = APIRouter(prefix=CONTROL_PREFIX)


class Permissions(BaseModel):
    """Roles in a repository by login; `null` is a login that nobody has."""

    model_config = ConfigDict(extra="forbid")

    repository: str = Field(min_length=3, max_length=200)
    roles: dict[str, Role | None] = Field(max_length=1_000)


@router.get("")
async def show_repository(owner: str, repo: str, request: Request) -> Json:
    """Show a repository; there is every one that is asked for."""
    return repository(f"{owner}/{repo}", default_branch="main", at=datetime.now(UTC), api=api_url(request))


@router.get("/collaborators/{login}/permission")
async def show_permission(owner: str, repo: str, login: str, request: Request) -> Json:
    """Show the role of a user in a repository."""
    role = _roles(request).get((f"{owner}/{repo}".lower(), login.lower()), UNLISTED)
    if role is None:
        raise GitHubProblem(HTTPStatus.NOT_FOUND, f"{login} is not a user")
    return {
        "permission": _PERMISSIONS.get(role, role),
        "role_name": role,
        "user": {**user(login, api=api_url(request)), "role_name": role},
    }


@control_router.put("/permissions", status_code=204)
async def set_permissions(permissions: Permissions, request: Request) -> None:
    """Set the roles of users in a repository."""
    listed = _roles(request)
    for login, role in permissions.roles.items():
        if len(listed) >= MOST_LISTED:
            listed.pop(next(iter(listed)))
        listed[permissions.repository.lower(), login.lower()] = role


def _roles(request: Request) -> dict[tuple[str, str], Role | None]:
    state = request.app.state
    if not hasattr(state, "roles"):
        state.roles = {}
    roles: dict[tuple[str, str], Role | None] = state.roles
    return roles
