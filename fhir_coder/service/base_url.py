"""The address under which callers reach the service."""

from __future__ import annotations

from starlette.requests import Request

from fhir_coder.settings import Settings


def base_url(request: Request, settings: Settings) -> str:
    """Return the setting `base_url`, or else what the caller connected to; without a slash at its end."""
    return str(settings.base_url or request.base_url).rstrip("/")
