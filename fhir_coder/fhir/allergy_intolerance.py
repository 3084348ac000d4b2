"""An allergy: https://hl7.org/fhir/R4/allergyintolerance.html, US Core 8.0."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fhir_coder.errors import TableError
from fhir_coder.fhir.elements import (
    OURS,
    US_CORE,
    Json,
    Severity,
    Source,
    coded,
    concept,
    encounter,
    fixed,
    identifier,
    meta,
    provenance_extensions,
    severities,
    subject,
    words,
)
from fhir_coder.fhir.facts import Fact, allergy_status
from fhir_coder.fhir.times import best_stated, choice
from fhir_coder.model import Entity, EntityType
from fhir_coder.tables import read_table, split

PROFILES = (US_CORE + "us-core-allergyintolerance", OURS + "coded-allergy-intolerance")

_CLINICAL = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
_CATEGORIES = frozenset({"food", "medication", "environment", "biologic"})


def allergy_intolerance(fact: Fact, source: Source) -> Json:
    """Return the AllergyIntolerance.

    It is active even where the text says "history of": an allergy does not end by having been found long ago, and
    a missed one harms. The criticality is written only where the text says that a reaction threatens life.
    """
    entity = fact.entity
    resource: Json = {
        "resourceType": "AllergyIntolerance",
        **meta(source, *PROFILES),
        "extension": provenance_extensions(source, entity.assertion, fact.spans),
        "identifier": identifier(fact.identity(source.identity)),
        "clinicalStatus": fixed(_CLINICAL, "active", "Active"),
        "verificationStatus": fixed(_VERIFICATION, "unconfirmed", "Unconfirmed"),
        "code": _code(entity),
        "patient": subject(source),
        **encounter(source),
        **choice("onset", best_stated(fact.mentions, "onset"), "onset"),
        "recordedDate": source.recorded,
    }
    if category := _category(entity):
        resource["category"] = [category]
    if fact.reactions:
        resource["reaction"] = [_reaction(each) for each in fact.reactions]
    if any((severity := _severity(each)) and severity.criticality == "high" for each in fact.reactions):
        resource["criticality"] = "high"
    return resource


def _code(entity: Entity) -> Json:
    """Return the code: of the substance, or of the allergy to it; those of any other problem say something else."""
    names_it = entity.type is EntityType.MEDICATION or allergy_status(entity) is not None
    return concept(entity) if names_it else {"text": words(entity.text)}


def _reaction(entity: Entity) -> Json:
    reaction: Json = {"manifestation": [coded(entity)]}
    stated = choice("onset", entity.attributes, "onset", periods=False)
    if "onsetDateTime" in stated:  # the element is called onset, and has this type only
        reaction["onset"] = stated["onsetDateTime"]
        reaction["_onset"] = stated["_onsetDateTime"]
    if (severity := _severity(entity)) and severity.reaction:
        reaction["severity"] = severity.reaction
    return reaction


def _severity(entity: Entity) -> Severity | None:
    return severities().get(str(entity.attributes.get("severity", "")))


def _category(entity: Entity) -> str | None:
    """Return what kind of substance it is, where that is known."""
    status = allergy_status(entity)
    if status is not None:
        return status.category or None
    return _allergens().get(
        words(entity.text).casefold(), "medication" if entity.type is EntityType.MEDICATION else None
    )


@cache
def _allergens() -> Mapping[str, str]:
    """Return the category of each allergen.

    Raises `TableError` when a category is none of FHIR's.
    """
    rows = read_table("allergen_categories.csv", ("category", "names"))
    if unknown := {row["category"] for row in rows} - _CATEGORIES:
        raise TableError(f"mappings/allergen_categories.csv: {', '.join(unknown)}: no category of FHIR")
    return {name.casefold(): row["category"] for row in rows for name in split(row["names"])}
