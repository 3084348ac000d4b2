"""Access tokens of SMART Backend Services: asked for with a signed assertion, kept, and renewed before they expire.

Source: https://hl7.org/fhir/smart-app-launch/backend-services.html and client-confidential-asymmetric.html;
RFC 6749 (sections 4.4, 5.2), RFC 7523.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from uuid import uuid4

import httpx2
import orjson
from joserfc import jwt

from fhir_coder.credentials.origin import origin_of
from fhir_coder.credentials.smart_key import SmartKey
from fhir_coder.errors import TransientDeliveryError

_log = logging.getLogger(__name__)

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DISCOVERY = ".well-known/smart-configuration"
_ASSERTION_SECONDS = 240  # at most 300 are allowed; clocks differ
_UNSTATED_SECONDS = 60  # life of a token that says nothing of it
_EARLIEST = 60.0  # seconds before its end that a token is renewed, or a fifth of its life where that is less
_PAUSE = 5.0  # least seconds between two requests for a token after one has failed
_LARGEST = 100_000  # bytes of an answer
_ERROR_CODE = re.compile(r"[a-z_]{1,40}")
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, section 2.1


@dataclass(frozen=True, slots=True)
class _Token:
    header: str = field(repr=False)
    renewed_at: float
    ends_at: float


class SmartTokens:
    """The tokens of one client. Its methods may be called from several threads; one of them renews, the others wait."""

    def __init__(
        self,
        *,
        server: str,
        client_id: str,
        key: SmartKey,
        scope: str,
        token_url: str | None = None,
        verify: ssl.SSLContext | bool = True,
        timeout: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`token_url` None: found by the server's discovery document. `clock` gives seconds."""
        self._server = server.rstrip("/")
        self._client_id = client_id
        self._key = key
        self._scope = scope
        self._token_url = token_url
        self._options: dict[str, Any] = {"verify": verify, "timeout": timeout}
        self._clock = clock
        self._lock = Lock()
        self._token: _Token | None = None
        self._failed: tuple[float, str] | None = None  # when the last request for a token failed, and why

    def header(self, refused: str | None = None) -> str:
        """Return the value of the Authorization header: another one than that which the server refused.

        Raises `TransientDeliveryError` when there is no token to be had: whatever the reason, no note is at fault.
        """
        with self._lock:
            token, now = self._token, self._clock()
            if token is not None and token.header != refused and now < token.renewed_at:
                return token.header
            if token is not None and token.header == refused:
                token = None
            try:
                self._token = self._renewed(now)
            except TransientDeliveryError:
                if token is None or now >= token.ends_at:
                    self._token = None
                    raise
                return token.header  # it is good for a while yet
            return self._token.header

    def _renewed(self, now: float) -> _Token:
        if self._failed is not None and now - self._failed[0] < _PAUSE:
            raise TransientDeliveryError(self._failed[1])
        try:
            token = self._ask(now)
        except TransientDeliveryError as error:
            self._failed = (now, str(error))
            _log.warning("no access token: %s", error)
            raise
        self._failed = None
        return token

    def _ask(self, now: float) -> _Token:
        try:
            with httpx2.Client(trust_env=False, follow_redirects=False, **self._options) as client:
                url = self._token_url or self._discovered(client)
                form = {
                    "grant_type": "client_credentials",
                    "scope": self._scope,
                    "client_assertion_type": _ASSERTION_TYPE,
                    "client_assertion": self._assertion(url),
                }
                status, answer = _json(client, "POST", url, data=form)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise TransientDeliveryError(
                f"the authorization server cannot be reached ({type(error).__name__})"
            ) from error
        if status != 200:
            code = str(answer.get("error", ""))
            said = f" ({code})" if _ERROR_CODE.fullmatch(code) else ""
            raise TransientDeliveryError(
                f"the authorization server answered {status}{said}; check smart_client_id, smart_scope, and that the "
                "public key ('fhir-coder keys smart') is registered there"
            )
        return self._read(answer, now)

    def _read(self, answer: Mapping[str, Any], now: float) -> _Token:
        value, kind, life = (answer.get(name) for name in ("access_token", "token_type", "expires_in"))
        if not isinstance(value, str) or not _TOKEN.fullmatch(value) or str(kind).lower() != "bearer":
            raise TransientDeliveryError("the authorization server answered without a bearer token")
        seconds = float(life) if isinstance(life, int | float) and not isinstance(life, bool) else _UNSTATED_SECONDS
        granted = answer.get("scope")
        if isinstance(granted, str) and not set(self._scope.split()) <= set(granted.split()):
            _log.warning("the authorization server granted other scopes than the setting smart_scope asks for")
        return _Token(f"Bearer {value}", now + seconds - min(_EARLIEST, seconds / 5), now + seconds)

    def _assertion(self, audience: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": audience,
            "jti": uuid4().hex,
            "iat": now,
            "exp": now + _ASSERTION_SECONDS,
        }
        header = {"alg": self._key.algorithm, "kid": self._key.id, "typ": "JWT"}
        return jwt.encode(header, claims, self._key.private, algorithms=[self._key.algorithm])

    def _discovered(self, client: httpx2.Client) -> str:
        status, document = _json(client, "GET", f"{self._server}/{_DISCOVERY}")
        url = document.get("token_endpoint")
        if status != 200 or not isinstance(url, str):
            raise TransientDeliveryError(
                f"the FHIR server does not say where tokens are to be had ({_DISCOVERY}); set smart_token_url"
            )
        # Over http only to the very server that the setting names: that may be one on this machine.
        target = httpx2.URL(url)
        if target.scheme != "https" and origin_of(target) != origin_of(httpx2.URL(self._server)):
            raise TransientDeliveryError("the FHIR server names a token endpoint that is not https; it is not asked")
        return url


def _json(client: httpx2.Client, method: str, url: str, data: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Return the status and the JSON object of an answer; an empty one where it is something else."""
    body = bytearray()
    with client.stream(method, url, data=data, headers={"Accept": "application/json"}) as response:
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _LARGEST:
                return response.status_code, {}
    try:
        document = orjson.loads(bytes(body))
    except orjson.JSONDecodeError:
        return response.status_code, {}
    return response.status_code, document if isinstance(document, dict) else {}
