"""Elements that several resources share, as plain dicts.

Sources: https://hl7.org/fhir/R4/datatypes.html, https://hl7.org/fhir/R4/extensibility.html and the extensions
pack (derivation-reference, data-absent-reason).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from fhir_coder.fhir.identity import IDENTIFIER_SYSTEM
from fhir_coder.fhir.units import ucum
from fhir_coder.model import CODE_SYSTEMS, SNOMED, UCUM, Assertion, Coding, Entity
from fhir_coder.tables import read_table

Json = dict[str, Any]

DERIVATION = "http://hl7.org/fhir/StructureDefinition/derivation-reference"
CANDIDATE = "http://fhir-coder.org/fhir/StructureDefinition/coding-candidates"
ASSERTION = "http://fhir-coder.org/fhir/StructureDefinition/assertion"

# Profiles of ours (profiles/) and of the guides that they are derived from.
OURS = "http://fhir-coder.org/fhir/StructureDefinition/"
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
IPS = "http://hl7.org/fhir/uv/ips/StructureDefinition/"

OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"

_INTERNATIONAL = "http://snomed.info/sct/900000000000207008"  # the International Edition, in any version

# The text may be inline or behind a url, hence the attachment and not its `data`.
SOURCE_PATH = "DocumentReference.content.attachment"

AI_ASSERTED: Mapping[str, str] = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}

_EMITTED = frozenset(CODE_SYSTEMS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What all resources of one note share."""

    identity: str
    document: str  # reference of the DocumentReference
    subject: str | None
    encounter: str | None
    date: str | None  # FHIR dateTime of the note
    recorded: str  # FHIR instant
    preliminary: bool
    ai_security_label: bool


def unknown() -> list[Json]:
    """Return the extension list that says a value is not known (data-absent-reason)."""
    return [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]


def subject(source: Source) -> Json:
    """Return the reference to the patient; never a guessed one."""
    return {"reference": source.subject} if source.subject else {"extension": unknown()}


def encounter(source: Source, element: str = "encounter") -> Json:
    """Return the element that refers to the encounter, or nothing."""
    return {element: {"reference": source.encounter}} if source.encounter else {}


def date_time(value: datetime) -> str:
    """Return a FHIR dateTime. Without a zone only the day is sure, so only the day is written."""
    return value.date().isoformat() if value.tzinfo is None else value.isoformat(timespec="seconds")


def meta(source: Source, *profiles: str) -> Json:
    """Return `{"meta": ...}`, or nothing when there is nothing to say. Without a subject no profile is met."""
    content: Json = {}
    if profiles and source.subject:
        content["profile"] = list(profiles)
    if source.ai_security_label:
        content["security"] = [dict(AI_ASSERTED)]
    return {"meta": content} if content else {}


def identifier(value: str) -> list[Json]:
    """Return the identifier list of a derived resource."""
    return [{"system": IDENTIFIER_SYSTEM, "value": value}]


def fixed(system: str, code: str, display: str) -> Json:
    """Return a CodeableConcept of one code that FHIR itself defines."""
    return {"coding": [{"system": system, "code": code, "display": display}]}


def best_codings(entity: Entity) -> list[Coding]:
    """Return the best coding of each system that may be emitted, in the order in which the systems were chosen."""
    best: dict[str, Coding] = {}
    for coding in entity.codings:
        if coding.system in _EMITTED and (coding.system not in best or coding.score > best[coding.system].score):
            best[coding.system] = coding
    return list(best.values())


def coding(chosen: Coding) -> Json:
    """Return a Coding with the release it came from."""
    return {"system": chosen.system, "version": chosen.version, "code": chosen.code, "display": chosen.display}


def concept(entity: Entity) -> Json:
    """Return the CodeableConcept of an entity: the best coding per system, the words, the ranked candidates.

    An entity without a chosen coding has its words only.
    """
    chosen = best_codings(entity)
    result: Json = {}
    if candidates := _candidates(entity, {(each.system, each.code) for each in chosen}):
        result["extension"] = candidates
    if chosen:
        result["coding"] = [coding(each) for each in chosen]
    result["text"] = words(entity.text)
    return result


def coded(entity: Entity) -> Json:
    """Return the CodeableConcept of an entity beside the one that a resource is about: without the candidates."""
    chosen = [coding(each) for each in best_codings(entity)]
    return ({"coding": chosen} if chosen else {}) | {"text": words(entity.text)}


def snomed(code: str, display: str) -> Json:
    """Return a Coding of a concept of the International Edition that a table of ours names, whatever is loaded."""
    return {"system": SNOMED, "version": _INTERNATIONAL, "code": code, "display": display}


def site_concept(attributes: Mapping[str, Any]) -> Json:
    """Return the CodeableConcept of a body site: its words, and a code where the site has one; empty without a site."""
    text = body_site(attributes)
    if not text:
        return {}
    known = _sites().get(str(attributes.get("body_site", "")).casefold())
    return ({"coding": [snomed(*known)]} if known else {}) | {"text": text}


def site_of(mentions: Iterable[Entity]) -> Json:
    """Return the CodeableConcept of the body site that the first mention states; empty when none does."""
    return next((site for each in mentions if (site := site_concept(each.attributes))), {})


@cache
def _sites() -> Mapping[str, tuple[str, str]]:
    rows = read_table("body_site_codes.csv", ("site", "snomed", "display"))
    return {row["site"].casefold(): (row["snomed"], row["display"]) for row in rows}


@dataclass(frozen=True, slots=True)
class Severity:
    """A severity as the codes of several resources; empty where there is none."""

    code: str
    display: str
    reaction: str  # https://hl7.org/fhir/R4/valueset-reaction-event-severity.html
    criticality: str  # https://hl7.org/fhir/R4/valueset-allergy-intolerance-criticality.html


@cache
def severities() -> Mapping[str, Severity]:
    """Return the severities of `mappings/severities.csv` by name."""
    rows = read_table("severities.csv", ("name", "snomed", "display", "reaction", "criticality"))
    return {row["name"]: Severity(row["snomed"], row["display"], row["reaction"], row["criticality"]) for row in rows}


def body_site(attributes: Mapping[str, Any]) -> str:
    """Return the body site of a problem or device with its side: "left knee"; empty when none is told."""
    told = (attributes.get("laterality"), attributes.get("body_site"))
    return " ".join(words(str(each)) for each in told if each)


def stated(mentions: Iterable[Entity], attribute: str) -> str:
    """Return an attribute of the first mention that has it, on one line; empty when none has."""
    return next((words(str(each.attributes[attribute])) for each in mentions if each.attributes.get(attribute)), "")


def words(text: str) -> str:
    """Return text on one line without outer white space, as the FHIR type string wants it."""
    return " ".join(text.split())


def quantity(value: float, code: str | None, unit: str | None = None, comparator: str | None = None) -> Json:
    """Return a Quantity; the UCUM code and its system only when the unit is one of UCUM."""
    result: Json = {"value": value}
    if comparator:
        result["comparator"] = comparator
    if unit or code:
        result["unit"] = unit or code
    if known := ucum(code):
        result |= {"system": UCUM, "code": known}
    return result


def provenance_extensions(source: Source, assertion: Assertion, spans: Iterable[tuple[int, int]]) -> list[Json]:
    """Return the extensions of a derived resource: what the text says, and where it says so."""
    return [_assertion(assertion), *(_derivation(source.document, start, end) for start, end in spans)]


def _assertion(assertion: Assertion) -> Json:
    return {
        "url": ASSERTION,
        "extension": [
            {"url": "negated", "valueBoolean": assertion.negated},
            {"url": "certainty", "valueCode": assertion.certainty},
            {"url": "temporality", "valueCode": assertion.temporality},
            {"url": "experiencer", "valueCode": assertion.experiencer},
        ],
    }


def _derivation(document: str, start: int, end: int) -> Json:
    return {
        "url": DERIVATION,
        "extension": [
            {"url": "reference", "valueReference": {"reference": document}},
            {"url": "path", "valueString": SOURCE_PATH},
            {"url": "offset", "valueInteger": start},
            {"url": "length", "valueInteger": end - start},
        ],
    }


def _candidates(entity: Entity, chosen: set[tuple[str, str]]) -> list[Json]:
    return [
        {
            "url": CANDIDATE,
            "extension": [
                {"url": "system", "valueUri": each.system},
                {"url": "version", "valueString": each.version},
                {"url": "code", "valueCode": each.code},
                {"url": "display", "valueString": each.display},
                {"url": "score", "valueDecimal": round(float(each.score), 4)},
                {"url": "stage", "valueCode": each.stage},
                {"url": "chosen", "valueBoolean": (each.system, each.code) in chosen},
            ],
        }
        for each in entity.candidates
        if each.system in _EMITTED and each.code
    ]
