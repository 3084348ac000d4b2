"""An allergy: https://hl7.org/fhir/R4/allergyintolerance.html, US Core 8.0."""

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
    words,
)
from fhir_coder.fhir.facts import Fact
from fhir_coder.model import EntityType

PROFILE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-allergyintolerance"

_CLINICAL = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"


def allergy_intolerance(fact: Fact, source: Source) -> Json:
    """Return the AllergyIntolerance.

    It is active even where the text says "history of": an allergy does not end by having been found long ago, and
    a missed one harms.
    """
    entity = fact.entity
    is_medication = entity.type is EntityType.MEDICATION
    resource: Json = {
        "resourceType": "AllergyIntolerance",
        **meta(source, PROFILE),
        "extension": provenance_extensions(source, entity.assertion, fact.spans),
        "identifier": identifier(fact.identity(source.identity)),
        "clinicalStatus": fixed(_CLINICAL, "active", "Active"),
        "verificationStatus": fixed(_VERIFICATION, "unconfirmed", "Unconfirmed"),
        # The codes of anything but a medication are those of a problem, not of a substance.
        "code": concept(entity) if is_medication else {"text": words(entity.text)},
        "patient": subject(source),
        **encounter(source),
        "recordedDate": source.recorded,
    }
    if is_medication:
        resource["category"] = ["medication"]
    return resource
