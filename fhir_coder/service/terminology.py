"""The terminology operations of FHIR over the loaded releases: $lookup, $validate-code, $translate, $expand.

Source: https://hl7.org/fhir/R4/terminology-service.html, codesystem-operation-lookup.html,
codesystem-operation-validate-code.html, conceptmap-operation-translate.html, valueset-operation-expand.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from fhir_coder.errors import InputError
from fhir_coder.model import CODE_SYSTEMS
from fhir_coder.service.terminology_call import Call, Coded
from fhir_coder.terminology.normalise import normalise
from fhir_coder.terminology.release import MapRow, Relationship
from fhir_coder.terminology.store import ConceptStore, StoredConcept

LOOKUP = ("system", "code", "version", "coding", "date", "displayLanguage", "property")
VALIDATE_CODE = ("url", "system", "code", "version", "systemVersion", "display", "coding", "codeableConcept")
TRANSLATE = ("url", "system", "code", "version", "coding", "codeableConcept", "source", "target", "targetsystem",
             "dependency", "reverse")  # fmt: skip
EXPAND = ("url", "filter", "offset", "count", "activeOnly", "includeDesignations", "displayLanguage")

_MOST = 1_000  # concepts of an expansion
_NAMES_PER_CODE = 20  # of a concept, a filter may match several
_LONGEST_FILTER = 200  # characters
_VALUE_SET_ENDINGS = ("?fhir_vs", "/vs")  # the value set of all codes of a system, as SNOMED CT and LOINC name it
# What is no ConceptMapEquivalence of R4.
_EQUIVALENCE: Mapping[Relationship, str] = MappingProxyType(
    {"replaced-by": "equivalent", "tradename-of": "wider", "has-ingredient": "wider"}
)


def lookup(store: ConceptStore, call: Call) -> dict[str, Any]:
    """CodeSystem/$lookup: what is known of a code. Raises `InputError` when it is not in the release."""
    asked = _only(call.coded("system"))
    concept = _known(store, asked)
    if concept is None:
        raise InputError(f"the code is not in {_release(store, asked.system)}", place="code", code="not-found")
    base = store.base(concept.system)
    wanted = {str(name) for name in call.all("property")}
    properties = [
        ("inactive", "valueBoolean", concept.status == "retired"),
        *(("parent", "valueCode", parent.code) for parent in store.parents(concept)),
        *(("child", "valueCode", child.code) for child in store.children(concept)),
        *((name, "valueString", value) for name, value in store.properties(concept)),
    ]
    if concept.status == "header":
        properties.insert(1, ("notSelectable", "valueBoolean", True))
    return _parameters(
        ("name", "valueString", base.head.title if base else concept.system),
        ("version", "valueString", concept.version),
        ("display", "valueString", concept.display),
        *(("designation", "part", [("value", "valueString", text)]) for text in _designations(store, concept)),
        *(
            ("property", "part", [("code", "valueCode", name), ("value", element, value)])
            for name, element, value in properties
            if not wanted or name in wanted
        ),
    )


def validate_code(store: ConceptStore, call: Call, *, of_value_set: bool) -> dict[str, Any]:
    """CodeSystem/$validate-code and ValueSet/$validate-code: whether a code is in the release, and rightly named.

    A header is in it, and so is a retired code; the message says so.
    """
    if of_value_set:
        system = _system_of(call.require("url"))
        codes = call.coded("system")
        codes = [coded for coded in codes if coded.system == system] or codes
        if codes[0].system != system:
            return _verdict(False, f"the code is of {codes[0].system}, not of {system}", None)
    else:
        codes = call.coded("url")
    verdicts = [_validated(store, asked) for asked in codes]
    return next((verdict for verdict in verdicts if verdict["parameter"][0]["valueBoolean"]), verdicts[0])


def _validated(store: ConceptStore, asked: Coded) -> dict[str, Any]:
    concept = _known(store, asked)
    if concept is None:
        return _verdict(False, f"the code {asked.code} is not in {_release(store, asked.system)}", None)
    if asked.display and normalise(asked.display) not in {
        normalise(text) for text in (concept.display, *_designations(store, concept))
    }:
        return _verdict(False, f"the display is none of the names of {asked.code}", concept)
    notes = {"active": None, "retired": "the code is retired", "header": "the code is a header and not billable"}
    return _verdict(True, notes[concept.status], concept)


def _verdict(result: bool, message: str | None, concept: StoredConcept | None) -> dict[str, Any]:
    return _parameters(
        ("result", "valueBoolean", result),
        *([("message", "valueString", message)] if message else []),
        *(
            [("display", "valueString", concept.display), ("version", "valueString", concept.version)]
            if concept
            else []
        ),
    )


def translate(store: ConceptStore, call: Call) -> dict[str, Any]:
    """ConceptMap/$translate: where the maps lead from a code, with the rules of age and sex evaluated."""
    asked = _only(call.coded("system"))
    _known(store, asked)
    stated = call.text("targetsystem") or call.text("target")
    targets = [_system_of(stated)] if stated else [*CODE_SYSTEMS.values()]
    patient = call.patient()
    matches, messages = [], []
    for target in targets:
        matches += [_match(concept, row) for concept, row in store.mapped(asked.system, asked.code, target, patient)]
        choices = store.choices(asked.system, asked.code, target, patient)
        messages += [f"group {choice.group}: {choice.reason}" for choice in choices if choice.row is None]
    if not matches and not messages:
        messages.append("no map of the loaded releases leads from this code to the target")
    return _parameters(
        ("result", "valueBoolean", bool(matches)),
        *([("message", "valueString", "; ".join(messages))] if messages else []),
        *(("match", "part", match) for match in matches),
    )


def _match(concept: StoredConcept, row: MapRow) -> list[tuple[str, str, Any]]:
    coding = {
        "system": concept.system,
        "version": concept.version,
        "code": concept.code,
        "display": concept.display,
    }
    said = f"{row.origin}, derived" if row.derived else row.origin
    return [
        ("equivalence", "valueCode", _EQUIVALENCE.get(row.relationship, row.relationship)),
        ("concept", "valueCoding", coding),
        ("source", "valueUri", "urn:fhir-coder:map:" + normalise(said).replace(" ", "-")),
        *([("comment", "valueString", row.advice)] if row.advice else []),
    ]


def expand(store: ConceptStore, call: Call) -> dict[str, Any]:
    """ValueSet/$expand: the concepts of a code system whose names hold the beginnings of all words of the filter.

    Raises `InputError` without a filter: an expansion of everything is too costly.
    """
    url = call.require("url")
    system = _system_of(url)
    _release(store, system)
    text = call.text("filter") or ""
    if len(text) > _LONGEST_FILTER:
        raise InputError(f"the filter has at most {_LONGEST_FILTER} characters", place="filter", code="too-long")
    words = normalise(text).split()
    if not words:
        raise InputError("the code system is too large to list; give a filter", place="filter", code="too-costly")
    offset, count = call.number("offset", 0, _MOST), call.number("count", 50, _MOST)
    found = _filtered(store, system, text, offset + count + 1, active_only=call.truth("activeOnly"))
    base = store.base(system)
    return {
        "resourceType": "ValueSet",
        "url": url,
        "status": "active",
        "expansion": {
            "identifier": f"urn:uuid:{uuid4()}",
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            # How many there are in all is known when they all were looked at.
            **({"total": len(found)} if len(found) <= offset + count else {}),
            "offset": offset,
            "parameter": [
                {"name": "filter", "valueString": text},
                {"name": "version", "valueUri": f"{system}|{base.head.version if base else ''}"},
            ],
            "contains": [
                _contained(store, concept, designations=call.truth("includeDesignations"))
                for concept in found[offset : offset + count]
            ],
        },
    }


def _filtered(store: ConceptStore, system: str, text: str, wanted: int, *, active_only: bool) -> list[StoredConcept]:
    words = "".join(character if character.isalnum() else " " for character in text).split()
    match = " ".join(f'"{word}"*' for word in words)
    concepts = {name.concept.code: name.concept for name in store.containing(system, match, wanted * _NAMES_PER_CODE)}
    return [concept for concept in concepts.values() if concept.codable or not active_only]


def _contained(store: ConceptStore, concept: StoredConcept, *, designations: bool) -> dict[str, Any]:
    return {
        "system": concept.system,
        "version": concept.version,
        "code": concept.code,
        "display": concept.display,
        **({"inactive": True} if concept.status == "retired" else {}),
        **({"abstract": True} if concept.status == "header" else {}),
        **({"designation": [{"value": text} for text in _designations(store, concept)]} if designations else {}),
    }


def _designations(store: ConceptStore, concept: StoredConcept) -> list[str]:
    """Return the names of a concept besides its display; entries of an index are none."""
    names = dict.fromkeys(name.text for name in store.names_of(concept) if name.kind != "index")
    return [text for text in names if text != concept.display]


def _only(codes: list[Coded]) -> Coded:
    if len(codes) > 1:
        raise InputError("give one coding", place="codeableConcept", code="value")
    return codes[0]


def _known(store: ConceptStore, asked: Coded) -> StoredConcept | None:
    """Return the concept, or None. Raises `InputError` when the system, or this version of it, is not active."""
    release = _release(store, asked.system)
    base = store.base(asked.system)
    if asked.version and base and asked.version != base.head.version:
        raise InputError(f"this version is not active; active is {release}", place="version", code="not-found")
    return store.concept(asked.system, asked.code)


def _release(store: ConceptStore, system: str) -> str:
    base = store.base(system)
    if base is None:
        raise InputError(
            "no release of this code system is loaded; 'fhir-coder terminology info' says which are",
            place="system",
            code="not-found",
        )
    return f"{base.head.title} ({base.head.version})"


def _system_of(url: str) -> str:
    """Return the code system of an implicit value set, or of a short name."""
    for ending in _VALUE_SET_ENDINGS:
        url = url.removesuffix(ending)
    return CODE_SYSTEMS.get(url, url)


def _parameters(*parameters: tuple[str, str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [_parameter(*each) for each in parameters]}


def _parameter(name: str, element: str, value: Any) -> dict[str, Any]:
    if element == "part":
        return {"name": name, "part": [_parameter(*each) for each in value]}
    return {"name": name, element: value}
