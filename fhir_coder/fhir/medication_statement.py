"""A medication: https://hl7.org/fhir/R4/medicationstatement.html and the International Patient Summary 1.1.

The structured dosage follows https://hl7.org/fhir/R4/dosage.html; `Dosage.text` keeps the words as written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from fhir_coder.fhir.elements import (
    IPS,
    OURS,
    Json,
    Source,
    coded,
    concept,
    encounter,
    identifier,
    meta,
    provenance_extensions,
    quantity,
    snomed,
    subject,
    words,
)
from fhir_coder.fhir.facts import Fact, Status
from fhir_coder.fhir.times import during
from fhir_coder.model import Entity
from fhir_coder.tables import read_table, split

PROFILES = (IPS + "MedicationStatement-uv-ips", OURS + "coded-medication-statement")

_BY_STATUS: Mapping[Status, str] = {
    "present": "active",
    "possible": "unknown",
    "historical": "completed",
    "hypothetical": "intended",
}
_BY_ACTION: Mapping[str, str] = {"stop": "stopped", "hold": "on-hold"}
# One who plans to go on with a medication takes it; one who plans to stop it may have stopped when this is read.
_BY_PLANNED_ACTION: Mapping[str, str] = {
    "continue": "active",
    "increase": "active",
    "decrease": "active",
    "stop": "unknown",
    "hold": "unknown",
}

_DOSAGE = (
    "dose",
    "dose_high",
    "unit",
    "ucum",
    "form",
    "route",
    "frequency",
    "timing",
    "duration_value",
    "duration_unit",
    "as_needed",
    "reason",
    "max_per_day",
    "sig",
)
# Two mentions that differ in one of these give two dosages.
_TELLING = frozenset({"dose", "dose_high", "unit", "route", "timing"})

Given = dict[str, Any]


def medication_statement(fact: Fact, source: Source) -> Json:
    """Return the MedicationStatement of a medication, without the reasons (`with_reasons`)."""
    resource: Json = {
        "resourceType": "MedicationStatement",
        **meta(source, *PROFILES),
        "extension": provenance_extensions(source, fact.entity.assertion, fact.spans),
        "identifier": identifier(fact.identity(source.identity)),
        "status": _status(fact),
        "medicationCodeableConcept": concept(fact.entity),
        "subject": subject(source),
        **encounter(source, "context"),
        # A note rarely says since when; the profile asks for the element, so it then says that nobody knows.
        **during("effective", fact.mentions),
        "derivedFrom": [{"reference": source.document}],
    }
    if source.date:
        resource["dateAsserted"] = source.date
    if dosages := [dosage for given in _given_dosages(fact.mentions) if (dosage := _dosage(given))]:
        resource["dosage"] = dosages
    return resource


def with_reasons(statement: Json, conditions: Sequence[str], problems: Sequence[Entity]) -> Json:
    """Return a MedicationStatement with what the medication is taken for.

    `conditions` are references of Conditions, `problems` what is written as no Condition: in words and codes.
    """
    reasons: Json = {}
    if problems:
        reasons["reasonCode"] = [coded(each) for each in problems]
    if conditions:
        reasons["reasonReference"] = [{"reference": each} for each in conditions]
    return statement | reasons


def _status(fact: Fact) -> str:
    # The plan stands after the history, so the last action in the text is the one that holds.
    told = sorted(fact.mentions + fact.absorbed, key=lambda entity: entity.start)
    action = next((str(each.attributes["action"]) for each in reversed(told) if each.attributes.get("action")), "")
    if fact.status == "hypothetical":
        return _BY_PLANNED_ACTION.get(action, _BY_STATUS[fact.status])
    if fact.status == "possible":
        return _BY_STATUS[fact.status]
    return _BY_ACTION.get(action, _BY_STATUS[fact.status])


def _given_dosages(mentions: Sequence[Entity]) -> list[Given]:
    """Return the dosages that the mentions give; mentions that complete each other give one."""
    changes = [i for i, each in enumerate(mentions) if each.attributes.get("action") in {"increase", "decrease"}]
    # "on 10 mg ... increase to 20 mg": what stands before the last change no longer holds.
    dosages: list[Given] = []
    for mention in mentions[changes[-1] if changes else 0 :]:
        given = {name: mention.attributes[name] for name in _DOSAGE if mention.attributes.get(name)}
        if given:
            _add(given, dosages)
    return dosages


def _add(given: Given, dosages: list[Given]) -> None:
    for known in dosages:
        if all(known.get(name, value) == value for name, value in given.items() if name in _TELLING):
            sigs = [each["sig"] for each in (known, given) if "sig" in each]
            known |= {name: value for name, value in given.items() if name not in known}
            if sigs:
                known["sig"] = "; ".join(dict.fromkeys(sigs))
            return
    dosages.append(given)


def _dosage(given: Given) -> Json:
    """Return the Dosage; empty when only pieces that mean nothing alone (a form, a unit) are given."""
    dosage: Json = {}
    if "sig" in given:
        dosage["text"] = words(given["sig"])
    if timing := _timing(given):
        dosage["timing"] = timing
    if "reason" in given:
        dosage["asNeededCodeableConcept"] = {"text": words(given["reason"])}
    elif given.get("as_needed") is True:
        dosage["asNeededBoolean"] = True
    if "route" in given:
        dosage["route"] = _route(given["route"])
    if "dose" in given and given.get("dose_high", given["dose"]) >= given["dose"]:
        # "20-10 mg" is no range (rng-2): a taper, or two strengths. The words tell.
        dosage["doseAndRate"] = [_dose(given)]
    if most := given.get("max_per_day"):
        dosage["maxDosePerPeriod"] = {
            "numerator": quantity(most["value"], most["ucum"], most["unit"]),
            "denominator": quantity(1, "d", "day"),
        }
    return dosage


def _timing(given: Given) -> Json:
    repeat = dict(given.get("timing", {}))
    if "duration_value" in given and "duration_unit" in given:
        repeat["boundsDuration"] = quantity(given["duration_value"], given["duration_unit"])
    timing: Json = {"repeat": repeat} if repeat else {}
    if "frequency" in given:
        timing["code"] = {"text": words(given["frequency"])}
    return timing


def _dose(given: Given) -> Json:
    unit, ucum = given.get("unit") or given.get("form"), given.get("ucum")
    low = quantity(given["dose"], ucum, unit)
    if "dose_high" not in given:
        return {"doseQuantity": low}
    return {"doseRange": {"low": low, "high": quantity(given["dose_high"], ucum, unit)}}


def _route(name: str) -> Json:
    known = _routes().get(name.casefold())
    if known is None:
        return {"text": name}
    code, display = known
    return {"coding": [snomed(code, display)], "text": name}


@cache
def _routes() -> dict[str, tuple[str, str]]:
    rows = read_table("medication_routes.csv", ("route", "names", "snomed", "display"))
    return {
        name.casefold(): (row["snomed"], row["display"])
        for row in rows
        if row["snomed"]
        for name in (row["route"], *split(row["names"]))
    }
