"""The routes of the terminology operations, each by GET with a query string and by POST with Parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import Response

from fhir_coder.ingest.json_input import parse_json
from fhir_coder.service.body import JSON_TYPES, read_body
from fhir_coder.service.desk import Desk
from fhir_coder.service.terminology import (
    LOOKUP,
    VALIDATE_CODE_SYSTEM,
    VALIDATE_VALUE_SET,
    lookup,
    validate_in_code_system,
    validate_in_value_set,
)
from fhir_coder.service.terminology_call import Call, Kinds, from_query, from_resource
from fhir_coder.service.terminology_expand import EXPAND, expand
from fhir_coder.service.terminology_translate import TRANSLATE, translate
from fhir_coder.terminology.store import ConceptStore

_THREADS = 4


class Operation(NamedTuple):
    """An operation: the resource type it belongs to, its name, its parameters, and what answers it."""

    resource: str
    name: str
    parameters: Kinds
    answer: Callable[[ConceptStore, Call], dict[str, Any]]


OPERATIONS = (
    Operation("CodeSystem", "lookup", LOOKUP, lookup),
    Operation("CodeSystem", "validate-code", VALIDATE_CODE_SYSTEM, validate_in_code_system),
    Operation("ValueSet", "validate-code", VALIDATE_VALUE_SET, validate_in_value_set),
    Operation("ValueSet", "expand", EXPAND, expand),
    Operation("ConceptMap", "translate", TRANSLATE, translate),
)


def add_terminology(app: FastAPI, desk: Desk) -> None:
    """Add the routes of all operations."""
    limiter = CapacityLimiter(_THREADS)
    for operation in OPERATIONS:
        path = f"/fhir/{operation.resource}/${operation.name}"
        endpoint = _endpoint(desk, operation, limiter)
        app.add_api_route(path, endpoint, methods=["GET", "POST"])


def _endpoint(desk: Desk, operation: Operation, limiter: CapacityLimiter) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        query = list(request.query_params.multi_items())
        raw = await read_body(request, desk.settings.max_body_bytes, JSON_TYPES) if request.method == "POST" else None

        def work() -> bytes:
            # https://hl7.org/fhir/R4/http.html#general: _format and _pretty go with every request.
            given = from_query(item for item in query if item[0] not in ("_format", "_pretty"))
            if raw is not None:
                given += from_resource(parse_json(raw, desk.settings))
            return orjson.dumps(operation.answer(desk.store, Call(given, operation.parameters)))

        return Response(await run_sync(work, limiter=limiter), media_type="application/fhir+json")

    return answer
