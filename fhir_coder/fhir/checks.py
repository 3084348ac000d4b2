"""The last look at a Bundle before it leaves.

`fhirkit` checks the structure (elements, types, cardinality) of R4. It knows neither value sets nor invariants nor
reference targets, so those that our resources can break are checked here by tables. Profiles are proven against a
server in the tests; a profile of `meta.profile` is not checked here.

Nine tenths of a Bundle are our own extensions, each of one fixed shape. They are checked here and kept from `fhirkit`,
which would spend several times the budget of a note on them.

Messages name resource, element and rule, never a value: values come from the note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import fhirkit
import orjson

from fhir_coder.errors import ConformanceError
from fhir_coder.fhir.elements import ASSERTION, CANDIDATE, DERIVATION
from fhir_coder.fhir.identity import IDENTIFIER_SYSTEM

Json = Mapping[str, Any]
Problem = tuple[str, str]  # element, what is wrong

_HL7 = "http://terminology.hl7.org/CodeSystem/"
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_EMPTY = (b"{}", b"[]", b'""', b"null")  # what ele-1 forbids, as it looks in JSON
# "Patient/7", with or without a server and a version, or the conditional "Patient?identifier=..." of a transaction.
_REFERENCE = re.compile(
    r"(?:.*/)?(?P<type>[A-Z][A-Za-z]+)(?:/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?|\?.+)", re.DOTALL
)

# Elements of type `code` with a required binding.
_CODES: Mapping[tuple[str, str], frozenset[str]] = {
    (resource_type, element): frozenset(codes.split())
    for resource_type, element, codes in (
        (
            "MedicationStatement",
            "status",
            "active completed entered-in-error intended stopped on-hold unknown not-taken",
        ),
        (
            "Observation",
            "status",
            "registered preliminary final amended corrected cancelled entered-in-error unknown",
        ),
        ("Device", "status", "active inactive entered-in-error unknown"),
        ("FamilyMemberHistory", "status", "partial completed entered-in-error health-unknown"),
        ("DocumentReference", "status", "current superseded entered-in-error"),
        ("DocumentReference", "docStatus", "preliminary final amended entered-in-error"),
        ("AllergyIntolerance", "type", "allergy intolerance"),
        ("AllergyIntolerance", "category", "food medication environment biologic"),
        ("AllergyIntolerance", "criticality", "low high unable-to-assess"),
    )
}

# CodeableConcepts with a required binding: the system and its codes.
_CONCEPTS: Mapping[tuple[str, str], tuple[str, frozenset[str]]] = {
    (resource_type, element): (_HL7 + system, frozenset(codes.split()))
    for resource_type, element, system, codes in (
        ("Condition", "clinicalStatus", "condition-clinical", "active recurrence relapse inactive remission resolved"),
        (
            "Condition",
            "verificationStatus",
            "condition-ver-status",
            "unconfirmed provisional differential confirmed refuted entered-in-error",
        ),
        ("AllergyIntolerance", "clinicalStatus", "allergyintolerance-clinical", "active inactive resolved"),
        (
            "AllergyIntolerance",
            "verificationStatus",
            "allergyintolerance-verification",
            "unconfirmed confirmed refuted entered-in-error",
        ),
    )
}

# Types to which a reference may point; what is not listed may point anywhere.
_PERSON = frozenset({"Patient", "Group"})
_TARGETS: Mapping[tuple[str, str], frozenset[str]] = {
    ("Condition", "subject"): _PERSON,
    ("Condition", "encounter"): frozenset({"Encounter"}),
    ("MedicationStatement", "subject"): _PERSON,
    ("MedicationStatement", "context"): frozenset({"Encounter", "EpisodeOfCare"}),
    ("Observation", "subject"): frozenset({"Patient", "Group", "Device", "Location"}),
    ("Observation", "encounter"): frozenset({"Encounter"}),
    ("Observation", "derivedFrom"): frozenset(
        {
            "DocumentReference",
            "ImagingStudy",
            "Media",
            "QuestionnaireResponse",
            "Observation",
            "MolecularSequence",
        }
    ),
    ("Device", "patient"): frozenset({"Patient"}),
    ("FamilyMemberHistory", "patient"): frozenset({"Patient"}),
    ("AllergyIntolerance", "patient"): frozenset({"Patient"}),
    ("AllergyIntolerance", "encounter"): frozenset({"Encounter"}),
    ("DocumentReference", "subject"): frozenset({"Patient", "Practitioner", "Group", "Device"}),
}

# The element that holds what was coded; its codings must name the release they came from.
_CODED: Mapping[str, str] = {
    "Condition": "code",
    "MedicationStatement": "medicationCodeableConcept",
    "Observation": "code",
    "Device": "type",
    "AllergyIntolerance": "code",
}
_DERIVED = frozenset({*_CODED, "FamilyMemberHistory"})
_CODING = ("system", "version", "code", "display")
_STATED = ("system", "code")

# The extensions that our resources bear: the names of their parts, all required, and the types.
_EXTENSIONS: Mapping[str, tuple[list[str], list[str]]] = {
    DERIVATION: (
        ["reference", "path", "offset", "length"],
        ["valueReference", "valueString", "valueInteger", "valueInteger"],
    ),
    CANDIDATE: (
        ["system", "version", "code", "display", "score", "stage", "chosen"],
        ["valueUri", "valueString", "valueCode", "valueString", "valueDecimal", "valueCode", "valueBoolean"],
    ),
    ASSERTION: (
        ["negated", "certainty", "temporality", "experiencer"],
        ["valueBoolean", "valueCode", "valueCode", "valueCode"],
    ),
}


def check(bundle: Json) -> None:
    """Raise `ConformanceError` when the Bundle breaks a rule of FHIR R4 that this module knows."""
    entries = bundle.get("entry", [])
    _check_structure(bundle, entries)
    types = {entry.get("fullUrl"): entry["resource"]["resourceType"] for entry in entries if "resource" in entry}
    for index, entry in enumerate(entries):
        resource = entry.get("resource")
        if resource is not None:
            for element, problem in _problems(resource, types):
                _refuse(f"{resource['resourceType']} (entry {index})", element, problem)


def _check_structure(bundle: Json, entries: list[Json]) -> None:
    outline = dict(bundle)
    if entries:
        outline["entry"] = [
            {**entry, "resource": _outline(entry["resource"])} if "resource" in entry else entry for entry in entries
        ]
    try:
        text = orjson.dumps(outline)
        issues = fhirkit.validate(text)
    except (fhirkit.ParseError, orjson.JSONEncodeError):
        # Their messages quote the content, so they are neither repeated nor chained.
        raise ConformanceError("Bundle: it is not FHIR JSON, or a text in it is not Unicode") from None
    for issue in issues:
        if issue.severity == "error":
            _refuse(_resource_name(issue.path, entries), issue.path, re.sub(r'"[^"]*"', "the value", issue.message))
    if any(empty in text for empty in _EMPTY):  # may also stand in a text, so look closer
        for element in _empty_elements(outline, "Bundle"):
            _refuse(_resource_name(element, entries), element, "is empty (ele-1)")


def _outline(resource: Json) -> Json:
    """Return a derived resource without our own extensions, and any other one as it is."""
    resource_type = resource.get("resourceType")
    if resource_type not in _DERIVED:
        return resource
    outline = _without_extensions(resource)
    if (element := _CODED.get(resource_type)) and element in resource:
        outline[element] = _without_extensions(resource[element])
    if resource_type == "FamilyMemberHistory":
        outline["condition"] = [
            {**each, "code": _without_extensions(each.get("code", {}))} for each in resource.get("condition", ())
        ]
    return outline


def _without_extensions(element: Json) -> dict[str, Any]:
    outline = {name: value for name, value in element.items() if name != "extension"}
    foreign = [each for each in element.get("extension", ()) if each.get("url") not in _EXTENSIONS]
    return outline | {"extension": foreign} if foreign else outline


def _refuse(resource: str, element: str, problem: str) -> None:
    raise ConformanceError(f"{resource}: {element}: {problem}")


def _resource_name(path: str, entries: list[Json]) -> str:
    found = re.match(r"Bundle\.entry\[(\d+)\]", path)
    if not found:
        return "Bundle"
    index = int(found[1])
    return f"{entries[index].get('resource', {}).get('resourceType', 'entry')} (entry {index})"


def _empty_elements(value: Any, path: str) -> Iterator[str]:
    if value is None or value in ({}, [], ""):
        yield path
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _empty_elements(each, f"{path}.{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _empty_elements(each, f"{path}[{index}]")


def _problems(resource: Json, types: Mapping[str, str]) -> Iterator[Problem]:
    yield from _general(resource)
    yield from _bindings(resource)
    yield from _references(resource, types)
    yield from _codings(resource)
    yield from _extensions("extension", resource)
    match resource["resourceType"]:
        case "Condition":
            yield from _condition(resource)
        case "Observation":
            yield from _observation(resource)
        case "AllergyIntolerance":
            yield from _allergy(resource)
        case "Provenance":
            yield from _provenance(resource)


def _general(resource: Json) -> Iterator[Problem]:
    if "id" in resource and not _ID.fullmatch(resource["id"]):
        yield "id", "is not 1 to 64 letters, digits, hyphens and dots"
    for contained in resource.get("contained", ()):
        if "contained" in contained:
            yield "contained", "holds a resource that contains another (dom-2)"
        if {"versionId", "lastUpdated"} & contained.get("meta", {}).keys():
            yield "contained", "has a version (dom-4)"
        if "security" in contained.get("meta", {}):
            yield "contained", "has a security label (dom-5)"
        if f'"#{contained.get("id")}"' not in orjson.dumps(resource).decode():
            yield "contained", "is not referred to (dom-3)"


def _bindings(resource: Json) -> Iterator[Problem]:
    resource_type = resource["resourceType"]
    for (owner, element), codes in _CODES.items():
        if owner == resource_type and element in resource:
            value = resource[element]
            if not codes.issuperset(value if isinstance(value, list) else (value,)):
                yield element, "is not a code of the required value set"
    for (owner, element), (system, codes) in _CONCEPTS.items():
        if owner == resource_type and element in resource and not _codes(resource, element, system) & codes:
            yield element, "is not a code of the required value set"


def _codes(resource: Json, element: str, system: str) -> set[str]:
    """Return the codes of one system in a CodeableConcept, or in a list of them."""
    value = resource.get(element, [])
    concepts = value if isinstance(value, list) else [value]
    return {each.get("code") for one in concepts for each in one.get("coding", ()) if each.get("system") == system}


def _references(resource: Json, types: Mapping[str, str]) -> Iterator[Problem]:
    resource_type = resource["resourceType"]
    for (owner, element), allowed in _TARGETS.items():
        if owner != resource_type or element not in resource:
            continue
        value = resource[element]
        for reference in value if isinstance(value, list) else (value,):
            if "reference" in reference:
                target = _target_type(reference["reference"], types)
                if target is None:
                    yield element, "refers to nothing: neither an entry of the Bundle nor Type/id"
                elif target not in allowed and target != "#":
                    yield element, f"must not refer to a {target}"


def _target_type(reference: str, types: Mapping[str, str]) -> str | None:
    if reference in types:
        return types[reference]
    if reference.startswith("#"):
        return "#"
    found = _REFERENCE.fullmatch(reference)
    return found["type"] if found else None


def _codings(resource: Json) -> Iterator[Problem]:
    resource_type = resource["resourceType"]
    concepts = []
    if element := _CODED.get(resource_type):
        concepts.append((element, resource.get(element, {})))
    if resource_type == "Observation":
        concepts += [("component.code", each.get("code", {})) for each in resource.get("component", ())]
    if resource_type == "FamilyMemberHistory":
        concepts += [("condition.code", each.get("code", {})) for each in resource.get("condition", ())]
    # Of a code that somebody else stated (a diagnosis of an HL7 v2 message), the release is seldom known.
    is_ours = any(each.get("system") == IDENTIFIER_SYSTEM for each in resource.get("identifier", ()))
    required = _CODING if is_ours else _STATED
    for element, concept in concepts:
        yield from _extensions(f"{element}.extension", concept)
        if "text" not in concept and "coding" not in concept:
            yield element, "has neither codings nor text"
        for coding in concept.get("coding", ()):
            for missing in (name for name in required if not coding.get(name)):
                yield f"{element}.coding.{missing}", "is missing"


def _extensions(path: str, element: Json) -> Iterator[Problem]:
    for extension in element.get("extension", ()):
        shape = _EXTENSIONS.get(extension["url"])
        if shape is None:
            continue
        names, kinds = shape
        given = extension["extension"]
        if [part["url"] for part in given] != names:
            yield path, f"{extension['url']} has not the parts {', '.join(names)}"
            continue
        for part, kind in zip(given, kinds, strict=True):
            value = part.get(kind)
            if value is None or value == "":
                yield path, f"{extension['url']} has no {kind} in {part['url']}"


def _condition(resource: Json) -> Iterator[Problem]:
    clinical = _codes(resource, "clinicalStatus", _HL7 + "condition-clinical")
    in_error = "entered-in-error" in _codes(resource, "verificationStatus", _HL7 + "condition-ver-status")
    is_problem = "problem-list-item" in _codes(resource, "category", _HL7 + "condition-category")
    if "clinicalStatus" not in resource and is_problem and not in_error:
        yield "clinicalStatus", "is required of a problem that is not entered in error (con-3)"
    has_ended = any(name.startswith("abatement") for name in resource)
    if has_ended and not clinical & {"inactive", "resolved", "remission"}:
        yield "clinicalStatus", "must be inactive, resolved or remission with an abatement (con-4)"
    if in_error and "clinicalStatus" in resource:
        yield "clinicalStatus", "must not stand with entered-in-error (con-5)"


def _observation(resource: Json) -> Iterator[Problem]:
    values = [name for name in resource if name.startswith("value")]
    if values and "dataAbsentReason" in resource:
        yield "dataAbsentReason", "must not stand with a value (obs-6)"
    own = {(each.get("system"), each.get("code")) for each in resource.get("code", {}).get("coding", ())}
    components = resource.get("component", ())
    for component in components:
        theirs = {(each.get("system"), each.get("code")) for each in component.get("code", {}).get("coding", ())}
        if values and own & theirs:
            yield "component.code", "is the code of the Observation, which has a value itself (obs-7)"
        if not _has_value(component):
            yield "component", "has neither a value nor a dataAbsentReason (vs-3)"
    if not components and "hasMember" not in resource and not _has_value(resource):
        yield "value[x]", "is missing without a dataAbsentReason (us-core-2, vs-2)"
    quantity = resource.get("valueQuantity", {})
    if quantity.get("system", "http://unitsofmeasure.org") != "http://unitsofmeasure.org":
        yield "valueQuantity.system", "is not UCUM (us-core-3)"
    if "code" in quantity and "system" not in quantity:
        yield "valueQuantity.system", "is required with a code (qty-3)"


def _has_value(element: Json) -> bool:
    return "dataAbsentReason" in element or any(name.startswith("value") for name in element)


def _allergy(resource: Json) -> Iterator[Problem]:
    in_error = "entered-in-error" in _codes(resource, "verificationStatus", _HL7 + "allergyintolerance-verification")
    if "clinicalStatus" not in resource and not in_error:
        yield "clinicalStatus", "is required unless entered in error (ait-1)"
    if "clinicalStatus" in resource and in_error:
        yield "clinicalStatus", "must not stand with entered-in-error (ait-2)"


def _provenance(resource: Json) -> Iterator[Problem]:
    for agent in resource.get("agent", ()):
        who = agent.get("who", {})
        named = who.get("type") or (_target_type(who["reference"], {}) if "reference" in who else None)
        if named in {"Device", "Practitioner"} and "onBehalfOf" not in agent:
            yield "agent.onBehalfOf", "is required of a device or practitioner (provenance-1)"
    for entity in resource.get("entity", ()):
        if entity.get("role") not in {"derivation", "revision", "quotation", "source", "removal"}:
            yield "entity.role", "is not a code of the required value set"
