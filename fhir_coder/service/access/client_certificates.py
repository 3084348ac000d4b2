"""Client certificates: the name that a verified certificate gives its holder, handed on with each request.

Source: https://asgi.readthedocs.io/en/latest/specs/main.html#connection-scope (state)
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

STATE = "client_names"  # in the state of a request: the names of the certificate's holder, the most common one first

_KINDS = ("DNS", "URI", "email", "IP Address")


class CertificateProtocol(H11Protocol):
    """HTTP/1.1 that puts the names of the client's certificate, which TLS has verified, into each request's state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Look at the certificate once per connection."""
        super().connection_made(transport)
        session = transport.get_extra_info("ssl_object")
        certificate = session.getpeercert() if session is not None else None
        self.app_state = {**self.app_state, STATE: names(certificate or {})}


def names(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a certificate's holder (`ssl.SSLSocket.getpeercert`): alternative names, then common name."""
    alternative = [str(value) for kind, value in certificate.get("subjectAltName", ()) if kind in _KINDS]
    common = [str(value) for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"]
    return tuple(dict.fromkeys((*common, *alternative)))
