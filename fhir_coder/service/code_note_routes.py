"""`$code-note` over HTTP: on system, type and instance level, answered at once or later.

Source: profiles/OperationDefinition-code-note.json, https://hl7.org/fhir/R4/operations.html,
https://hl7.org/fhir/R4/async.html. What is wrong with a call is said at once in both ways. The answer to an
asynchronous call is the Bundle, as the synchronous one has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any

import orjson
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from fhir_coder.attachments.fetch import Permit
from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.documentreference import note_from_document_reference
from fhir_coder.ingest.json_input import parse_json
from fhir_coder.model import Note
from fhir_coder.service.access.caller import Caller, caller_of
from fhir_coder.service.access.needs import WRITE_NOTE
from fhir_coder.service.audited import CalledBy, audited_call, audits_of_document
from fhir_coder.service.base_url import base_url
from fhir_coder.service.body import JSON_TYPES, read_body
from fhir_coder.service.code_note import CodeNoteCall, read_call
from fhir_coder.service.desk import Desk
from fhir_coder.service.job_runner import JobRunner
from fhir_coder.service.jobs import Job, Jobs, JobState
from fhir_coder.service.outcome import operation_outcome
from fhir_coder.service.prefer import prefers_async
from fhir_coder.service.stored_document import read_document
from fhir_coder.service.threads import Threads
from fhir_coder.settings import Settings

_FHIR = "application/fhir+json"
_GENERAL = ("_format", "_pretty")  # https://hl7.org/fhir/R4/http.html#parameters
_SOON, _LATER = 1, 5  # seconds until it is worth asking again


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call as it can be kept until it is answered."""

    body: dict[str, Any] | None  # the resource that was sent
    document: dict[str, Any] | None  # the DocumentReference of the URL, as the FHIR server has it now
    by: CalledBy | None = None

    @classmethod
    def of_job(cls, request: bytes) -> _Asked:
        kept: Mapping[str, Any] = orjson.loads(request)
        by = kept.get("by")
        return cls(kept["body"], kept["document"], None if by is None else CalledBy(**by))

    def call(self, settings: Settings, permit: Permit | None = None) -> CodeNoteCall:
        """Without `permit`, of a call that was let through before."""
        document = self.document
        note = None if document is None else note_from_document_reference(document, settings, permit=permit)
        return read_call(self.body, settings, note=note, permit=permit)


def add_code_note(app: FastAPI, desk: Desk, jobs: Jobs, runner: JobRunner, threads: Threads) -> None:
    """Add the routes of the operation and of what is answered later."""
    settings = desk.settings

    async def code_note(request: Request) -> Response:
        _require_no_parameters(request)
        threads.require_room()
        raw = await read_body(request, settings.max_body_bytes, JSON_TYPES)
        caller, identifier = caller_of(request), request.path_params.get("identifier")
        by = CalledBy.of(request)

        def answer() -> Response:
            asked = _asked(raw, identifier, settings, by)
            call = _permitted(desk, _told_call(desk, asked, by, identifier, caller.permit_reading), caller)
            if not prefers_async(request):
                return Response(orjson.dumps(code_call(desk, call, by)), media_type=_FHIR)
            job = jobs.add(caller.name, orjson.dumps(asked))
            runner.wake()
            return _accepted({"Content-Location": f"{base_url(request, settings)}/fhir/jobs/{job}"})

        return await threads.run(answer)

    for level in ("", "DocumentReference/", "DocumentReference/{identifier}/"):
        app.add_api_route(f"/fhir/{level}$code-note", code_note, methods=["POST"])

    @app.get("/fhir/jobs/{job}")
    async def status(request: Request) -> Response:
        owner, job = caller_of(request).name, request.path_params["job"]
        return _told(await run_sync(jobs.find, owner, job))

    @app.delete("/fhir/jobs/{job}")
    async def cancel(request: Request) -> Response:
        owner, job = caller_of(request).name, request.path_params["job"]
        if not await run_sync(jobs.remove, owner, job):
            raise _no_such_job()
        return _outcome("the job is cancelled, or its answer deleted")


def job_answer(desk: Desk, jobs: Jobs) -> Callable[[Job], bytes]:
    """Return what answers jobs."""

    def answer(job: Job) -> bytes:
        asked = _Asked.of_job(job.request)
        call = asked.call(desk.settings)
        return orjson.dumps(code_call(desk, call, asked.by, wanted=lambda: jobs.wanted(job)))

    return answer


def code_call(
    desk: Desk, call: CodeNoteCall, by: CalledBy | None, wanted: Callable[[], bool] = lambda: True
) -> dict[str, Any]:
    """Return the Bundle of a call, written and sent where it asks for that and is still wanted.

    Raises `InputError` and `DeliveryError`, and SQLAlchemyError where its AuditEvent cannot be stored.
    """
    with audited_call(desk, by, call.note):
        return _answered(desk, call, by, wanted)


def _answered(desk: Desk, call: CodeNoteCall, by: CalledBy | None, wanted: Callable[[], bool]) -> dict[str, Any]:
    if call.note.withdrawn and not call.note.text and not call.persist:
        raise UnsupportedError(
            "the document is marked entered-in-error and is not coded; with persist, what it gave is taken back",
            place="DocumentReference.status",
        )
    bundle = desk.bundle(desk.code(call.note, call.min_confidence))
    if call.persist and wanted():
        desk.deliver(call.note, bundle, None if by is None else by.request)
    return bundle


def _require_no_parameters(request: Request) -> None:
    """An operation that changes state takes its parameters in the body; in the URL they would be left unread."""
    for name in request.query_params:
        if name not in _GENERAL:
            raise UnsupportedError(
                "$code-note takes its parameters in the body, as a Parameters resource; the URL may hold _format and "
                "_pretty",
                place="Parameters.parameter",
            )


def _asked(raw: bytes, identifier: str | None, settings: Settings, by: CalledBy) -> _Asked:
    body = None if identifier is not None and not raw.strip() else parse_json(raw, settings)
    return _Asked(body, None if identifier is None else _stored(identifier, settings, by), by)


def _told_call(desk: Desk, asked: _Asked, by: CalledBy, identifier: str | None, permit: Permit) -> CodeNoteCall:
    """Return the call, and keep the AuditEvent of the document that was read for it, whether it is one or not."""
    note: Note | None = None
    try:
        call = asked.call(desk.settings, permit)
        note = call.note
    finally:
        if asked.document is not None:
            user = by.user(desk.settings)
            document = {**asked.document, "id": identifier}
            desk.keep_audits(audits_of_document(desk.settings, by.request, document, note, user))
    return call


def _stored(identifier: str, settings: Settings, by: CalledBy) -> dict[str, Any]:
    if settings.server is None:
        raise UnsupportedError(
            "no documents are stored here; start the service with --server, or send the DocumentReference itself",
            place="DocumentReference.id",
        )
    document = read_document(identifier, settings, by.request)
    if document.get("id", identifier) != identifier:
        raise InputError("the FHIR server answered with another document", place="DocumentReference.id", code="value")
    return document


def _permitted(desk: Desk, call: CodeNoteCall, caller: Caller) -> CodeNoteCall:
    if call.persist:
        caller.require(WRITE_NOTE)
        desk.require_deliverable(call.note)
    return call


def _told(job: JobState | None) -> Response:
    if job is None:
        raise _no_such_job()
    if job.state == "answered":
        headers = {"Expires": format_datetime(job.expires, usegmt=True), "Cache-Control": "no-store"}
        return Response(job.answer, job.status or 500, headers, _FHIR)
    running = job.state == "running"
    progress = "coding" if running else f"{job.before} before it"
    return _accepted({"X-Progress": progress, "Retry-After": str(_SOON if running or not job.before else _LATER)})


def _accepted(headers: dict[str, str]) -> Response:
    return _outcome("the note is being coded", headers)


def _outcome(diagnostics: str, headers: dict[str, str] | None = None) -> Response:
    outcome = operation_outcome("informational", diagnostics, severity="information")
    return Response(orjson.dumps(outcome), 202, headers, _FHIR)


def _no_such_job() -> HTTPException:
    return HTTPException(404, "there is no such job: it is unknown, cancelled, deleted or has expired")
