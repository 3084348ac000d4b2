"""How HTTP is served: in clear text or with TLS, to whom, and what is said of that at the start."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from fhir_coder.errors import SettingsError
from fhir_coder.lookup.peers import is_loopback, require_known_peers
from fhir_coder.lookup.tls import server_context
from fhir_coder.service.access.admission import Admission
from fhir_coder.service.access.client_certificates import CertificateProtocol
from fhir_coder.settings import Settings


def http_config(app: FastAPI, settings: Settings, grace_seconds: int) -> uvicorn.Config:
    """Return the configuration of the HTTP server. Raises `SettingsError` when certificates cannot be used."""
    return uvicorn.Config(
        app,
        http=CertificateProtocol,
        # Requests are not logged: their URLs may hold text.
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=grace_seconds,
        ssl_context_factory=_tls(settings),
        # Who calls is never taken from a header.
        proxy_headers=False,
    )


def scheme(settings: Settings) -> str:
    """Return "https" or "http"."""
    return "https" if settings.http_tls_certificate else "http"


def require_admission(settings: Settings) -> list[str]:
    """Return what is to be said at the start of who may call.

    Raises `SettingsError` when others than this machine could call and nobody is asked, unless the settings say so.
    """
    admission = Admission.from_settings(settings)
    if settings.http_tls_certificate is None and (settings.http_tls_key or settings.http_tls_client_ca):
        raise SettingsError("setting http_tls_certificate: http_tls_key and http_tls_client_ca need it")
    said = []
    if not is_loopback(settings.host):
        if admission.is_open:
            said.append(f'HTTP: auth is "none": whoever reaches {settings.host} may send and read notes')
        if settings.http_tls_certificate is None:
            said.append(f"HTTP: notes cross the network in clear text on {settings.host}, unless a proxy speaks TLS")
    return [*said, *require_known_peers(settings, "mllp"), *require_known_peers(settings, "line")]


def _tls(settings: Settings) -> Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext] | None:
    if settings.http_tls_certificate is None:
        return None
    context = server_context(settings, "http")
    return lambda _config, _default: context
