"""A test result or vital sign: https://hl7.org/fhir/R4/observation.html, US Core 8.0 lab and vital-sign profiles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import cache
from typing import Any

from fhir_coder.fhir.elements import (
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
    unknown,
    words,
)
from fhir_coder.fhir.facts import Fact
from fhir_coder.model import LOINC, Entity, EntityType
from fhir_coder.tables import read_table

_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
# Within the few words of a stated time.
_DATE = re.compile(r"\b(\d{1,2})/(\d{1,2})(?:/(\d{2}|\d{4}))?\b", re.ASCII)
_ISO_DATE = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b", re.ASCII)
_DAY_BEFORE = re.compile(r"yesterday|last night", re.IGNORECASE)
_SAME_DAY = re.compile(r"today|tonight|this|^at \d", re.IGNORECASE)
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
        "category": [fixed(_CATEGORY, _category(entity), _CATEGORIES[_category(entity)])],
        "code": code,
        "subject": subject(source),
        **encounter(source),
        **value,
        "derivedFrom": [{"reference": source.document}],
    }
    if code_ := given.get("interpretation"):
        resource["interpretation"] = [fixed(_INTERPRETATION, code_, _interpretations()[code_])]
    if range_ := given.get("reference_range"):
        resource["referenceRange"] = [_reference_range(range_, given)]
    if notes := list(_notes(given)):
        resource["note"] = [{"text": words("; ".join(notes))}]
    moment = _effective(given.get("time"), source.date)
    if moment and fact.status != "historical":
        resource["effectiveDateTime"] = moment
    else:  # a value of an earlier time, or of a note without a date
        resource["_effectiveDateTime"] = {"extension": unknown()}
    return resource


def _effective(stated: str | None, note_date: str | None) -> str | None:
    """Return when a test was made: the date that the text states, the note's where it states none or only an hour.

    A day that is told by the note's own ("yesterday", "on 3/4") is reckoned from it; without one it is not known.
    """
    if stated is None:
        return note_date
    found = _DATE.search(stated)
    day = date.fromisoformat(note_date[:10]) if note_date else None
    if found:
        month, number, year = (int(found.group(each) or 0) for each in (1, 2, 3))
        return _day(year, month, number, day)
    if iso := _ISO_DATE.search(stated):
        return _day(int(iso.group(1)), int(iso.group(2)), int(iso.group(3)), day)
    if day is None:
        return None
    if _DAY_BEFORE.search(stated):
        return (day - timedelta(days=1)).isoformat()
    return day.isoformat() if _SAME_DAY.search(stated) else None


def _day(year: int, month: int, day: int, note_day: date | None) -> str | None:
    """Return a date; without a year the last such day before the note's."""
    try:
        if year:
            return date(year + 2000 if year < 100 else year, month, day).isoformat()
        if note_day is None:
            return None
        this_year = date(note_day.year, month, day)
        return (this_year if this_year <= note_day else date(note_day.year - 1, month, day)).isoformat()
    except ValueError:
        return None


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
    loinc = fact.entity.coding(LOINC)
    if loinc is None:
        return []
    if _category(fact.entity) == "laboratory":
        return [] if is_panel else [_US_CORE + "us-core-observation-lab"]
    if is_panel:
        return [_US_CORE + "us-core-blood-pressure"]
    profile, units = _VITAL_SIGNS.get(loinc.code, ("", frozenset()))
    measured = fact.entity.attributes.get("value") is not None
    return [_US_CORE + profile] if measured and fact.entity.attributes.get("unit") in units else []


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
