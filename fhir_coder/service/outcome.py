"""Errors as FHIR answers: an OperationOutcome and the HTTP status that goes with it.

Source: https://hl7.org/fhir/R4/operationoutcome.html, https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from typing import Any

from fhir_coder.errors import DeliveryError, FhirCoderError, InputError, TransientDeliveryError

# By FHIR issue type; what is well-formed but cannot be used is 422.
_STATUS = {"structure": 400, "not-found": 404, "too-long": 413, "transient": 503}
_UNUSABLE = 422

# Issue types of the errors that HTTP itself knows.
_ISSUE_TYPE = {404: "not-found", 405: "not-supported", 413: "too-long", 415: "not-supported"}


def operation_outcome(code: str, diagnostics: str, place: str = "") -> dict[str, Any]:
    """Return an OperationOutcome with one error of the issue type `code` at `place`.

    A place that is no FHIRPath ("line 1 column 2") may not stand in `expression` and goes before the diagnostics.
    """
    issue: dict[str, Any] = {"severity": "error", "code": code, "diagnostics": diagnostics}
    if " " in place:
        issue["diagnostics"] = f"{place}: {diagnostics}"
    elif place:
        issue["expression"] = [place]
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def of_error(error: FhirCoderError) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the OperationOutcome of one of our errors; 502 and 503 speak of the FHIR server."""
    if isinstance(error, InputError):
        return _STATUS.get(error.code, _UNUSABLE), operation_outcome(error.code, str(error), error.place)
    if isinstance(error, TransientDeliveryError):
        return 503, operation_outcome("transient", str(error))
    if isinstance(error, DeliveryError):
        return 502, operation_outcome("exception", str(error))
    return 500, operation_outcome("exception", str(error))


def of_status(status: int, diagnostics: str) -> dict[str, Any]:
    """Return the OperationOutcome of a plain HTTP error."""
    return operation_outcome(_ISSUE_TYPE.get(status, "processing"), diagnostics)
