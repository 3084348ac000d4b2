"""The routes of the terminology operations, each by GET with a query string and by POST with Parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import orjson
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import Response

from fhir_coder.ingest.json_input import parse_json
from fhir_coder.service import terminology
from fhir_coder.service.body import JSON_TYPES, read_body
from fhir_coder.service.desk import Desk
from fhir_coder.service.terminology_call import Call, given_parameters
from fhir_coder.terminology.store import ConceptStore


class Operation(NamedTuple):
    """An operation: the resource type it belongs to, its name, its parameters, and what answers it."""

    resource: str
    name: str
    parameters: tuple[str, ...]
    answer: Callable[[ConceptStore, Call], dict[str, Any]]


OPERATIONS = (
    Operation("CodeSystem", "lookup", terminology.LOOKUP, terminology.lookup),
    Operation(
        "CodeSystem",
        "validate-code",
        terminology.VALIDATE_CODE,
        partial(terminology.validate_code, of_value_set=False),
    ),
    Operation(
        "ValueSet", "validate-code", terminology.VALIDATE_CODE, partial(terminology.validate_code, of_value_set=True)
    ),
    Operation("ValueSet", "expand", terminology.EXPAND, terminology.expand),
    Operation("ConceptMap", "translate", terminology.TRANSLATE, terminology.translate),
)


def add_terminology(app: FastAPI, desk: Desk) -> None:
    """Add the routes of all operations."""
    for operation in OPERATIONS:
        path = f"/fhir/{operation.resource}/${operation.name}"
        app.add_api_route(path, _endpoint(desk, operation), methods=["GET", "POST"], include_in_schema=False)


def _endpoint(desk: Desk, operation: Operation) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        given: list[tuple[str, Any]] = list(request.query_params.multi_items())
        if request.method == "POST":
            raw = await read_body(request, desk.settings.max_body_bytes, JSON_TYPES)
            given += given_parameters(parse_json(raw, desk.settings))
        call = Call(given, operation.parameters)
        content = await run_sync(lambda: operation.answer(desk.store, call))
        return Response(orjson.dumps(content), media_type="application/fhir+json")

    return answer
