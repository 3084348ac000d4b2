"""A problem of the patient: https://hl7.org/fhir/R4/condition.html, US Core 8.0 problems and health concerns."""

from __future__ import annotations

from fhir_coder.fhir.elements import (
    Json,
    Source,
    concept,
    encounter,
    fixed,
    identifier,
    meta,
    provenance_extensions,
    subject,
)
from fhir_coder.fhir.facts import Fact

PROFILE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-condition-problems-health-concerns"

_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"


def condition(fact: Fact, source: Source) -> Json:
    """Return the Condition of a problem: machine-made, so unconfirmed until a person confirms it."""
    entity = fact.entity
    resource: Json = {
        "resourceType": "Condition",
        **meta(source, PROFILE),
        "extension": provenance_extensions(source, entity.assertion, fact.spans),
        "identifier": identifier(fact.identity(source.identity)),
        "clinicalStatus": (
            fixed(_CLINICAL, "inactive", "Inactive")
            if fact.status == "historical"
            else fixed(_CLINICAL, "active", "Active")
        ),
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
    severity = next((each.attributes["severity"] for each in fact.mentions if each.attributes.get("severity")), None)
    if severity:
        resource["severity"] = {"text": severity}
    if laterality := entity.attributes.get("laterality"):
        resource["bodySite"] = [{"text": laterality}]
    return resource
