"""The smoking status that a note states, as an Observation: US Core 8.0, us-core-smokingstatus.

A status for which ICD-10-CM has a code ("former smoker", Z87.891) is the Condition of that code, too. One for which it
has none ("never smoked") is no problem of the patient, and an Observation alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fhir_coder.errors import TableError
from fhir_coder.fhir.elements import (
    OBSERVATION_CATEGORY,
    US_CORE,
    Json,
    Source,
    coding,
    encounter,
    fixed,
    identifier,
    meta,
    provenance_extensions,
    subject,
    words,
)
from fhir_coder.fhir.facts import Fact
from fhir_coder.fhir.times import observed
from fhir_coder.model import ICD10CM, LOINC, SNOMED
from fhir_coder.tables import read_table

PROFILE = US_CORE + "us-core-smokingstatus"
SMOKING_STATUS = "72166-2"
"""The LOINC code that the profile names, whatever release is loaded."""


def states_smoking(fact: Fact) -> bool:
    """Tell whether the note says that this is the patient's smoking status: "history of smoking" is of the past."""
    chosen = fact.entity.coding(SNOMED)
    when = _statuses().get(chosen.code) if chosen and fact.kind == "Condition" else None
    return when is not None and (fact.status == "present" or (fact.status == "historical" and when == "past"))


def is_status_alone(fact: Fact) -> bool:
    """Tell whether what the note states is a smoking status and no problem of the patient."""
    return states_smoking(fact) and fact.entity.coding(ICD10CM) is None


def smoking_status(fact: Fact, source: Source, identity: str) -> Json:
    """Return the Observation. The profile is claimed where the note has a date and is not preliminary."""
    chosen = fact.entity.coding(SNOMED)
    met = () if source.preliminary or not source.date else (PROFILE,)
    return {
        "resourceType": "Observation",
        **meta(source, *met),
        "extension": provenance_extensions(source, fact.entity.assertion, fact.spans),
        "identifier": identifier(identity),
        "status": "preliminary" if source.preliminary else "final",
        "category": [fixed(OBSERVATION_CATEGORY, "social-history", "Social History")],
        "code": fixed(LOINC, SMOKING_STATUS, "Tobacco smoking status"),
        "subject": subject(source),
        **encounter(source),
        **observed({}, source.date, is_historical=False),
        "valueCodeableConcept": {"coding": [coding(chosen)] if chosen else [], "text": words(fact.entity.text)},
        "derivedFrom": [{"reference": source.document}],
    }


@cache
def _statuses() -> Mapping[str, str]:
    """Return when each concept of SNOMED CT is the status: "now", or "past" where it tells of an earlier time."""
    rows = read_table("fhir/smoking_statuses.csv", ("snomed", "display", "when"))
    for row in rows:
        if row["when"] not in ("now", "past"):
            raise TableError(f"mappings/fhir/smoking_statuses.csv: {row['snomed']}: when must be now or past")
    return {row["snomed"]: row["when"] for row in rows}
