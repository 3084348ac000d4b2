"""READ FIRST in this folder. The HTTP interface: every route, and how every error is answered.

Source: FHIR R4, https://hl7.org/fhir/R4/http.html and https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any, TypeVar

import orjson
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from fhir_coder.delivery.inbox import Inbox
from fhir_coder.delivery.worker import Worker
from fhir_coder.errors import FhirCoderError, InputError, UnsupportedError
from fhir_coder.ingest.documentreference import note_from_document_reference
from fhir_coder.ingest.json_input import parse_json
from fhir_coder.ingest.text import clean_text
from fhir_coder.logs import correlated
from fhir_coder.model import Note
from fhir_coder.report import as_dict
from fhir_coder.service.body import HL7_TYPES, JSON_TYPES, read_body
from fhir_coder.service.capability import OPERATION_FILE, capability_statement, terminology_capabilities
from fhir_coder.service.code_note import CodeNoteCall, read_call
from fhir_coder.service.desk import Desk
from fhir_coder.service.outcome import of_error, of_status, operation_outcome
from fhir_coder.service.receiver import Receiver
from fhir_coder.service.stored_document import read_document
from fhir_coder.service.subscriptions import Notified, add_subscriptions
from fhir_coder.service.terminology_routes import OPERATIONS, add_terminology, require_json
from fhir_coder.settings import Settings
from fhir_coder.tables import read_profile
from fhir_coder.tracing import request_span

_log = logging.getLogger(__name__)

_FHIR = "application/fhir+json"
_HL7 = "application/hl7-v2"
_LONGEST_LOOKUP = 1_000  # characters
_THREADS = 4  # the desk lets one code at a time; the others read, check and deliver
_ACKNOWLEDGED = {b"A": 200, b"E": 422, b"R": 400}  # by the second letter of MSA-1

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


def create_app(
    desk: Desk, receiver: Receiver, inbox: Inbox, worker: Worker | None, notified: Notified | None = None
) -> FastAPI:
    """Return the application. `worker` is None without a place to deliver to, `notified` without a FHIR server."""
    app = FastAPI(title="fhir-coder", docs_url=None, redoc_url=None, openapi_url=None)
    _add_fhir(app, desk)
    add_terminology(app, desk)
    add_subscriptions(app, desk, notified)
    _add_plain(app, desk)
    _add_hl7v2(app, desk, receiver)
    _add_operations(app, desk, inbox, worker)
    _add_errors(app, desk)
    return app


def _add_fhir(app: FastAPI, desk: Desk) -> None:
    in_thread = _in_threads()
    settings = desk.settings

    @app.post("/fhir/$code-note")
    @app.post("/fhir/DocumentReference/$code-note")
    async def code_note(request: Request) -> Response:
        raw = await read_body(request, settings.max_body_bytes, JSON_TYPES)
        return _json(await in_thread(lambda: _code(desk, read_call(raw, settings))), _FHIR)

    @app.post("/fhir/DocumentReference/{identifier}/$code-note")
    async def code_stored_note(request: Request, identifier: str) -> Response:
        raw = await read_body(request, settings.max_body_bytes, JSON_TYPES)

        def work() -> dict[str, Any]:
            return _code(desk, read_call(raw, settings, note=_stored_note(settings, identifier)))

        return _json(await in_thread(work), _FHIR)

    @app.get("/fhir/metadata")
    async def metadata(request: Request) -> Response:
        query = request.query_params
        require_json(query.multi_items())
        base, mode = f"{str(request.base_url).rstrip('/')}/fhir", query.get("mode", "full")
        if mode == "terminology":
            return _json(terminology_capabilities(base, _version(), desk.store), _FHIR)
        if mode != "full":
            raise UnsupportedError("mode is full or terminology", place="mode")
        operation: str = read_profile(OPERATION_FILE)["url"]
        terminology = [(each.resource, each.name) for each in OPERATIONS]
        instance_level = settings.server is not None
        statement = capability_statement(base, _version(), operation, terminology, instance_level=instance_level)
        return _json(statement, _FHIR)

    @app.get("/fhir/OperationDefinition/code-note")
    async def operation_definition() -> Response:
        return _json(read_profile(OPERATION_FILE), _FHIR)


def _code(desk: Desk, call: CodeNoteCall) -> dict[str, Any]:
    if call.persist:
        desk.require_deliverable(call.note)
    bundle = desk.bundle(desk.code(call.note, call.min_confidence))
    if call.persist:
        desk.deliver(call.note, bundle)
    return bundle


def _stored_note(settings: Settings, identifier: str) -> Note:
    if settings.server is None:
        raise UnsupportedError(
            "no documents are stored here; start the service with --server, or send the DocumentReference itself",
            place="DocumentReference.id",
        )
    return note_from_document_reference(read_document(identifier, settings), settings)


def _add_plain(app: FastAPI, desk: Desk) -> None:
    in_thread = _in_threads()
    settings = desk.settings

    @app.post("/v1/code")
    async def code(request: Request) -> Response:
        raw = await read_body(request, settings.max_body_bytes, JSON_TYPES)

        def work() -> dict[str, Any]:
            text = parse_json(raw, settings).get("text")
            if not isinstance(text, str):
                raise InputError('the text is missing; send {"text": "..."}', place="text", code="required")
            return as_dict(desk.code(Note(text=clean_text(text, settings, place="text"))))

        return _json(await in_thread(work))

    @app.get("/v1/lookup")
    async def lookup(request: Request) -> Response:
        system, text = (request.query_params.get(name, "") for name in ("system", "text"))
        if not text.strip() or len(text) > _LONGEST_LOOKUP:
            raise InputError(f"text has from 1 to {_LONGEST_LOOKUP} characters", place="text", code="value")
        top = _top(request.query_params.get("top", "5"))
        candidates = await in_thread(lambda: desk.lookup(system, text, top))
        return _json({"text": text, "candidates": [asdict(candidate) for candidate in candidates]})


def _top(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 3 and 1 <= int(value) <= 50):
        raise InputError("top is a number from 1 to 50", place="top", code="value")
    return int(value)


def _add_hl7v2(app: FastAPI, desk: Desk, receiver: Receiver) -> None:
    @app.post("/hl7v2")
    async def hl7v2(request: Request) -> Response:
        raw = await read_body(request, desk.settings.max_body_bytes, HL7_TYPES)
        try:
            acknowledgement = await run_sync(receiver.receive, raw)
        except (SQLAlchemyError, OSError) as error:
            _log.error("a message could not be stored: %s", type(error).__name__)
            outcome = operation_outcome("transient", "the message could not be stored; send it again later")
            return _json(outcome, _FHIR, 503)
        if acknowledgement is None:
            return Response(status_code=202)
        verdict = acknowledgement.split(b"\rMSA|", 1)[1][1:2]
        return Response(acknowledgement, _ACKNOWLEDGED[verdict], media_type=_HL7)


def _add_operations(app: FastAPI, desk: Desk, inbox: Inbox, worker: Worker | None) -> None:
    @app.get("/health/live")
    async def live() -> Response:
        return _json({"status": "live"})

    @app.get("/health/ready")
    async def ready() -> Response:
        try:
            counts = await run_sync(inbox.counts)
        except SQLAlchemyError:
            return _json({"status": "the inbox cannot be read"}, status=503)
        if worker is not None and not worker.alive:
            return _json({"status": "the worker has ended; restart the service"}, status=503)
        return _json({"status": "ready", "inbox": counts})

    @app.get("/metrics")
    async def metrics() -> Response:
        for state, number in (await run_sync(inbox.counts)).items():
            desk.metrics.inbox.labels(state).set(number)
        return Response(desk.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI, desk: Desk) -> None:
    @app.exception_handler(FhirCoderError)
    async def ours(_: Request, error: FhirCoderError) -> Response:
        status, outcome = of_error(error)
        desk.metrics.errors.labels(outcome["issue"][0]["code"]).inc()
        return _json(outcome, _FHIR, status)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        outcome = of_status(error.status_code, str(error.detail))
        desk.metrics.errors.labels(outcome["issue"][0]["code"]).inc()
        return _json(outcome, _FHIR, error.status_code, headers=dict(error.headers or {}))

    @app.middleware("http")
    async def measured(request: Request, call_next: Handler) -> Response:
        # A name of our own: what a client sends might be a patient's number.
        with correlated() as name, request_span(request.headers) as span:
            response = await answered(request, call_next)
            route = getattr(request.scope.get("route"), "path", "none")
            span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", response.status_code)
        response.headers["X-Request-Id"] = name
        return response

    async def answered(request: Request, call_next: Handler) -> Response:
        start = perf_counter()
        try:
            response = await call_next(request)
        except Exception as error:
            # Answered here, not by the framework: it would log the message, which may quote a note.
            _log.error("a request failed: %s", type(error).__name__)
            desk.metrics.errors.labels("exception").inc()
            response = _json(of_status(500, "an unforeseen error; see the service's log"), _FHIR, 500)
        route = getattr(request.scope.get("route"), "path", "none")
        method = request.method if route != "none" else "none"
        desk.metrics.requests.labels(method, route, response.status_code).observe(perf_counter() - start)
        return response


def _in_threads() -> Callable[[Callable[[], T]], Awaitable[T]]:
    """Return what runs a function in one of a few threads: the event loop goes on, and threads do not pile up."""
    limiter = CapacityLimiter(_THREADS)

    async def run(function: Callable[[], T]) -> T:
        return await run_sync(function, limiter=limiter)

    return run


def _json(
    content: Any, media_type: str = "application/json", status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type)


def _version() -> str:
    try:
        return version("fhir-coder")
    except PackageNotFoundError:
        return "unknown"  # run from a checkout that is not installed
