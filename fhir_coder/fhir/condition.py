"""A problem of the patient: https://hl7.org/fhir/R4/condition.html, US Core 8.0 problems and health concerns.

What is over is an inactive Condition with the code of the disease, not with the Z code that a claim carries in its
place (Z85.3, I25.2): a search for the disease finds it, and its status says that it is over. The Z code is among the
ranked candidates (`coding/history.py`).
"""

from __future__ import annotations

from fhir_coder.fhir.elements import (
    Json,
    Source,
    body_site,
    concept,
    encounter,
    fixed,
    identifier,
    meta,
    provenance_extensions,
    stated,
    subject,
)
from fhir_coder.fhir.facts import Fact
from fhir_coder.model import SNOMED

PROFILE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-condition-problems-health-concerns"

_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
# http://hl7.org/fhir/R4/valueset-condition-severity.html; the concepts are of the International Edition.
_SEVERITIES = {"mild": "255604002", "moderate": "6736007", "severe": "24484000"}
_RESOLVED = frozenset({"resolved"})
_CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"


def condition(fact: Fact, source: Source) -> Json:
    """Return the Condition of a problem: machine-made, so unconfirmed until a person confirms it."""
    entity = fact.entity
    resource: Json = {
        "resourceType": "Condition",
        **meta(source, PROFILE),
        "extension": provenance_extensions(source, entity.assertion, fact.spans),
        "identifier": identifier(fact.identity(source.identity)),
        "clinicalStatus": _clinical_status(fact),
        "verificationStatus": (
            fixed(_VERIFICATION, "provisional", "Provisional")
            if entity.assertion.certainty == "possible"
            else fixed(_VERIFICATION, "unconfirmed", "Unconfirmed")
        ),
        "category": [fixed(_CATEGORY, "problem-list-item", "Problem List Item")],
        "code": concept(entity),
        "subject": subject(source),
        **encounter(source),
        "recordedDate": source.recorded,
        "evidence": [{"detail": [{"reference": source.document}]}],
    }
    if severity := stated(fact.mentions, "severity"):
        resource["severity"] = _severity(severity)
    if site := body_site(entity.attributes):
        resource["bodySite"] = [{"text": site}]
    if stage := stated(fact.mentions, "stage"):
        resource["stage"] = [{"summary": {"text": stage}}]
    if onset := stated(fact.mentions, "onset"):
        resource["onsetString"] = onset
    if course := _course(fact):
        resource["note"] = [{"text": f"course: {course}"}]
    return resource


def _clinical_status(fact: Fact) -> Json:
    if fact.status == "historical":
        return fixed(_CLINICAL, "inactive", "Inactive")
    if _RESOLVED & set(_course(fact).split(", ")):
        return fixed(_CLINICAL, "resolved", "Resolved")
    return fixed(_CLINICAL, "active", "Active")


def _course(fact: Fact) -> str:
    """Return the course that the last mention tells: the plan stands behind the history."""
    return next(
        (str(each.attributes["course"]) for each in reversed(fact.mentions) if each.attributes.get("course")), ""
    )


def _severity(text: str) -> Json:
    """Return the severity in the codes of FHIR's example value set, the three that the text may name."""
    code = _SEVERITIES.get(text)
    if code is None:
        return {"text": text}
    return {"coding": [{"system": SNOMED, "code": code, "display": text.capitalize()}], "text": text}
