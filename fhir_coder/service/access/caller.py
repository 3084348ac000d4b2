"""The caller of a request: known by a key, a token or a certificate, or unknown where everybody may call."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from fhir_coder.attachments.fetch import ANYTHING
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

    def permit_reading(self, resource: str) -> None:
        """Raise `AccessError` unless the caller may read such a resource of the FHIR server themselves.

        It is read with the service's own credentials, which may do more than the caller's. `resource` is that of
        `attachments.fetch.Permit`: "*" where it cannot be told what a url gives.
        """
        need = Need(resource, "rs" if resource == ANYTHING else "r")
        if not self.scopes.grant(need):
            raise AccessError(
                f"this would be read of the FHIR server with the service's credentials; it needs the scope {need}; "
                "ask for it, or send the text in data",
                kind="forbidden",
            )


ANYBODY = Caller("", Scopes.parse([EVERYTHING]))
"""The caller where nobody is asked who they are."""


def caller_of(request: Request) -> Caller:
    """Return the caller of a request that the guard let through."""
    caller: Caller = request.scope["state"]["caller"]
    return caller
