"""The TLS side of what listens: the line protocol, MLLP and HTTP."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Literal

from fhir_coder.errors import SettingsError
from fhir_coder.settings import Settings

_PARTS = ("certificate", "key", "client_ca")


def server_context(settings: Settings, listener: Literal["line", "mllp", "http"] = "line") -> ssl.SSLContext:
    """Return what TLS connections are made with: TLS 1.2 or newer; with a client CA, clients must have certificates.

    The settings are those that begin with the listener's name: `line_tls_certificate`, `mllp_tls_certificate`...

    Raises `SettingsError` when a file is missing or cannot be used.
    """
    prefix = f"{listener}_tls"
    certificate, key, authority = _files(settings, prefix)
    if certificate is None or key is None:
        raise SettingsError(
            f"setting {prefix}_certificate: TLS needs a certificate and, in {prefix}_key, its key; "
            "'fhir-coder certificates DIR' makes some for development"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _require(f"{prefix}_certificate", certificate)
    _require(f"{prefix}_key", key)
    try:
        # An encrypted key would ask at the terminal; a service has none.
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"setting {prefix}_certificate: {certificate} and {key} are no certificate with its key, in PEM, "
            f"unencrypted ({_reason(error)})"
        ) from error
    if authority is not None:
        _trust(context, f"{prefix}_client_ca", authority)
    return context


def _files(settings: Settings, prefix: str) -> tuple[Path | None, Path | None, Path | None]:
    """The certificate, its key, and the authority of clients."""
    values: dict[str, Path | None] = {part: getattr(settings, f"{prefix}_{part}") for part in _PARTS}
    certificate, key, authority = (values[part] for part in _PARTS)
    return certificate, key, authority


def _trust(context: ssl.SSLContext, name: str, authority: Path) -> None:
    _require(name, authority)
    try:
        context.load_verify_locations(authority)
    except (OSError, ValueError) as error:
        raise SettingsError(f"setting {name}: {authority} holds no certificates in PEM ({_reason(error)})") from error
    context.verify_mode = ssl.CERT_REQUIRED


def _require(name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise SettingsError(f"setting {name}: {path} cannot be read: {error.strerror}") from error


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, ssl.SSLError) and error.reason else str(error)
