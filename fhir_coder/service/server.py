"""The service: HTTP, MLLP, the line protocol and the worker, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import uvicorn

from fhir_coder.delivery.capacity import Capacity
from fhir_coder.delivery.database import open_database_of
from fhir_coder.delivery.inbox import Inbox
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.errors import SettingsError
from fhir_coder.logs import configure as configure_logs
from fhir_coder.lookup.batcher import Worker as LineWorker
from fhir_coder.lookup.serve import told, worker_processes
from fhir_coder.lookup.server import LineServer
from fhir_coder.lookup.workers import codes, warm_up
from fhir_coder.pipeline import Coder
from fhir_coder.prepare import prepare
from fhir_coder.service.app import create_app
from fhir_coder.service.coding_pool import CodingPool
from fhir_coder.service.desk import Desk
from fhir_coder.service.document_intake import KIND as DOCUMENT_KIND
from fhir_coder.service.http_server import http_config, require_admission, scheme
from fhir_coder.service.memory import calm_collector
from fhir_coder.service.mllp import MllpServer
from fhir_coder.service.receiver import KIND, Receiver, code_item
from fhir_coder.service.upstream_service import UpstreamService, upstream_service
from fhir_coder.service.workers import Handle, Workers
from fhir_coder.settings import Settings
from fhir_coder.tracing import configure_tracing

_log = logging.getLogger(__name__)

_GRACE_SECONDS = 10
_FINISH_SECONDS = 10
_GIVE_BACK_SECONDS = 5
_LONGEST_END = 27.0  # seconds; after 30, supervisors kill


def _begin_end(http: uvicorn.Server, workers: Workers | None) -> None:
    """Take nothing more in, and nothing more in hand. What cannot be finished in time stays in the database."""
    http.should_exit = True
    if workers is not None:
        workers.begin_stop()
    last = threading.Timer(_LONGEST_END, _end_at_once)
    last.daemon = True
    last.start()


def _end_at_once() -> None:
    _log.warning("not all that was in hand could be finished in time; it is taken up at the next start")
    os._exit(0)


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
    configure_logs(settings)
    configure_tracing()
    for said in require_admission(settings):
        print(said, file=sys.stderr, flush=True)
    if settings.audit == "fhir" and settings.out is None and settings.server is None:
        raise SettingsError("setting audit: there is no place for AuditEvents; start with --server or --out")
    engine = open_database_of(settings)
    inbox, outbox = Inbox(engine), Outbox(engine)
    with ExitStack() as stack:
        stack.callback(engine.dispose)
        pool = _coding_pool(settings, stack)
        capacity = Capacity(settings, inbox, outbox)
        stack.callback(capacity.stop)
        capacity.start()
        desk = Desk(Coder.from_settings(settings), settings, outbox, pool, capacity)
        if pool is not None:
            pool.wait_until_ready()
        # Without a place to deliver to, messages wait in the inbox for a start with one.
        upstream = upstream_service(desk, engine, inbox)
        workers = Workers(settings, inbox, outbox, _handlers(desk, upstream), desk.send) if desk.delivers else None
        receiver = Receiver(inbox, inbox.queue.bell.ring, settings, desk.metrics, capacity)
        try:
            line_workers = _line_workers(settings, desk, stack)
            calm_collector()
            asyncio.run(_serve(settings, desk, receiver, inbox, workers, line_workers, upstream))
        finally:
            if upstream is not None:
                upstream.close()
            _stop(desk, inbox, workers, pool)


def _coding_pool(settings: Settings, stack: ExitStack) -> CodingPool | None:
    """Return the processes that code, which begin to load; None when notes are coded in this process."""
    if not settings.coding_workers:
        return None
    prepare(settings)  # here, and not in each of them
    pool = CodingPool(settings)
    stack.callback(pool.close)
    return pool


def _handlers(desk: Desk, upstream: UpstreamService | None) -> Mapping[str, Handle]:
    """Return what codes the items of the inbox, by their kind."""
    handlers: dict[str, Handle] = {KIND: partial(code_item, desk=desk)}
    return handlers if upstream is None else {**handlers, DOCUMENT_KIND: upstream.intake.code}


def _stop(desk: Desk, inbox: Inbox, workers: Workers | None, pool: CodingPool | None) -> None:
    """Finish what is in hand, and give back the rest: it is resumed at the next start."""
    stopped = workers is None or workers.stop(_FINISH_SECONDS)
    if not stopped and pool is not None:
        pool.close()  # a note that takes so long is given back
        stopped = workers is None or workers.stop(_GIVE_BACK_SECONDS)
    # A worker that still waits for a server keeps what it uses.
    if stopped:
        desk.close()
        inbox.close()
        desk.outbox.close()


def _line_workers(settings: Settings, desk: Desk, stack: ExitStack) -> Sequence[LineWorker]:
    """Return who answers the line protocol: nobody when it is off."""
    if settings.line_protocol == "off":
        return ()
    if settings.line_workers:
        return stack.enter_context(worker_processes(settings))
    warm_up(desk.candidates, settings)
    return [partial(codes, desk.candidates, settings)]


async def _serve(
    settings: Settings,
    desk: Desk,
    receiver: Receiver,
    inbox: Inbox,
    worker: Workers | None,
    line_workers: Sequence[LineWorker],
    upstream: UpstreamService | None,
) -> None:
    listener = _listen(settings.host, settings.port)
    mllp = MllpServer(receiver, settings)
    try:
        mllp_addresses = await mllp.start()
    except SettingsError:
        listener.close()
        raise
    lines = LineServer(settings, line_workers, desk.metrics.lines) if line_workers else None
    try:
        addresses = await lines.start() if lines else []
    except SettingsError:
        listener.close()
        await mllp.stop()
        raise
    app = create_app(desk, receiver, inbox, worker, upstream.notified if upstream else None)
    http = _HttpServer(http_config(app, settings, _GRACE_SECONDS))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(_begin_end, http, worker))
    if worker is not None:
        worker.start()
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    while not http.started and not serving.done():
        await asyncio.sleep(0.01)
    if http.started:
        if upstream is not None:
            upstream.sweeper.start()  # only now: the FHIR server answers a new Subscription with a notification
        port = listener.getsockname()[1]
        note = "" if worker else " (no --out or --server: HL7 v2 messages wait in the inbox)"
        print(" ".join(("ready:", f"{scheme(settings)}://{settings.host}:{port}", *mllp_addresses)) + note, flush=True)
        if addresses:
            print(told(addresses), flush=True)
    try:
        await serving
    finally:
        await mllp.stop()
        if lines is not None:
            await lines.stop()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, made here and not by uvicorn so that port 0 can be told."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingsError(f"setting port: cannot listen on {host}:{port}: {error.strerror}") from error
