"""The ports that the service listens on, and its certificates."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509

from fhir_coder.doctor.finding import Finding, failure, ok, warning
from fhir_coder.errors import SettingsError
from fhir_coder.lookup.peers import is_loopback
from fhir_coder.lookup.protocol import PORTS
from fhir_coder.lookup.tls import server_context
from fhir_coder.service.http_server import require_admission
from fhir_coder.settings import Settings

_SOON = timedelta(days=30)


def ports(settings: Settings) -> Iterator[Finding]:
    """Try whether each port can be listened on."""
    taken = []
    wanted = [(name, host, port) for name, host, port in _wanted(settings) if port]
    for name, host, port in wanted:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            socket.create_server((host, port), family=family).close()
        except OSError as error:
            taken.append(port)
            if error.errno == errno.EADDRINUSE:
                advice = "if this is the running service, all is well; else stop what has it, or set another port"
                yield warning(name, f"{host}:{port} is in use", advice)
            else:
                yield failure(name, f"{host}:{port}: {error.strerror}", "set another address or port")
    free = [f"{port} ({name})" for name, _, port in wanted if port not in taken]
    if free:
        yield ok("ports", f"free: {', '.join(free)}")


def _wanted(settings: Settings) -> Iterator[tuple[str, str, int]]:
    yield "HTTP", settings.host, settings.port
    if settings.mllp in ("tcp", "both"):
        yield "MLLP", settings.host, settings.mllp_port
    if settings.mllp in ("tls", "both"):
        yield "MLLP with TLS", settings.host, settings.mllp_tls_port
    for protocols, first in ((("tcp", "both"), settings.line_port), (("tls", "both"), settings.line_tls_port)):
        if settings.line_protocol in protocols and first:
            yield from (("line protocol", settings.line_host, first + offset) for offset in range(len(PORTS)))


def certificates(settings: Settings) -> Iterator[Finding]:
    """Look at whether the certificates can be used, and for how long."""
    if settings.http_tls_certificate is not None:
        yield from _served("HTTP certificate", settings, "http")
    if settings.mllp in ("tls", "both"):
        yield from _served("MLLP certificate", settings, "mllp")
    if settings.line_protocol in ("tls", "both"):
        yield from _served("line protocol certificate", settings, "line")
    for name in (each for each in type(settings).model_fields if each.endswith(("_tls_certificate", "_client_ca"))):
        path: Path | None = getattr(settings, name)
        if path is not None:
            yield _validity(name, path)


def callers(settings: Settings) -> Iterator[Finding]:
    """Look at who may call the service, as its start does."""
    try:
        said = require_admission(settings)
    except SettingsError as error:
        yield failure("callers", str(error), "")
        return
    for each in said:
        yield warning("callers", each, "make sure that this is meant")
    if not said:
        yield ok("callers", "this machine alone" if is_loopback(settings.host) else "asked who they are, over TLS")


def _served(subject: str, settings: Settings, listener: Literal["http", "mllp", "line"]) -> Iterator[Finding]:
    try:
        server_context(settings, listener)
    except SettingsError as error:
        yield failure(subject, str(error), "")
    else:
        yield ok(subject, "has its key")


def _validity(name: str, path: Path) -> Finding:
    try:
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        return failure(name, f"{path} cannot be read: {error.strerror}", "name the file, or make it readable")
    except ValueError:
        return failure(name, f"{path} holds no certificate (PEM)", "name a certificate")
    now = datetime.now(UTC)
    begins, ends = max(each.not_valid_before_utc for each in chain), min(each.not_valid_after_utc for each in chain)
    if begins > now:
        return failure(name, f"{path} is not valid before {begins:%Y-%m-%d %H:%M} UTC", "check the clock")
    if ends < now:
        return failure(name, f"{path} expired on {ends:%Y-%m-%d}", "renew it")
    if ends - now < _SOON:
        return warning(name, f"{path} expires on {ends:%Y-%m-%d}", "renew it")
    return ok(name, f"{path}, until {ends:%Y-%m-%d}")
