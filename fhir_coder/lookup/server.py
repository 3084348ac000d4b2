"""The ports of the line protocol, one per code system, in clear text, with TLS or both."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fhir_coder.errors import SettingsError
from fhir_coder.lookup.batcher import Batcher, Worker
from fhir_coder.lookup.connection import House, Limits, LineConnection
from fhir_coder.lookup.metrics import LineMetrics
from fhir_coder.lookup.protocol import PORTS
from fhir_coder.lookup.tls import server_context
from fhir_coder.settings import Settings

GRACE_SECONDS = 10
"""How long a stop waits for the answers to what was received."""

_HANDSHAKE_SECONDS = 10
_BACKLOG = 512


@dataclass(frozen=True, slots=True)
class Address:
    """Where a code system is asked."""

    system: str
    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.system}={'tls' if self.tls else 'tcp'}://{host}:{self.port}"


class LineServer:
    """Listens on the ports that the settings name."""

    def __init__(self, settings: Settings, workers: Sequence[Worker], metrics: LineMetrics) -> None:
        """To be made in the event loop. Raises `SettingsError` when the certificates cannot be used."""
        self._settings = settings
        self._tls = server_context(settings) if settings.line_protocol in ("tls", "both") else None
        self._batcher = Batcher(workers, settings.line_queue, metrics)
        self._house = House(
            batcher=self._batcher,
            limits=Limits(line_bytes=settings.line_max_bytes, seconds=settings.line_timeout),
            most=settings.line_connections,
            metrics=metrics,
            peers=settings.line_peers,
        )
        self._servers: list[asyncio.Server] = []

    async def start(self) -> list[Address]:
        """Listen, and return where. Raises `SettingsError` when a port is taken."""
        kinds: list[tuple[str, int, ssl.SSLContext | None]] = []
        if self._settings.line_protocol in ("tcp", "both"):
            kinds.append(("line_port", self._settings.line_port, None))
        if self._tls is not None:
            kinds.append(("line_tls_port", self._settings.line_tls_port, self._tls))
        try:
            return [
                await self._listen(system, setting, first + offset if first else 0, context)
                for setting, first, context in kinds
                for system, offset in PORTS.items()
            ]
        except SettingsError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Listen and read no more, answer what was received, close. Takes `GRACE_SECONDS` at the most."""
        for server in self._servers:
            server.close()
        for connection in list(self._house.connections):
            connection.finish()
        deadline = asyncio.get_running_loop().time() + GRACE_SECONDS
        while self._house.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self._house.connections):
            connection.abort()
        await asyncio.sleep(0.01)  # in which the aborted ones are closed
        self._batcher.close()

    async def _listen(self, system: str, setting: str, port: int, context: ssl.SSLContext | None) -> Address:
        host = self._settings.line_host
        try:
            server = await asyncio.get_running_loop().create_server(
                partial(LineConnection, system, self._house),
                host,
                port,
                ssl=context,
                backlog=_BACKLOG,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if context else None,
            )
        except OSError as error:
            raise SettingsError(f"setting {setting}: cannot listen on {host}:{port}: {error.strerror}") from error
        self._servers.append(server)
        return Address(system, host, server.sockets[0].getsockname()[1], context is not None)
