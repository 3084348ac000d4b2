"""The public key by which authorization servers know this client, where they fetch it from.

Source: https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html (registering by a JWKS URL)
"""

from __future__ import annotations

import orjson
from fastapi import FastAPI
from fastapi.responses import Response

from fhir_coder.credentials.smart_key import load_key
from fhir_coder.settings import Settings

JWKS_PATH = "/.well-known/jwks.json"


def add_jwks(app: FastAPI, settings: Settings) -> None:
    """Add the route, where there is a key. Raises `SettingsError` when the key cannot be used."""
    if settings.smart_key is None:
        return
    content = orjson.dumps(load_key(settings.smart_key).jwks)

    @app.get(JWKS_PATH)
    async def jwks() -> Response:
        return Response(content, media_type="application/json", headers={"Cache-Control": "max-age=300"})
