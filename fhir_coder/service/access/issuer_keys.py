"""The public keys of the issuer of tokens: fetched, kept for an hour, and fetched again for a key that is not known.

Source: https://openid.net/specs/openid-connect-discovery-1_0.html, RFC 7517 (JSON Web Key)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhir_coder.errors import SettingsError

_log = logging.getLogger(__name__)

PublicKey = RSAKey | ECKey

_FRESH = 3_600.0  # seconds until the keys are asked for again
_USABLE = 86_400.0  # seconds for which they go on to be used while the issuer does not answer
_PAUSE = 30.0  # least seconds between two fetches: tokens with made-up key ids must not become requests to the issuer
_TIMEOUT = 5.0  # seconds
_LARGEST = 1_000_000  # bytes of an answer
_MOST_KEYS = 100
_SHORTEST_RSA = 2048  # bits
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class IssuerUnavailableError(Exception):
    """The issuer's keys are not known and cannot be fetched."""


class IssuerKeys:
    """The keys of one issuer, by their ids. May be used by several threads."""

    def __init__(self, issuer: str, jwks_url: str | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`jwks_url` None: found by the issuer's discovery document. `clock` gives seconds.

        Raises `SettingsError` when a URL is not https; http is for this machine alone.
        """
        _require_https("oidc_issuer", issuer)
        if jwks_url is not None:
            _require_https("oidc_jwks_url", jwks_url)
        self._issuer = issuer
        self._url = jwks_url
        self._clock = clock
        self._lock = Lock()
        self._keys: Mapping[str, PublicKey] = {}
        self._fetched: float | None = None
        self._tried: float | None = None

    def find(self, kid: str) -> PublicKey | None:
        """Return the key of that id, or None when the issuer has none. Raises `IssuerUnavailableError`."""
        with self._lock:
            if (self._age() > _FRESH or kid not in self._keys) and self._may_fetch():
                self._fetch()
            if self._age() > _USABLE:
                raise IssuerUnavailableError
            return self._keys.get(kid)

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self._clock() - self._fetched

    def _may_fetch(self) -> bool:
        return self._tried is None or self._clock() - self._tried >= _PAUSE

    def _fetch(self) -> None:
        self._tried = self._clock()
        try:
            with httpx2.Client(timeout=_TIMEOUT, trust_env=False, follow_redirects=False) as client:
                keys = _public_keys(_get(client, self._url or self._discovered(client)))
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TypeError, KeyError) as error:
            _log.warning("the token issuer's keys cannot be fetched: %s", type(error).__name__)
            return
        self._keys, self._fetched = keys, self._clock()

    def _discovered(self, client: httpx2.Client) -> str:
        document = _get(client, f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if document["issuer"] != self._issuer:
            raise ValueError("the discovery document is another issuer's")
        url = str(document["jwks_uri"])
        if not is_https(url):
            raise ValueError("jwks_uri is not https")
        return url


def is_https(url: str) -> bool:
    """Return whether a URL is https, or http to this machine."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )


def _require_https(name: str, url: str) -> None:
    if not is_https(url):
        raise SettingsError(f"setting {name}: this is no https URL; http is for this machine alone")


def _get(client: httpx2.Client, url: str) -> dict[str, Any]:
    body = bytearray()
    with client.stream("GET", url, headers={"Accept": "application/json"}) as response:
        if response.status_code != 200:
            raise ValueError(f"status {response.status_code}")
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _LARGEST:
                raise ValueError("the answer is too long")
    document = orjson.loads(bytes(body))
    if not isinstance(document, dict):
        raise ValueError("the answer is no JSON object")
    return document


def _public_keys(jwks: Mapping[str, Any]) -> dict[str, PublicKey]:
    """The keys that may verify signatures. Symmetric keys and those for encryption are never among them."""
    found: dict[str, PublicKey] = {}
    for data in jwks["keys"][:_MOST_KEYS]:
        kid = data.get("kid")
        if (
            not isinstance(kid, str)
            or data.get("use", "sig") != "sig"
            or "verify" not in data.get("key_ops", ["verify"])
        ):
            continue
        try:
            key = _imported(data)
        except (JoseError, ValueError, TypeError, KeyError):
            continue  # a key that is of no use to us does not make the others so
        if key is not None:
            found.setdefault(kid, key)
    return found


def _imported(data: dict[str, Any]) -> PublicKey | None:
    if data.get("kty") == "RSA":
        rsa = RSAKey.import_key(data)
        return rsa if rsa.public_key.key_size >= _SHORTEST_RSA else None
    if data.get("kty") == "EC":
        return ECKey.import_key(data)
    return None
