"""The last look at a Bundle before it leaves.

`fhirkit` checks the structure (elements, types, cardinality) of R4. It knows neither value sets nor invariants nor
reference targets, so those that our resources can break are checked by tables: the codes of
`mappings/fhir/required_codes.csv`, the references of `mappings/fhir/reference_targets.csv`, what our own profiles
require (profile_rules.py), the invariants of data types (data_types.py) and those of resources, here. The profiles of
US Core and IPS are proven against a server in the tests.

Nine tenths of a Bundle are our own extensions, each of one fixed shape. They are checked here and kept from `fhirkit`,
which would spend several times the budget of a note on them.

Messages name resource, element and rule, never a value: values come from the note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import fhirkit
import orjson

from fhir_coder.errors import ConformanceError, TableError
from fhir_coder.fhir.audit_event import broken_pattern
from fhir_coder.fhir.data_types import broken_invariants
from fhir_coder.fhir.elements import ASSERTION, CANDIDATE, DERIVATION, US_CORE
from fhir_coder.fhir.identity import IDENTIFIER_SYSTEM
from fhir_coder.fhir.profile_rules import broken_rules, elements
from fhir_coder.fhir.smoking_status import SMOKING_STATUS
from fhir_coder.model import UCUM
from fhir_coder.tables import read_table, split

Json = Mapping[str, Any]
Problem = tuple[str, str]  # element, what is wrong

_HL7 = "http://terminology.hl7.org/CodeSystem/"
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_EMPTY = (b"{}", b"[]", b'""', b"null")  # what ele-1 forbids, as it looks in JSON
# "Patient/7", with or without a server and a version, or the conditional "Patient?identifier=..." of a transaction.
_REFERENCE = re.compile(
    r"(?:.*/)?(?P<type>[A-Z][A-Za-z]+)(?:/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?|\?.+)", re.DOTALL
)

# The element that holds what was coded; its codings must name the release they came from.
_CODED: Mapping[str, str] = {
    "Condition": "code",
    "MedicationStatement": "medicationCodeableConcept",
    "Observation": "code",
    "Device": "type",
    "AllergyIntolerance": "code",
}
_DERIVED = frozenset({*_CODED, "DeviceUseStatement", "FamilyMemberHistory"})
_LIMITS = (("referenceRange", "low"), ("referenceRange", "high"))
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
    yield from broken_invariants(_outline(resource))
    yield from _invariants(resource)
    yield from broken_rules(resource)


def _invariants(resource: Json) -> Iterator[Problem]:
    match resource["resourceType"]:
        case "Condition":
            yield from _condition(resource)
        case "Observation":
            yield from _observation(resource)
        case "AllergyIntolerance":
            yield from _allergy(resource)
        case "FamilyMemberHistory":
            yield from _family(resource)
        case "DocumentReference":
            yield from _document(resource)
        case "Provenance":
            yield from _provenance(resource)
        case "AuditEvent":
            yield from broken_pattern(resource)


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


@dataclass(frozen=True, slots=True)
class _Binding:
    element: tuple[str, ...]
    kind: str  # code; required: a concept with one of the codes; known: what is of the system is one of the codes
    system: str
    codes: frozenset[str]


@cache
def _bound() -> Mapping[str, tuple[_Binding, ...]]:
    """Return the bindings of each resource type.

    Raises `TableError` when a row has an unknown kind, or a code without a system.
    """
    bound: dict[str, tuple[_Binding, ...]] = {}
    for row in read_table("fhir/required_codes.csv", ("resource", "element", "kind", "system", "codes", "source")):
        if row["kind"] not in ("code", "required", "known") or (row["kind"] == "code") == bool(row["system"]):
            raise TableError(f"mappings/fhir/required_codes.csv: {row['resource']}.{row['element']}: kind or system")
        codes = frozenset(split(row["codes"]))
        binding = _Binding(tuple(row["element"].split(".")), row["kind"], row["system"], codes)
        bound[row["resource"]] = (*bound.get(row["resource"], ()), binding)
    return bound


@cache
def _targets() -> Mapping[str, tuple[tuple[tuple[str, ...], frozenset[str]], ...]]:
    """Return the types to which the references of each resource type may point; others may point anywhere."""
    targets: dict[str, tuple[tuple[tuple[str, ...], frozenset[str]], ...]] = {}
    for row in read_table("fhir/reference_targets.csv", ("resource", "element", "targets")):
        rule = (tuple(row["element"].split(".")), frozenset(split(row["targets"])))
        targets[row["resource"]] = (*targets.get(row["resource"], ()), rule)
    return targets


def _bindings(resource: Json) -> Iterator[Problem]:
    for binding in _bound().get(resource["resourceType"], ()):
        if binding.element[0] not in resource:
            continue
        for value in elements(resource, binding.element):
            if not _is_bound(value, binding):
                yield ".".join(binding.element), "is not a code of the required value set"


def _is_bound(value: Any, binding: _Binding) -> bool:
    if binding.kind == "code":
        return value in binding.codes
    codes = {each.get("code") for each in value.get("coding", ()) if each.get("system") == binding.system}
    return bool(codes & binding.codes) if binding.kind == "required" else codes <= binding.codes


def _codes(resource: Json, element: str, system: str) -> set[str]:
    """Return the codes of one system in a CodeableConcept, or in a list of them."""
    value = resource.get(element, [])
    concepts = value if isinstance(value, list) else [value]
    return {each.get("code") for one in concepts for each in one.get("coding", ()) if each.get("system") == system}


def _references(resource: Json, types: Mapping[str, str]) -> Iterator[Problem]:
    for element, allowed in _targets().get(resource["resourceType"], ()):
        if element[0] not in resource:
            continue
        for reference in elements(resource, element):
            if "reference" in reference:
                target = _target_type(reference["reference"], types)
                if target is None:
                    yield ".".join(element), "refers to nothing: neither an entry of the Bundle nor Type/id"
                elif target not in allowed and target != "#":
                    yield ".".join(element), f"must not refer to a {target}"


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
    # Of a code that somebody else stated (a diagnosis of an HL7 v2 message, a profile), the release is seldom known.
    is_ours = any(each.get("system") == IDENTIFIER_SYSTEM for each in resource.get("identifier", ()))
    required = _CODING if is_ours else _STATED
    for element, concept in concepts:
        yield from _extensions(f"{element}.extension", concept)
        if "text" not in concept and "coding" not in concept:
            yield element, "has neither codings nor text"
        for coding in concept.get("coding", ()):
            known = _STATED if coding.get("code") == SMOKING_STATUS else required
            for missing in (name for name in known if not coding.get(name)):
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
    category = _codes(resource, "category", _HL7 + "condition-category")
    if "clinicalStatus" not in resource and "problem-list-item" in category and not in_error:
        yield "clinicalStatus", "is required of a problem that is not entered in error (con-3)"
    has_ended = any(name.lstrip("_").startswith("abatement") for name in resource)
    if has_ended and not clinical & {"inactive", "resolved", "remission"}:
        yield "clinicalStatus", "must be inactive, resolved or remission with an abatement (con-4)"
    if in_error and "clinicalStatus" in resource:
        yield "clinicalStatus", "must not stand with entered-in-error (con-5)"
    if not category:
        yield "category", "is neither problem-list-item nor encounter-diagnosis (US Core)"
    if len(category) > 1 and "encounter-diagnosis" in category:
        yield "category", "of an encounter diagnosis is that alone"
    for stage in resource.get("stage", ()):
        if not {"summary", "assessment"} & stage.keys():
            yield "stage", "has neither summary nor assessment (con-1)"
    for evidence in resource.get("evidence", ()):
        if not {"code", "detail"} & evidence.keys():
            yield "evidence", "has neither code nor detail (con-2)"


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
    for element in (("valueQuantity",), ("component", "valueQuantity"), *_LIMITS):
        for quantity in elements(resource, element):
            if quantity.get("system", UCUM) != UCUM:
                rule = "us-core-22" if element in _LIMITS else "us-core-3"
                yield ".".join((*element, "system")), f"is not UCUM ({rule})"
    for range_ in resource.get("referenceRange", ()):
        if not {"low", "high", "text"} & range_.keys():
            yield "referenceRange", "has neither low nor high nor text (obs-3)"
    category = _codes(resource, "category", _HL7 + "observation-category")
    if not category:
        yield "category", "has no code of HL7's categories"
    effective = resource.get("effectiveDateTime", "")
    if effective and len(effective) < len("2026-03-01"):
        yield "effectiveDateTime", "does not tell the day (us-core-1, vs-1)"
    if "vital-signs" in category and not any(name.lstrip("_").startswith("effective") for name in resource):
        yield "effective[x]", "is required of a vital sign"


def _has_value(element: Json) -> bool:
    return "dataAbsentReason" in element or any(name.startswith("value") for name in element)


def _allergy(resource: Json) -> Iterator[Problem]:
    in_error = "entered-in-error" in _codes(resource, "verificationStatus", _HL7 + "allergyintolerance-verification")
    if "clinicalStatus" not in resource and not in_error:
        yield "clinicalStatus", "is required unless entered in error (ait-1)"
    if "clinicalStatus" in resource and in_error:
        yield "clinicalStatus", "must not stand with entered-in-error (ait-2)"
    for reaction in resource.get("reaction", ()):
        if not reaction.get("manifestation"):
            yield "reaction.manifestation", "is missing"


def _family(resource: Json) -> Iterator[Problem]:
    names = {name.lstrip("_") for name in resource}
    if any(name.startswith("age") for name in names) and any(name.startswith("born") for name in names):
        yield "age[x]", "must not stand with born[x] (fhs-1)"
    if "estimatedAge" in names and not any(name.startswith("age") for name in names):
        yield "estimatedAge", "must not stand without age[x] (fhs-2)"


def _document(resource: Json) -> Iterator[Problem]:
    claimed = resource.get("meta", {}).get("profile", ())
    for attachment in elements(resource, ("content", "attachment")):
        if US_CORE + "us-core-documentreference" in claimed and not {"data", "url"} & attachment.keys():
            yield "content.attachment", "has neither data nor url (us-core-6)"


def _provenance(resource: Json) -> Iterator[Problem]:
    for agent in resource.get("agent", ()):
        who = agent.get("who", {})
        named = who.get("type") or (_target_type(who["reference"], {}) if "reference" in who else None)
        if named in {"Device", "Practitioner"} and "onBehalfOf" not in agent:
            yield "agent.onBehalfOf", "is required of a device or practitioner (provenance-1)"
