"""A test result or vital sign: https://hl7.org/fhir/R4/observation.html, US Core 8.0 lab and vital-sign profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from fhir_coder.fhir.elements import (
    OBSERVATION_CATEGORY,
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
    quantity,
    subject,
    words,
)
from fhir_coder.fhir.facts import Fact
from fhir_coder.fhir.times import observed
from fhir_coder.model import LOINC, Entity, EntityType
from fhir_coder.tables import read_table

_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_CATEGORIES = {
    "activity": "Activity",
    "exam": "Exam",
    "imaging": "Imaging",
    "laboratory": "Laboratory",
    "procedure": "Procedure",
    "social-history": "Social History",
    "survey": "Survey",
    "therapy": "Therapy",
    "vital-signs": "Vital Signs",
}

_BLOOD_PRESSURE = ("85354-9", "Blood pressure panel with all children optional")
_SYSTOLIC = ("8480-6", "Systolic blood pressure")
_DIASTOLIC = ("8462-4", "Diastolic blood pressure")
_PULSE_OXIMETRY = "59408-5"
_OXYGEN_SATURATION = ("2708-6", "Oxygen saturation in Arterial blood")

# LOINC code of a vital sign: its US Core profile and the UCUM units that the profile allows.
_VITAL_SIGNS: Mapping[str, tuple[str, frozenset[str]]] = {
    "8867-4": ("us-core-heart-rate", frozenset({"/min"})),
    "9279-1": ("us-core-respiratory-rate", frozenset({"/min"})),
    "8310-5": ("us-core-body-temperature", frozenset({"Cel", "[degF]"})),
    _PULSE_OXIMETRY: ("us-core-pulse-oximetry", frozenset({"%"})),
    "29463-7": ("us-core-body-weight", frozenset({"g", "kg", "[lb_av]"})),
    "8302-2": ("us-core-body-height", frozenset({"cm", "[in_i]"})),
    "39156-5": ("us-core-bmi", frozenset({"kg/m2"})),
    "9843-4": ("us-core-head-circumference", frozenset({"cm", "[in_i]"})),
}


def observation(fact: Fact, source: Source) -> Json:
    """Return the Observation of a test that has a value."""
    entity = fact.entity
    given = entity.attributes
    is_panel = given.get("systolic") is not None and given.get("diastolic") is not None
    code, value = (_panel_code(fact), _components(fact)) if is_panel else (_code(fact), _value(given))
    resource: Json = {
        "resourceType": "Observation",
        **meta(source, *_profiles(fact, is_panel)),
        "extension": provenance_extensions(source, entity.assertion, fact.spans),
        "identifier": identifier(fact.identity(source.identity)),
        "status": "preliminary" if source.preliminary or fact.status == "possible" else "final",
        "category": [fixed(OBSERVATION_CATEGORY, _category(entity), _CATEGORIES[_category(entity)])],
        "code": code,
        "subject": subject(source),
        **encounter(source),
        # Of a value of an earlier time, or of a note without a date, the time is not known.
        **observed(given, source.date, fact.status == "historical"),
        **value,
        "derivedFrom": [{"reference": source.document}],
    }
    if code_ := given.get("interpretation"):
        resource["interpretation"] = [fixed(_INTERPRETATION, code_, _interpretations()[code_])]
    if range_ := given.get("reference_range"):
        resource["referenceRange"] = [_reference_range(range_, given)]
    if notes := list(_notes(given)):
        resource["note"] = [{"text": words("; ".join(notes))}]
    return resource


def _notes(given: Mapping[str, Any]) -> Iterator[str]:
    if (previous := given.get("previous_value")) is not None:
        yield f"earlier value: {previous}"
    if stated := given.get("time"):
        yield f"time: {stated}"


def _reference_range(stated: Mapping[str, Any], given: Mapping[str, Any]) -> Json:
    """Return the range in the unit of the value; low, high or text must be there (obs-3)."""
    unit, text = given.get("unit"), given.get("unit_text")
    limits: Json = {
        name: quantity(stated[name], unit, text) for name in ("low", "high") if stated.get(name) is not None
    }
    return limits | {"text": words(str(stated["text"]))}


@cache
def _interpretations() -> Mapping[str, str]:
    """Return the display of each interpretation code."""
    rows = read_table("interpretations.csv", ("code", "display", "place", "names"))
    return {row["code"]: row["display"] for row in rows}


def _category(entity: Entity) -> str:
    """Return the category that the terminology gives the test; what is not coded goes by its type."""
    stated = entity.attributes.get("category")
    if stated in _CATEGORIES:
        return str(stated)
    return "vital-signs" if entity.type is EntityType.VITAL_SIGN else "laboratory"


def _profiles(fact: Fact, is_panel: bool) -> list[str]:
    """Return the profiles that the Observation meets: the closest of US Core, and ours."""
    entity = fact.entity
    if _category(entity) == "laboratory":
        return [US_CORE + "us-core-observation-lab", OURS + "coded-laboratory-observation"]
    if _category(entity) != "vital-signs":
        return []
    if is_panel:
        closest = "us-core-blood-pressure" if entity.coding(LOINC) else ""
    else:
        loinc = entity.coding(LOINC)
        closest, units = _VITAL_SIGNS.get(loinc.code if loinc else "", ("", frozenset()))
        if entity.attributes.get("value") is None or entity.attributes.get("unit") not in units:
            closest = ""
    return [US_CORE + (closest or "us-core-vital-signs"), OURS + "coded-vital-sign"]


def _code(fact: Fact) -> Json:
    code = concept(fact.entity)
    loinc = fact.entity.coding(LOINC)
    if loinc and loinc.code == _PULSE_OXIMETRY and fact.entity.type is EntityType.VITAL_SIGN:
        # The profile asks for the code of the quantity beside that of the method.
        code["coding"].append(_loinc(*_OXYGEN_SATURATION, loinc.version))
    return code


def _panel_code(fact: Fact) -> Json:
    """Return the code of the panel: two components make a panel, whatever single code was chosen."""
    code = concept(fact.entity)
    if loinc := fact.entity.coding(LOINC):
        others = [each for each in code["coding"] if each["system"] != LOINC]
        code["coding"] = [_loinc(*_BLOOD_PRESSURE, loinc.version), *others]
    return code


def _components(fact: Fact) -> Json:
    given, loinc = fact.entity.attributes, fact.entity.coding(LOINC)
    components = []
    for name, (code, display) in (("systolic", _SYSTOLIC), ("diastolic", _DIASTOLIC)):
        concept_: Json = {"coding": [_loinc(code, display, loinc.version)]} if loinc else {}
        concept_["text"] = display
        components.append({"code": concept_, "valueQuantity": quantity(given[name], "mm[Hg]", "mmHg")})
    return {"component": components}


def _value(given: Mapping[str, Any]) -> Json:
    if given.get("value") is not None:
        unit, text = given.get("unit"), given.get("unit_text")
        return {"valueQuantity": quantity(given["value"], unit, text, given.get("comparator"))}
    return {"valueCodeableConcept": {"text": words(str(given["value_text"]))}}


def _loinc(code: str, display: str, version: str) -> Json:
    return {"system": LOINC, "version": version, "code": code, "display": display}
