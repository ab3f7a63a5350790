"""The short way to routes that are asked for most: FastAPI looks at a hundred others first, and at each one twice."""

from fastapi import APIRouter
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send


class Shortcut(BaseRoute):
    """As the first of an application's routes, leads straight to those of a router whose path is fixed.

    The router stays among the others, for other methods and for the description of the API.

    Attributes:
        original_router: the router.
    """

    def __init__(self, router: APIRouter) -> None:
        self.original_router = router
        self._routes = {
            (method, route.path): route
            for route in router.routes
            if isinstance(route, Route) and not route.param_convertors
            for method in route.methods or ()
        }

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope.get("root_path"):
            return Match.NONE, {}
        route = self._routes.get((scope["method"], scope["path"]))
        return (Match.NONE, {}) if route is None else route.matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._routes[scope["method"], scope["path"]].handle(scope, receive, send)
