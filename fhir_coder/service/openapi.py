"""The OpenAPI description of the HTTP interface: every route, what it takes and every status it answers with.

Source: https://spec.openapis.org/oas/v3.1.0. What `$code-note` takes is read from its OperationDefinition; the
parameters of the terminology operations from what reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from fhir_coder.model import CODE_SYSTEMS
from fhir_coder.service.body import HL7_TYPES, JSON_TYPES
from fhir_coder.service.jwks import JWKS_PATH
from fhir_coder.service.terminology_call import Kinds
from fhir_coder.service.terminology_routes import OPERATIONS

Json = dict[str, Any]

_FHIR = "application/fhir+json"
_STATUSES = {
    200: "The answer",
    202: "Accepted; the answer comes later",
    204: "Done",
    304: "What the caller has is current",
    400: "The request is malformed, or a credential was sent in the URL",
    401: "The caller is not known",
    403: "The caller may not do this",
    404: "There is no such thing",
    406: "The caller takes no form that the answer has",
    408: "The body did not arrive in time",
    413: "The body or the note is too long",
    415: "The body is of a type, charset or encoding that is not read",
    422: "The request is well-formed, and cannot be followed",
    500: "An error that was not foreseen; an asynchronous call that failed",
    502: "The FHIR server refused",
    503: "Too much waits, or the FHIR server cannot be reached; call again later",
}
_ALWAYS = (400, 401, 403, 500, 503)
_BODY = (408, 413, 415, 422)


def openapi(app: FastAPI, version: str, operation: Mapping[str, Any]) -> Json:
    """Return the description of all routes of `app`. `operation` is the OperationDefinition of `$code-note`."""
    paths: Json = {}
    described = _described(operation)
    for route in app.routes:
        if isinstance(route, APIRoute):
            for method in sorted(route.methods or ()):
                paths.setdefault(route.path_format, {})[method.lower()] = described[route.path_format, method]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fhir-coder",
            "version": version,
            "description": "Free-text clinical notes in, coded FHIR out. HEAD is answered as GET is, without the body, "
            "and OPTIONS with the methods of a route.",
        },
        "paths": paths,
        "components": {
            "schemas": {
                "DocumentReference": _DOCUMENT,
                "CodeNoteParameters": code_note_schema(operation),
                "Parameters": _PARAMETERS,
                "OperationOutcome": _resource("OperationOutcome", issue=_ISSUES),
                "CodedNote": _CODED_NOTE,
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the issuer"},
                "certificate": {"type": "mutualTLS"},
            },
        },
        "security": [{"bearer": []}, {"certificate": []}, {}],
    }


def code_note_schema(operation: Mapping[str, Any]) -> Json:
    """Return the JSON schema of the Parameters that the OperationDefinition of `$code-note` describes."""
    taken = [each for each in operation["parameter"] if each["use"] == "in"]
    return {
        "type": "object",
        "required": ["resourceType", "parameter"],
        "properties": {
            "resourceType": {"const": "Parameters"},
            "parameter": {
                "type": "array",
                "items": {"oneOf": [_parameter_schema(each) for each in taken]},
                "minItems": 1,
                "description": "Exactly one of note and text; none twice.",
            },
        },
    }


def _parameter_schema(parameter: Mapping[str, Any]) -> Json:
    kind = parameter["type"]
    element, schema = _ELEMENTS[kind]
    if parameter["name"] == "minConfidence":
        schema = {**schema, "minimum": 0, "maximum": 1}
    described = {**schema, "description": parameter["documentation"]} if "$ref" not in schema else schema
    return {
        "type": "object",
        "required": ["name", element],
        "properties": {"name": {"const": parameter["name"]}, element: described},
    }


# By the type of a parameter: the element of Parameters.parameter that carries it, and what that holds.
_ELEMENTS: Mapping[str, tuple[str, Json]] = {
    "DocumentReference": ("resource", {"$ref": "#/components/schemas/DocumentReference"}),
    "string": ("valueString", {"type": "string", "pattern": "\\S"}),
    "Reference": (
        "valueReference",
        {"type": "object", "required": ["reference"], "properties": {"reference": {"type": "string"}}},
    ),
    "boolean": ("valueBoolean", {"type": "boolean"}),
    "decimal": ("valueDecimal", {"type": "number"}),
}


def _resource(kind: str, **properties: Json) -> Json:
    return {
        "type": "object",
        "required": ["resourceType", *properties],
        "properties": {"resourceType": {"const": kind}, **properties},
    }


_ISSUES: Json = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["severity", "code", "diagnostics"],
        "properties": {
            "severity": {"enum": ["fatal", "error", "warning", "information"]},
            "code": {"type": "string"},
            "diagnostics": {"type": "string"},
            "expression": {"type": "array", "items": {"type": "string"}},
        },
    },
}
_ATTACHMENT: Json = {
    "type": "object",
    "properties": {
        "contentType": {"type": "string"},
        "data": {"type": "string", "contentEncoding": "base64"},
        "url": {"type": "string"},
    },
}
_DOCUMENT = _resource(
    "DocumentReference",
    content={
        "type": "array",
        "minItems": 1,
        "items": {"type": "object", "required": ["attachment"], "properties": {"attachment": _ATTACHMENT}},
    },
)
_PARAMETERS: Json = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {
        "resourceType": {"const": "Parameters"},
        "parameter": {
            "type": "array",
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        },
    },
}
_BUNDLE = _resource("Bundle", type={"const": "transaction"}, entry={"type": "array", "items": {"type": "object"}})
_CODED_NOTE: Json = {
    "type": "object",
    "required": ["note", "entities", "relations"],
    "properties": {
        "note": {"type": "object"},
        "entities": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["text", "start", "end", "type", "assertion", "codings", "candidates"],
                "properties": {
                    "text": {"type": "string"},
                    "start": {"type": "integer", "minimum": 0},
                    "end": {"type": "integer", "minimum": 0},
                    "type": {"type": "string"},
                },
            },
        },
        "relations": {"type": "array"},
    },
}
_TEXT_EXAMPLE = "Denies chest pain. Started lisinopril 10 mg daily for hypertension."
_CODE_NOTE_EXAMPLE: Json = {
    "resourceType": "Parameters",
    "parameter": [
        {"name": "text", "valueString": _TEXT_EXAMPLE},
        {"name": "subject", "valueReference": {"reference": "Patient/7"}},
        {"name": "minConfidence", "valueDecimal": 0.5},
    ],
}
_PARAMETERS_EXAMPLE: Json = {
    "resourceType": "Parameters",
    "parameter": [
        {"name": "system", "valueUri": "http://hl7.org/fhir/sid/icd-10-cm"},
        {"name": "code", "valueCode": "I10"},
    ],
}
_HL7_EXAMPLE = (
    "MSH|^~\\&|EHR|HOSPITAL|FHIR|CODER|20250422||MDM^T02^MDM_T02|1|P|2.5.1\rPID|1||7^^^HOSPITAL\r"
    "TXA|1|PR|||||||||||1\rOBX|1|TX|||Hypertension.||||||F\r"
)
_PRETTY: list[Json] = [
    {
        "name": "_format",
        "in": "query",
        "description": "The form of the answer, before Accept",
        "schema": {"enum": ["json", *JSON_TYPES]},
    },
    {"name": "_pretty", "in": "query", "description": "Indented", "schema": {"enum": ["true", "false"]}},
]
_PREFER: Json = {
    "name": "Prefer",
    "in": "header",
    "description": "respond-async to be answered later",
    "schema": {"enum": ["respond-async", "return=minimal", "return=representation"]},
}


def _described(operation: Mapping[str, Any]) -> dict[tuple[str, str], Json]:
    """The description of each route and method."""
    note = {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("DocumentReference", "CodeNoteParameters")]}
    code_note = _fhir_operation(
        operation["title"],
        _BUNDLE,
        (202, *_BODY, 502),
        body=note,
        example=_CODE_NOTE_EXAMPLE,
        parameters=[_PREFER],
        also={202: _OUTCOME},
    )
    instance = _fhir_operation(
        f"{operation['title']} that the FHIR server has",
        _BUNDLE,
        (202, 404, *_BODY, 502),
        body={"$ref": "#/components/schemas/CodeNoteParameters"},
        optional_body=True,
        parameters=[_PREFER, _path("identifier", "[A-Za-z0-9\\-.]{1,64}")],
        also={202: _OUTCOME},
    )
    job = _path("job", "[A-Za-z0-9_\\-]{43}")
    notification = _operation(
        "A notification of a Subscription", {}, (404, *_BODY), body={"type": "object"}, optional_body=True, fhir=True
    )
    named = {**notification, "parameters": [*_PRETTY, {**_path("path"), "description": "What the FHIR server appends"}]}
    return {
        ("/fhir/$code-note", "POST"): code_note,
        ("/fhir/DocumentReference/$code-note", "POST"): code_note,
        ("/fhir/DocumentReference/{identifier}/$code-note", "POST"): instance,
        ("/fhir/jobs/{job}", "GET"): _fhir_operation(
            "The answer to an asynchronous call", _BUNDLE, (202, 404), parameters=[job], also={202: _OUTCOME}
        ),
        ("/fhir/jobs/{job}", "DELETE"): _fhir_operation(
            "Cancel an asynchronous call, or delete its answer",
            None,
            (202, 404),
            parameters=[job],
            also={202: _OUTCOME},
        ),
        ("/fhir/metadata", "GET"): _fhir_operation(
            "What the service does",
            {"oneOf": [_resource("CapabilityStatement"), _resource("TerminologyCapabilities")]},
            (304, 422),
            parameters=[{"name": "mode", "in": "query", "schema": {"enum": ["full", "terminology"]}}],
        ),
        ("/fhir/OperationDefinition/code-note", "GET"): _fhir_operation(
            "The definition of $code-note", _resource("OperationDefinition"), (304,)
        ),
        ("/fhir/subscription", "POST"): notification,
        ("/fhir/subscription", "PUT"): notification,
        ("/fhir/subscription/{path}", "POST"): named,
        ("/fhir/subscription/{path}", "PUT"): named,
        ("/fhir/subscription/{path}", "DELETE"): named,
        ("/v1/code", "POST"): _operation(
            "Code a text",
            {"application/json": {"$ref": "#/components/schemas/CodedNote"}},
            _BODY,
            body={"type": "object", "required": ["text"], "properties": {"text": _ELEMENTS["string"][1]}},
            example={"text": _TEXT_EXAMPLE},
        ),
        ("/v1/lookup", "GET"): _lookup(),
        ("/hl7v2", "POST"): _hl7v2(),
        ("/health/live", "GET"): _operation("Whether the service runs", _STATUS, ()),
        ("/health/ready", "GET"): _ready(),
        ("/metrics", "GET"): _operation("Metrics for Prometheus", {"text/plain": {"type": "string"}}, ()),
        (JWKS_PATH, "GET"): {
            **_operation("The public keys by which this service signs", {"application/json": {"type": "object"}}, ()),
            "security": [],
        },
        ("/openapi.json", "GET"): _operation("This description", {"application/json": {"type": "object"}}, ()),
        **_terminology(),
    }


_STATUS: Json = {"application/json": {"type": "object", "required": ["status"]}}
_OUTCOME: Json = {"$ref": "#/components/schemas/OperationOutcome"}


def _path(name: str, pattern: str = "[^/]+") -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{pattern}$"}}


def _contents(schema: Json) -> Json:
    return {media_type: {"schema": schema} for media_type in JSON_TYPES}


def _fhir_operation(
    summary: str,
    schema: Json | None,
    statuses: Iterable[int],
    *,
    parameters: Iterable[Json] = (),
    also: Mapping[int, Json] | None = None,
    **more: Any,
) -> Json:
    """An operation that answers with a resource, in the form that the caller wants."""
    contents = None if schema is None else dict.fromkeys(JSON_TYPES, schema)
    operation = _operation(summary, contents, (406, *statuses), fhir=True, parameters=[*_PRETTY, *parameters], **more)
    for status, resource in (also or {}).items():
        operation["responses"][str(status)]["content"] = _contents(resource)
    return operation


def _operation(
    summary: str,
    answers: Mapping[str, Json] | None,
    statuses: Iterable[int],
    *,
    parameters: Iterable[Json] = (),
    body: Json | None = None,
    optional_body: bool = False,
    example: Any = None,
    fhir: bool = False,
) -> Json:
    """An operation with its responses: what `answers` has by media type, or an OperationOutcome."""
    error = _contents(_OUTCOME) if fhir else {_FHIR: {"schema": _OUTCOME}}
    responses: Json = {
        str(status): {"description": _STATUSES[status], **({} if status == 304 else {"content": error})}
        for status in sorted({*statuses, *_ALWAYS, *((406,) if fhir else ())})
    }
    if answers is not None:
        content = {media_type: {"schema": schema} for media_type, schema in answers.items()}
        responses["200"] = {"description": _STATUSES[200], **({"content": content} if content else {})}
    operation: Json = {"summary": summary, "responses": responses}
    if parameters:
        operation["parameters"] = list(parameters)
    if body is not None:
        given = {"schema": body} if example is None else {"schema": body, "example": example}
        types = dict.fromkeys(JSON_TYPES, given)
        operation["requestBody"] = {"required": not optional_body, "content": types}
    return operation


def _lookup() -> Json:
    candidate: Json = {
        "type": "object",
        "required": ["system", "code", "display", "version", "score", "matched", "stage"],
    }
    answer: Json = {
        "type": "object",
        "required": ["text", "candidates"],
        "properties": {"text": {"type": "string"}, "candidates": {"type": "array", "items": candidate}},
    }
    return _operation(
        "Look a description up in a code system",
        {"application/json": answer},
        (422,),
        parameters=[
            {
                "name": "system",
                "in": "query",
                "required": True,
                "schema": {"enum": list(CODE_SYSTEMS)},
                "example": "icd10cm",
            },
            {
                "name": "text",
                "in": "query",
                "required": True,
                "schema": {"type": "string", "pattern": "\\S", "maxLength": 1000},
            },
            {"name": "top", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 50}},
        ],
    )


def _hl7v2() -> Json:
    acknowledgement = {"application/hl7-v2": {"schema": {"type": "string"}}}
    operation = _operation("An HL7 v2 message", {"application/hl7-v2": {"type": "string"}}, (202, *_BODY))
    operation["responses"]["202"] = {"description": "Stored; the message asks for no acknowledgement"}
    for status in ("400", "422"):
        operation["responses"][status]["content"] |= acknowledgement
    content: Json = {media_type: {"schema": {"type": "string"}} for media_type in HL7_TYPES}
    content["text/plain"]["example"] = _HL7_EXAMPLE
    operation["requestBody"] = {"required": True, "content": content}
    return operation


def _ready() -> Json:
    operation = _operation("Whether the service can do its work", _STATUS, ())
    operation["responses"]["503"]["content"] |= {media_type: {"schema": each} for media_type, each in _STATUS.items()}
    return operation


def _terminology() -> dict[tuple[str, str], Json]:
    found = {}
    for each in OPERATIONS:
        path = f"/fhir/{each.resource}/${each.name}"
        summary = f"{each.resource}-{each.name} of FHIR R4"
        schema = _resource("ValueSet" if each.name == "expand" else "Parameters")
        found[path, "GET"] = _fhir_operation(summary, schema, (404, 413, 422), parameters=_query(each.parameters))
        body = {"$ref": "#/components/schemas/Parameters"}
        found[path, "POST"] = _fhir_operation(summary, schema, (404, *_BODY), body=body, example=_PARAMETERS_EXAMPLE)
    return found


def _query(kinds: Kinds) -> list[Json]:
    schemas: Mapping[str, Json] = {
        "string": {"type": "string", "maxLength": 1000},
        "boolean": {"enum": ["true", "false"]},
        "integer": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    }
    return [{"name": name, "in": "query", "schema": schemas[kind]} for name, kind in kinds.items() if kind in schemas]
