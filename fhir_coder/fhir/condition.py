"""A problem of the patient: https://hl7.org/fhir/R4/condition.html, US Core 8.0.

It is a diagnosis of the encounter where the encounter is known and the note assesses it, and an item of the problem
list otherwise.

What is over is an inactive Condition with the code of the disease, not with the Z code that a claim carries in its
place (Z85.3, I25.2): a search for the disease finds it, and its status says that it is over. The Z code is among the
ranked candidates (`coding/history.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_coder.fhir.elements import (
    OURS,
    US_CORE,
    Json,
    Source,
    concept,
    encounter,
    fixed,
    identifier,
    meta,
    provenance_extensions,
    severities,
    site_of,
    snomed,
    stated,
    subject,
)
from fhir_coder.fhir.facts import Fact
from fhir_coder.fhir.times import best_stated, choice

PROBLEM_LIST_ITEM = (US_CORE + "us-core-condition-problems-health-concerns", OURS + "coded-problem-list-item")
ENCOUNTER_DIAGNOSIS = (US_CORE + "us-core-condition-encounter-diagnosis", OURS + "coded-encounter-diagnosis")

_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
# Where a note says what its encounter was about, and where it lists what the patient has anyway.
_ASSESSING = frozenset({"assessment_plan", "diagnoses", "differential_diagnosis"})
_LISTING = frozenset({"problem_list", "past_medical_history"})
_CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"


def condition(fact: Fact, source: Source) -> Json:
    """Return the Condition of a problem: machine-made, so unconfirmed until a person confirms it."""
    entity = fact.entity
    diagnosed = source.encounter is not None and _is_diagnosis(fact)
    abated = _abated(fact)
    resource: Json = {
        "resourceType": "Condition",
        **meta(source, *(ENCOUNTER_DIAGNOSIS if diagnosed else PROBLEM_LIST_ITEM)),
        "extension": provenance_extensions(source, entity.assertion, fact.spans),
        "identifier": identifier(fact.identity(source.identity)),
        "clinicalStatus": _clinical_status(fact, bool(abated)),
        "verificationStatus": (
            fixed(_VERIFICATION, "provisional", "Provisional")
            if entity.assertion.certainty == "possible"
            else fixed(_VERIFICATION, "unconfirmed", "Unconfirmed")
        ),
        "category": [
            fixed(_CATEGORY, "encounter-diagnosis", "Encounter Diagnosis")
            if diagnosed
            else fixed(_CATEGORY, "problem-list-item", "Problem List Item")
        ],
        "code": concept(entity),
        "subject": subject(source),
        **encounter(source),
        **choice("onset", best_stated(fact.mentions, "onset"), "onset"),
        **choice("abatement", abated, "abatement"),
        "recordedDate": source.recorded,
        "evidence": [{"detail": [{"reference": source.document}]}],
    }
    if severity := stated(fact.mentions, "severity"):
        resource["severity"] = _severity(severity)
    if site := site_of(fact.mentions):
        resource["bodySite"] = [site]
    if stage := stated(fact.mentions, "stage"):
        resource["stage"] = [{"summary": {"text": stage}}]
    if course := _course(fact):
        resource["note"] = [{"text": f"course: {course}"}]
    return resource


def _is_diagnosis(fact: Fact) -> bool:
    """Tell whether a problem is a diagnosis of the encounter: assessed there, and on no list of what was known before.

    What is over is on the list, not a diagnosis of this encounter.
    """
    sections = {mention.section for mention in fact.mentions + fact.absorbed}
    return fact.status != "historical" and bool(_ASSESSING & sections) and not _LISTING & sections


def _abated(fact: Fact) -> Mapping[str, Any]:
    """Return the attributes of the mention that says when the problem ended; empty where it goes on or came back.

    The plan stands behind the history, so the last mention tells how things are.
    """
    last = max(fact.mentions + fact.absorbed, key=lambda each: each.start).attributes
    if last.get("abatement"):
        return last
    return best_stated(fact.mentions, "abatement") if fact.status == "historical" else {}


def _clinical_status(fact: Fact, has_abated: bool) -> Json:
    """Return the clinical status; one with an abatement is no longer active (con-4)."""
    course = set(_course(fact).split(", "))
    if "in remission" in course:
        return fixed(_CLINICAL, "remission", "Remission")
    if has_abated or ("resolved" in course and fact.status != "historical"):
        return fixed(_CLINICAL, "resolved", "Resolved")
    if fact.status == "historical":
        return fixed(_CLINICAL, "inactive", "Inactive")
    return fixed(_CLINICAL, "active", "Active")


def _course(fact: Fact) -> str:
    """Return the course that the last mention tells: the plan stands behind the history."""
    return next(
        (str(each.attributes["course"]) for each in reversed(fact.mentions) if each.attributes.get("course")), ""
    )


def _severity(text: str) -> Json:
    """Return the severity with its code, where the table has one: https://hl7.org/fhir/R4/valueset-condition-severity.html."""
    known = severities().get(text)
    return ({"coding": [snomed(known.code, known.display)]} if known else {}) | {"text": text}
