"""The caller of a request: known by a key, a token or a certificate, or unknown where everybody may call."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from fhir_coder.errors import AccessError
from fhir_coder.service.access.scopes import EVERYTHING, Need, Scopes


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what they may do. `name` tells callers apart and is never shown to others."""

    name: str
    scopes: Scopes

    def require(self, need: Need) -> None:
        """Raise `AccessError` when the caller may not do that."""
        if not self.scopes.grant(need):
            raise AccessError(f"this needs the scope {need}; ask for it", kind="forbidden")


ANYBODY = Caller("", Scopes.parse([EVERYTHING]))
"""The caller where nobody is asked who they are."""


def caller_of(request: Request) -> Caller:
    """Return the caller of a request that the guard let through."""
    caller: Caller = request.scope["state"]["caller"]
    return caller
