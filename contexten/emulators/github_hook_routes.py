"""Hooks and their deliveries, of repositories and of the App."""

import json
import re
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from contexten.emulators.github_hooks import GitHubHook, GitHubHooks, HookDelivery
from contexten.emulators.github_problems import GitHubProblem, invalid_field
from contexten.emulators.github_requests import api_url, page_of, read_number, read_object
from contexten.emulators.shapes import Json, timestamp

MAX_URL = 2048
MAX_EVENTS = 200
CURSOR = re.compile(r"v1_([0-9]{1,18})")
ID = re.compile(r"[0-9]{1,18}")
HIDDEN = "********"

router = APIRouter()
hook_router = APIRouter()
app_router = APIRouter()
deliveries_router = APIRouter(prefix="/deliveries")


def hooks_of(request: Request) -> GitHubHooks:
    """Give the hooks of the application that serves this request."""
    hooks = request.app.state.hooks
    assert isinstance(hooks, GitHubHooks)
    return hooks


HooksOf = Annotated[GitHubHooks, Depends(hooks_of)]


def hook_of(request: Request, hooks: HooksOf) -> GitHubHook:
    """Find the hook that the path is about: a repository's, or the App's.

    Raises:
        GitHubProblem: 404: there is none of that id.
    """
    path = request.path_params
    if "hook_id" not in path:
        found = [hooks.app_hook] if hooks.app_hook else []
    else:
        found = [hook for hook in hooks.hooks_of(f"{path['owner']}/{path['repo']}") if str(hook.id) == path["hook_id"]]
    if not found:
        raise GitHubProblem(404, "Not Found")
    return found[0]


HookOf = Annotated[GitHubHook, Depends(hook_of)]


@router.get("")
async def list_hooks(owner: str, repo: str, request: Request, response: Response, hooks: HooksOf) -> list[Json]:
    """List a repository's hooks."""
    page = page_of(hooks.hooks_of(f"{owner}/{repo}"), request, response)
    return [_hook(hook, hooks, api=api_url(request)) for hook in page]


@router.post("", status_code=201)
async def create_hook(owner: str, repo: str, request: Request, hooks: HooksOf) -> Json:
    """Create a hook of a repository."""
    body = read_object(await request.body())
    config = body.get("config")
    if not isinstance(config, dict):
        raise GitHubProblem(422, 'Invalid request.\n\n"config" wasn\'t supplied.')
    url, secret, events = config.get("url"), config.get("secret"), body.get("events", ["push"])
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or len(url) > MAX_URL:
        raise invalid_field("url", "url must use http(s) scheme", resource="Hook")
    if secret is not None and not isinstance(secret, str):
        raise invalid_field("secret", "secret is not a string", resource="Hook")
    if not isinstance(events, list) or not 0 < len(events) <= MAX_EVENTS or not all(isinstance(e, str) for e in events):
        raise invalid_field("events", "events must be a list of names", resource="Hook")
    full_name = f"{owner}/{repo}"
    if any(hook.url == url for hook in hooks.hooks_of(full_name)):
        raise GitHubProblem(
            422,
            "Validation Failed",
            errors=[{"resource": "Hook", "code": "custom", "message": "Hook already exists on this repository"}],
        )
    hook = hooks.add_hook(full_name, url=url, secret=secret, events=events, active=body.get("active") is not False)
    return _hook(hook, hooks, api=api_url(request))


@hook_router.get("")
async def get_hook(hook: HookOf, request: Request, hooks: HooksOf) -> Json:
    """Show a repository's hook."""
    return _hook(hook, hooks, api=api_url(request))


@app_router.get("/config")
async def get_app_config(hook: HookOf) -> Json:
    """Show where the App's deliveries go."""
    return _config(hook)


@deliveries_router.get("")
async def list_deliveries(hook: HookOf, request: Request, response: Response, hooks: HooksOf) -> list[Json]:
    """List a hook's deliveries, newest first."""
    return _page(hook, request, response, hooks)


@deliveries_router.get("/{delivery_id}")
async def get_delivery(hook: HookOf, delivery_id: str, hooks: HooksOf) -> Json:
    """Show a delivery, with what was sent and answered."""
    return _full(_find(hook, delivery_id, hooks))


@deliveries_router.post("/{delivery_id}/attempts", status_code=202)
async def redeliver(hook: HookOf, delivery_id: str, hooks: HooksOf) -> Json:
    """Send a delivery again, soon."""
    hooks.redeliver(_find(hook, delivery_id, hooks))
    return {}


def _find(hook: GitHubHook, delivery_id: str, hooks: GitHubHooks) -> HookDelivery:
    if ID.fullmatch(delivery_id):
        for delivery in hooks.deliveries_of(hook.id):
            if delivery.id == int(delivery_id):
                return delivery
    raise GitHubProblem(404, "Not Found")


def _page(hook: GitHubHook, request: Request, response: Response, hooks: GitHubHooks) -> list[Json]:
    """Cut one page out; a cursor names the delivery that the page begins with, so new ones do not shift it."""
    query = request.query_params
    cursor, status = query.get("cursor"), query.get("status")
    if status not in {None, "success", "failure"}:
        raise GitHubProblem(422, f"Invalid status: {status}")
    position = CURSOR.fullmatch(cursor) if cursor else None
    if cursor and position is None:
        raise GitHubProblem(422, "Invalid cursor")
    per_page = read_number(request, "per_page", default=30, largest=100)
    found = hooks.deliveries_of(hook.id, status=status)
    if position:
        found = [delivery for delivery in found if delivery.id <= int(position[1])]
    page, left = found[:per_page], found[per_page:]
    if left:
        more = {**query, "per_page": per_page, "cursor": f"v1_{left[0].id}"}
        response.headers["Link"] = f'<{api_url(request)}{request.url.path}?{urlencode(more)}>; rel="next"'
    return [_item(delivery) for delivery in page]


def _item(delivery: HookDelivery) -> Json:
    return {
        "id": delivery.id,
        "guid": delivery.guid,
        "delivered_at": timestamp(delivery.delivered_at),
        "redelivery": delivery.redelivery,
        "duration": delivery.duration,
        "status": delivery.status,
        "status_code": delivery.status_code,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": delivery.installation_id,
        "repository_id": delivery.repository_id,
        "throttled_at": None,
    }


def _full(delivery: HookDelivery) -> Json:
    payload: Any = json.loads(delivery.body)
    return {
        **_item(delivery),
        "url": delivery.url,
        "request": {"headers": dict(delivery.request_headers), "payload": payload},
        "response": {"headers": dict(delivery.response_headers or {}), "payload": delivery.response},
    }


def _config(hook: GitHubHook) -> Json:
    config = {"content_type": "json", "insecure_ssl": "0", "url": hook.url}
    return config | ({"secret": HIDDEN} if hook.secret else {})


def _hook(hook: GitHubHook, hooks: GitHubHooks, *, api: str) -> Json:
    url = f"{api}/repos/{hook.repository}/hooks/{hook.id}"
    last = next(iter(hooks.deliveries_of(hook.id)), None)
    moment = timestamp(hook.created_at)
    return {
        "type": "Repository",
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": list(hook.events),
        "config": _config(hook),
        "updated_at": moment,
        "created_at": moment,
        "url": url,
        "test_url": f"{url}/test",
        "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries",
        "last_response": {
            "code": last.status_code if last else None,
            "status": ("active" if last.status == "OK" else "misconfigured") if last else "unused",
            "message": last.status if last else None,
        },
    }


hook_router.include_router(deliveries_router)
router.include_router(hook_router, prefix="/{hook_id}")
app_router.include_router(deliveries_router)
