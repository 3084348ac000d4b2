"""The service: HTTP, MLLP and the worker in one process, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn

from fhir_coder.delivery.inbox import Inbox
from fhir_coder.delivery.worker import Worker
from fhir_coder.errors import SettingsError
from fhir_coder.pipeline import Coder
from fhir_coder.service.app import create_app
from fhir_coder.service.desk import Desk
from fhir_coder.service.mllp import MllpServer
from fhir_coder.service.receiver import Receiver, code_item
from fhir_coder.settings import Settings

_GRACE_SECONDS = 10


class _HttpServer(uvicorn.Server):
    """uvicorn, which would take the signals for itself and end the process before the rest is closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Prints one line with the addresses when all is ready.

    The coder is loaded before anything listens, so whoever can connect is served.

    Raises `SettingsError` when an address cannot be listened on, `TerminologyError` when the coder cannot be loaded.
    """
    coder = Coder.from_settings(settings)
    desk = Desk(coder, settings)
    inbox = Inbox(settings.data_dir)
    # Without a place to deliver to, messages wait in the inbox for a start with one.
    worker = Worker(inbox, partial(code_item, desk=desk)) if desk.delivers else None
    receiver = Receiver(inbox, worker.wake if worker else _nobody, settings, desk.metrics)
    try:
        asyncio.run(_serve(settings, desk, receiver, inbox, worker))
    finally:
        # A worker that still waits for a server keeps what it uses; its message is resumed at the next start.
        if worker is None or worker.stop(_GRACE_SECONDS):
            desk.close()
            inbox.close()


async def _serve(settings: Settings, desk: Desk, receiver: Receiver, inbox: Inbox, worker: Worker | None) -> None:
    listener = _listen(settings.host, settings.port)
    mllp = MllpServer(receiver, settings.max_body_bytes)
    try:
        mllp_port = await mllp.start(settings.host, settings.mllp_port)
    except OSError as error:
        listener.close()
        raise SettingsError(f"setting mllp_port: cannot listen on {settings.host}: {error.strerror}") from error
    http = _HttpServer(
        uvicorn.Config(
            create_app(desk, receiver, inbox, worker),
            # Requests are not logged: their URLs may hold text.
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(setattr, http, "should_exit", True))
    if worker is not None:
        worker.start()
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    while not http.started and not serving.done():
        await asyncio.sleep(0.01)
    if http.started:
        port = listener.getsockname()[1]
        note = "" if worker else " (no --out or --server: HL7 v2 messages wait in the inbox)"
        print(f"ready: http://{settings.host}:{port} mllp://{settings.host}:{mllp_port}{note}", flush=True)
    try:
        await serving
    finally:
        await mllp.stop()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, made here and not by uvicorn so that port 0 can be told."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingsError(f"setting port: cannot listen on {host}:{port}: {error.strerror}") from error


def _nobody() -> None:
    """Wake no worker: there is none."""
