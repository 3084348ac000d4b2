"""READ FIRST in this folder. The credentials for the FHIR server of the settings, for all that speaks with it.

    settings -> ServerAccess: what signs requests (bearer, basic, SMART Backend Services; or nothing), and the TLS

A token is added to requests to the origin of the setting server alone. Origins are compared and not the beginnings of
strings: https://fhir.example.org.evil.example begins well too.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx2

from fhir_coder.credentials.origin import origin_of, sent_to
from fhir_coder.credentials.smart_key import load_key
from fhir_coder.credentials.smart_token import SmartTokens
from fhir_coder.errors import SettingsError, TransientDeliveryError
from fhir_coder.settings import Settings

_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAccess:
    """What a client of the FHIR server is given."""

    auth: httpx2.Auth | None
    verify: ssl.SSLContext | bool  # True: the authorities that the system trusts


def server_access(settings: Settings) -> ServerAccess:
    """Return the credentials; those of the same settings share one token. Secrets are not in its representation.

    Raises `SettingsError` when what the setting server_auth needs is missing, or a file of it cannot be used.
    """
    secrets = (settings.server_token, settings.server_password)
    token, password = (secret.get_secret_value() if secret else "" for secret in secrets)
    return _access(
        str(settings.server or ""),
        settings.server_auth,
        token,
        settings.server_token_file,
        settings.server_username or "",
        password,
        settings.smart_client_id or "",
        settings.smart_key,
        settings.smart_scope,
        str(settings.smart_token_url) if settings.smart_token_url else None,
        (settings.server_tls_ca, settings.server_tls_certificate, settings.server_tls_key),
        settings.delivery_timeout,
    )


@cache
def _access(
    server: str,
    kind: str,
    token: str,
    token_file: Path | None,
    username: str,
    password: str,
    client_id: str,
    key: Path | None,
    scope: str,
    token_url: str | None,
    tls: tuple[Path | None, Path | None, Path | None],
    timeout: float,
) -> ServerAccess:
    verify = _tls(*tls)
    if kind == "none" or not server:
        return ServerAccess(auth=None, verify=verify)
    _require_secret_channel(server)
    own = origin_of(httpx2.URL(server))
    if kind == "bearer":
        return ServerAccess(auth=OwnServerAuth(own, _bearer(token, token_file)), verify=verify)
    if kind == "basic":
        if not username or not password:
            raise SettingsError("setting server_auth: basic needs server_username and server_password")
        header = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
        return ServerAccess(auth=OwnServerAuth(own, lambda _: header), verify=verify)
    if not client_id or key is None:
        raise SettingsError("setting server_auth: smart needs smart_client_id and smart_key")
    tokens = SmartTokens(
        server=server,
        client_id=client_id,
        key=load_key(key),
        scope=scope,
        token_url=token_url,
        verify=verify,
        timeout=timeout,
    )
    return ServerAccess(auth=OwnServerAuth(own, tokens.header, renews=True), verify=verify)


class OwnServerAuth(httpx2.Auth):
    """Adds the Authorization header to requests to one origin. Safe to be used by several threads and clients."""

    def __init__(self, own: tuple[str, str, int], header: Callable[[str | None], str], *, renews: bool = False) -> None:
        """`header` returns the header's value, another one than that which was refused (None: none was).

        With `renews` a request that is answered 401 is sent once more, with the next value.
        """
        self._own = own
        self._header = header
        self._renews = renews

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Yield the request, signed where it goes to the server. Raises what `header` raises."""
        if sent_to(request) != self._own:
            yield request
            return
        value = self._header(None)
        request.headers["Authorization"] = value
        response = yield request
        if response.status_code == _UNAUTHORIZED and self._renews:
            request.headers["Authorization"] = self._header(value)
            yield request


def _bearer(token: str, file: Path | None) -> Callable[[str | None], str]:
    if token and file:
        raise SettingsError("setting server_token: give it or server_token_file, not both")
    if file is not None:
        _read_token(file)  # a file that is missing stops the program, not the first delivery
        return lambda _: _from_file(file)
    if not token:
        raise SettingsError("setting server_auth: bearer needs server_token or server_token_file")
    value = f"Bearer {_checked(token, 'server_token')}"
    return lambda _: value


def _from_file(file: Path) -> str:
    """Return the header's value, read anew: others put new tokens into the file, and it may be away meanwhile."""
    try:
        return f"Bearer {_read_token(file)}"
    except SettingsError as error:
        raise TransientDeliveryError(str(error)) from error


def _read_token(file: Path) -> str:
    try:
        return _checked(file.read_text(encoding="utf-8").strip(), "server_token_file")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"setting server_token_file: {file} cannot be read ({type(error).__name__})") from error


def _checked(token: str, setting: str) -> str:
    """Return the token. A line end in it would be the end of the header, and the beginning of another one."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(f"setting {setting}: this is no token; it has no spaces, and only ASCII characters")
    return token


def _require_secret_channel(server: str) -> None:
    url = httpx2.URL(server)
    if url.scheme != "https" and url.host not in ("localhost", "127.0.0.1", "::1"):
        raise SettingsError(
            "setting server: credentials are sent over https only (http is for this machine alone); "
            "give an https address, or set server_auth to none"
        )


def _tls(authority: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | bool:
    if authority is None and certificate is None and key is None:
        return True
    if (certificate is None) != (key is None):
        raise SettingsError("setting server_tls_certificate: give it with server_tls_key")
    try:
        context = ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"setting server_tls_ca: {authority} cannot be used ({type(error).__name__})") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"setting server_tls_certificate: {certificate} and its key cannot be used ({type(error).__name__})"
            ) from error
    return context
