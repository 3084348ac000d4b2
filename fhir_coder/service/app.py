"""READ FIRST in this folder. The HTTP interface: every route, and how every error is answered.

Source: FHIR R4, https://hl7.org/fhir/R4/http.html and https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any

import orjson
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from fhir_coder.delivery.inbox import Inbox
from fhir_coder.errors import AccessError, FhirCoderError, InputError, UnsupportedError
from fhir_coder.ingest.json_input import parse_json
from fhir_coder.ingest.text import clean_text
from fhir_coder.logs import correlated, in_short
from fhir_coder.model import Note
from fhir_coder.report import as_dict
from fhir_coder.service.access.admission import Admission
from fhir_coder.service.access.caller import caller_of
from fhir_coder.service.access.guard import Guard
from fhir_coder.service.base_url import base_url
from fhir_coder.service.body import HL7_TYPES, JSON_TYPES, BodyRoom, read_body
from fhir_coder.service.capability import OPERATION_FILE, capability_statement, terminology_capabilities
from fhir_coder.service.code_note_routes import add_code_note, job_answer
from fhir_coder.service.desk import Desk
from fhir_coder.service.fhir_format import FhirFormat
from fhir_coder.service.health import Health
from fhir_coder.service.job_runner import JobRunner
from fhir_coder.service.jobs import Jobs
from fhir_coder.service.jwks import add_jwks
from fhir_coder.service.methods import HeadAsGet, Options, allowed_methods
from fhir_coder.service.openapi import openapi
from fhir_coder.service.outcome import of_access_error, of_error, of_status, operation_outcome
from fhir_coder.service.receiver import Receiver
from fhir_coder.service.subscriptions import Notified, add_subscriptions
from fhir_coder.service.terminology_routes import OPERATIONS, add_terminology
from fhir_coder.service.threads import Threads
from fhir_coder.service.workers import Workers
from fhir_coder.tables import read_profile
from fhir_coder.tracing import request_span

_log = logging.getLogger(__name__)

_FHIR = "application/fhir+json"
# FastAPI's own would put queries and the messages of exceptions into traces; ours (`fhir_coder.tracing`) does not.
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
_HL7 = "application/hl7-v2"
_LONGEST_LOOKUP = 1_000  # characters
_RETRY_SECONDS = "10"
_STOP_SECONDS = 10.0  # for the asynchronous call that is being answered
_ACKNOWLEDGED = {b"A": 200, b"E": 422, b"R": 400}  # by the second letter of MSA-1

Handler = Callable[[Request], Awaitable[Response]]


def create_app(
    desk: Desk, receiver: Receiver, inbox: Inbox, worker: Workers | None, notified: Notified | None = None
) -> FastAPI:
    """Return the application. `worker` is None without a place to deliver to, `notified` without a FHIR server."""
    settings = desk.settings
    admission = Admission.from_settings(settings)
    jobs = Jobs(desk.outbox.queue.engine, most=settings.async_calls, hours=settings.async_hours)
    runner, threads = JobRunner(jobs, job_answer(desk, jobs)), Threads(settings.http_waiting)
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=_running(jobs, runner),
        telemetry=_NO_TELEMETRY,
    )
    add_code_note(app, desk, jobs, runner, threads)
    _add_fhir(app, desk, admission)
    add_terminology(app, desk)
    add_subscriptions(app, desk, notified)
    _add_plain(app, desk, threads)
    _add_hl7v2(app, desk, receiver)
    _add_operations(app, desk, inbox, worker)
    add_jwks(app, settings)
    _add_description(app)
    _add_errors(app, desk)
    # The last one added is the first to see a request.
    app.add_middleware(BodyRoom, most_bytes=settings.max_body_bytes)
    app.add_middleware(Options)
    app.add_middleware(Guard, admission=admission, refuse=_refuse(desk))
    app.add_middleware(FhirFormat)
    _add_measuring(app, desk)
    app.add_middleware(HeadAsGet)
    return app


def _running(jobs: Jobs, runner: JobRunner) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return what is done as long as the application runs: answering what was asked for asynchronously."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        await run_sync(jobs.open)
        runner.start()
        try:
            yield
        finally:
            await run_sync(runner.stop, _STOP_SECONDS)

    return run


def _add_fhir(app: FastAPI, desk: Desk, admission: Admission) -> None:
    settings = desk.settings

    @app.get("/fhir/metadata")
    async def metadata(request: Request) -> Response:
        base, mode = f"{base_url(request, settings)}/fhir", request.query_params.get("mode", "full")
        if mode == "terminology":
            return _json(terminology_capabilities(base, _version(), desk.store), _FHIR)
        if mode != "full":
            raise UnsupportedError("mode is full or terminology", place="mode")
        operation: str = read_profile(OPERATION_FILE)["url"]
        terminology = [(each.resource, each.name) for each in OPERATIONS]
        instance_level = settings.server is not None
        statement = capability_statement(
            base,
            _version(),
            operation,
            terminology,
            instance_level=instance_level,
            security=admission.description,
        )
        return _json(statement, _FHIR)

    @app.get("/fhir/OperationDefinition/code-note")
    async def operation_definition() -> Response:
        return _json(read_profile(OPERATION_FILE), _FHIR)


def _add_plain(app: FastAPI, desk: Desk, threads: Threads) -> None:
    settings = desk.settings

    @app.post("/v1/code")
    async def code(request: Request) -> Response:
        threads.require_room()
        raw = await read_body(request, settings.max_body_bytes, JSON_TYPES)

        def work() -> dict[str, Any]:
            text = parse_json(raw, settings).get("text")
            if not isinstance(text, str):
                raise InputError('the text is missing; send {"text": "..."}', place="text", code="required")
            return as_dict(desk.code(Note(text=clean_text(text, settings, place="text"))))

        return _json(await threads.run(work))

    @app.get("/v1/lookup")
    async def lookup(request: Request) -> Response:
        system, text = (request.query_params.get(name, "") for name in ("system", "text"))
        if not text.strip() or len(text) > _LONGEST_LOOKUP:
            raise InputError(f"text has from 1 to {_LONGEST_LOOKUP} characters", place="text", code="value")
        top = _top(request.query_params.get("top", "5"))
        candidates = await threads.run(lambda: desk.lookup(system, text, top))
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
            acknowledgement = await run_sync(receiver.receive, raw, caller_of(request).permit_reading)
        except (SQLAlchemyError, OSError) as error:
            _log.error("a message could not be stored: %s", type(error).__name__)
            outcome = operation_outcome("transient", "the message could not be stored; send it again later")
            return _json(outcome, _FHIR, 503, {"Retry-After": _RETRY_SECONDS})
        if acknowledgement is None:
            return Response(status_code=202)
        verdict = acknowledgement.split(b"\rMSA|", 1)[1][1:2]
        return Response(acknowledgement, _ACKNOWLEDGED[verdict], media_type=_HL7)


def _count_queues(desk: Desk, inbox: Inbox) -> None:
    metrics, outbox = desk.metrics, desk.outbox
    with suppress(SQLAlchemyError):  # the other metrics are told all the more when the database is away
        for state, number in inbox.counts().items():
            metrics.inbox.labels(state).set(number)
        for state, number in outbox.counts().items():
            metrics.outbox.labels(state).set(number)
        for name, queue in (("inbox", inbox.queue), ("outbox", outbox.queue)):
            metrics.oldest.labels(name).set(queue.oldest())


def _add_operations(app: FastAPI, desk: Desk, inbox: Inbox, worker: Workers | None) -> None:
    health = Health(desk, inbox, worker)

    @app.get("/health/live")
    async def live() -> Response:
        # That this is answered says that the event loop goes on; all else is no reason to restart the service.
        return _json({"status": "live"})

    @app.get("/health/ready")
    async def ready() -> Response:
        status, report = await run_sync(health.report)
        return _json(report, status=status)

    @app.get("/metrics")
    async def metrics() -> Response:
        await run_sync(_count_queues, desk, inbox)
        return Response(desk.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _add_description(app: FastAPI) -> None:
    description: list[Response] = []  # made once, when it is first asked for: all routes are there by then

    @app.get("/openapi.json")
    async def described() -> Response:
        if not description:
            description.append(_json(openapi(app, _version(), read_profile(OPERATION_FILE))))
        return description[0]


def _add_errors(app: FastAPI, desk: Desk) -> None:
    refuse = _refuse(desk)

    @app.exception_handler(AccessError)
    async def refused(_: Request, error: AccessError) -> Response:
        return refuse(error)

    @app.exception_handler(FhirCoderError)
    async def ours(_: Request, error: FhirCoderError) -> Response:
        status, outcome = of_error(error)
        desk.metrics.errors.labels(outcome["issue"][0]["code"]).inc()
        return _json(outcome, _FHIR, status, {"Retry-After": _RETRY_SECONDS} if status == 503 else None)

    @app.exception_handler(SQLAlchemyError)
    async def storage(_: Request, error: SQLAlchemyError) -> Response:
        # Its message holds the statement's values.
        _log.error("the database cannot be used: %s", type(error).__name__)
        desk.metrics.errors.labels("transient").inc()
        outcome = of_status(503, "what is to be kept could not be stored; call again later")
        return _json(outcome, _FHIR, 503, headers={"Retry-After": _RETRY_SECONDS})

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        outcome = of_status(error.status_code, str(error.detail))
        desk.metrics.errors.labels(outcome["issue"][0]["code"]).inc()
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(allowed_methods(request.scope))
        return _json(outcome, _FHIR, error.status_code, headers=headers)


def _refuse(desk: Desk) -> Callable[[AccessError], Response]:
    """Return what answers a caller that is not let through."""

    def answer(error: AccessError) -> Response:
        status, outcome, headers = of_access_error(error)
        desk.metrics.errors.labels(error.kind).inc()
        return _json(outcome, _FHIR, status, headers)

    return answer


def _add_measuring(app: FastAPI, desk: Desk) -> None:
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
            _log.error("a request failed: %s", in_short(error))
            desk.metrics.errors.labels("exception").inc()
            response = _json(of_status(500, "an unforeseen error; see the service's log"), _FHIR, 500)
        route = getattr(request.scope.get("route"), "path", "none")
        method = request.method if route != "none" else "none"
        desk.metrics.requests.labels(method, route, response.status_code).observe(perf_counter() - start)
        return response


def _json(
    content: Any, media_type: str = "application/json", status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type)


def _version() -> str:
    try:
        return version("fhir-coder")
    except PackageNotFoundError:
        return "unknown"  # run from a checkout that is not installed
