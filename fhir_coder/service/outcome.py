"""Errors as FHIR answers: an OperationOutcome and the HTTP status that goes with it.

Source: https://hl7.org/fhir/R4/operationoutcome.html, https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from typing import Any

from fhir_coder.errors import (
    AccessError,
    CodingStoppedError,
    DeliveryError,
    FhirCoderError,
    InputError,
    QueueFullError,
    TransientDeliveryError,
)

# By FHIR issue type; what is well-formed but cannot be used is 422.
_STATUS = {"structure": 400, "not-found": 404, "too-long": 413, "transient": 503}
_UNUSABLE = 422

# Issue types of the errors that HTTP itself knows.
_ISSUE_TYPE = {
    401: "login",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    408: "timeout",
    413: "too-long",
    415: "not-supported",
    503: "transient",
}

# By the kind of an AccessError; all others are 401.
_ACCESS = {"forbidden": 403, "security": 400, "transient": 503}
_CHALLENGE = 'Bearer realm="fhir-coder"'


def operation_outcome(code: str, diagnostics: str, place: str = "", severity: str = "error") -> dict[str, Any]:
    """Return an OperationOutcome with one issue of the issue type `code` at `place`.

    A place that is no FHIRPath ("line 1 column 2") may not stand in `expression` and goes before the diagnostics.
    """
    issue: dict[str, Any] = {"severity": severity, "code": code, "diagnostics": diagnostics}
    if " " in place:
        issue["diagnostics"] = f"{place}: {diagnostics}"
    elif place:
        issue["expression"] = [place]
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def of_error(error: FhirCoderError) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the OperationOutcome of one of our errors; 502 and 503 speak of the FHIR server."""
    if isinstance(error, InputError):
        return _STATUS.get(error.code, _UNUSABLE), operation_outcome(error.code, str(error), error.place)
    if isinstance(error, QueueFullError):
        return 503, operation_outcome("throttled", str(error))
    if isinstance(error, TransientDeliveryError | CodingStoppedError):
        return 503, operation_outcome("transient", str(error))
    if isinstance(error, DeliveryError):
        return 502, operation_outcome("exception", str(error))
    return 500, operation_outcome("exception", str(error))


def of_access_error(error: AccessError) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return the HTTP status, the OperationOutcome and the headers for a caller that is not let through (RFC 6750)."""
    status = _ACCESS.get(error.kind, 401)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = _CHALLENGE + (', error="invalid_token"' if error.kind == "expired" else "")
    elif status == 403:
        headers["WWW-Authenticate"] = f'{_CHALLENGE}, error="insufficient_scope"'
    elif status == 503:
        headers["Retry-After"] = "30"
    return status, operation_outcome(error.kind, str(error)), headers


def of_status(status: int, diagnostics: str) -> dict[str, Any]:
    """Return the OperationOutcome of a plain HTTP error."""
    return operation_outcome(_ISSUE_TYPE.get(status, "processing"), diagnostics)
