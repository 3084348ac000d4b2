"""The guard before all routes: nothing is read of a request, and no route chosen, before it is known who calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_coder.errors import AccessError
from fhir_coder.service.access.admission import Admission
from fhir_coder.service.access.needs import OPEN, is_notification, need_of

Refuse = Callable[[AccessError], Response]


class Guard:
    """Lets a request through when its caller is known and may call the route."""

    def __init__(self, app: ASGIApp, admission: Admission, refuse: Refuse) -> None:
        """`refuse` makes the answer to who is not let through."""
        self._app = app
        self._admission = admission
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or whatever else the server says."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not self._is_open(scope["path"]):
            request = Request(scope)
            try:
                caller = await self._admission.caller(request)
                for route in _routes(scope):
                    known, need = need_of(route)
                    if not known and not self._admission.is_open:
                        raise AccessError("this route is not open to callers", kind="forbidden")
                    if need is not None:
                        caller.require(need)
            except AccessError as error:
                await self._refuse(error)(scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in OPEN or (self._admission.notifications_bear_a_secret and is_notification(path))


def _routes(scope: Scope) -> set[str]:
    """The declared paths of the routes that a request may reach; none, for what will be a 404."""
    found = set()
    for route in scope["app"].routes:
        match, _ = route.matches(scope)
        if match is not Match.NONE:
            found.add(_path(route))
    return found


def _path(route: Any) -> str:
    """A route that says no path (a mount, a router) is known to nobody."""
    return str(getattr(route, "path", ""))
