"""An issuer of tokens over a real connection, and keys that only it has."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from pytest_httpserver import HTTPServer
from werkzeug import Response

AUDIENCE = "https://coder.example.org/fhir"


@dataclass
class Issuer:
    """Signs tokens, and publishes its public keys."""

    url: str
    rsa: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}))
    ec: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "ec"}))
    ec384: ECKey = field(default_factory=lambda: ECKey.generate_key("P-384", {"kid": "ec384"}))
    fetched: int = 0

    def keys(self) -> dict[str, Any]:
        """The key set as it is published."""
        return dict(KeySet([self.rsa, self.ec, self.ec384]).as_dict())

    def claims(self, **changed: Any) -> dict[str, Any]:
        """The claims of a good token, but for `changed`; None leaves a claim out."""
        now = int(time.time())
        good = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "engine",
            "client_id": "engine",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "scope": "system/DocumentReference.cruds",
        }
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def token(self, key: Any = None, header: dict[str, Any] | None = None, **changed: Any) -> str:
        """A signed token, good but for what is given."""
        key = key or self.rsa
        algorithm = {"RSA": "RS256"}.get(key.key_type) or {"P-256": "ES256", "P-384": "ES384"}[key["crv"]]
        given = {"alg": algorithm, "kid": key.kid, "typ": "at+jwt", **(header or {})}
        algorithms = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"]
        return jwt.encode(given, self.claims(**changed), key, algorithms=algorithms)


@pytest.fixture(scope="session")
def signing_keys() -> dict[str, Any]:
    """Keys that take long to make."""
    return {
        "rsa": RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
        "stranger": RSAKey.generate_key(2048, {"kid": "rsa"}),
    }


@pytest.fixture
def issuer(httpserver: HTTPServer, signing_keys: dict[str, Any]) -> Issuer:
    """An issuer that publishes where its keys are."""
    made = Issuer(httpserver.url_for("").rstrip("/"), rsa=signing_keys["rsa"])

    def keys(_: Any) -> Response:
        import json

        made.fetched += 1
        return Response(json.dumps(made.keys()), content_type="application/json")

    document = {"issuer": made.url, "jwks_uri": f"{made.url}/keys"}
    httpserver.expect_request("/.well-known/openid-configuration").respond_with_json(document)
    httpserver.expect_request("/keys").respond_with_handler(keys)
    return made
