"""READ FIRST of the terminology operations. CodeSystem/$lookup and the two $validate-code.

Parameters are read in terminology_call.py, systems and value sets found in terminology_systems.py.
Source: https://hl7.org/fhir/R4/codesystem-operation-lookup.html, codesystem-operation-validate-code.html and
valueset-operation-validate-code.html
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from fhir_coder.errors import InputError
from fhir_coder.service.terminology_call import Call, Coded, Kinds
from fhir_coder.service.terminology_systems import (
    designations,
    is_abstract,
    known_concept,
    loaded_version,
    require_english,
    value_set_system,
)
from fhir_coder.terminology.store import ConceptStore, StoredConcept

LOOKUP: Kinds = {
    "system": "string",
    "code": "string",
    "version": "string",
    "coding": "Coding",
    "displayLanguage": "string",
    "property": "string",
}
_ANY_VALIDATION: Kinds = {
    "url": "string",
    "code": "string",
    "display": "string",
    "coding": "Coding",
    "codeableConcept": "CodeableConcept",
    "abstract": "boolean",
    "displayLanguage": "string",
}
VALIDATE_CODE_SYSTEM: Kinds = {**_ANY_VALIDATION, "version": "string"}
VALIDATE_VALUE_SET: Kinds = {
    **_ANY_VALIDATION,
    "valueSetVersion": "string",
    "system": "string",
    "systemVersion": "string",
}
PROPERTIES = ("inactive", "notSelectable", "parent", "child")  # besides the publisher's own

Parameter = tuple[str, str, Any]
"""Name, element and value; the value of `part` is a list of parameters."""


def lookup(store: ConceptStore, call: Call) -> dict[str, Any]:
    """CodeSystem/$lookup: what is known of a code. Raises `InputError` when it is not in the release.

    `property` picks what is returned besides name, version and display; "designation" is one, too.
    """
    require_english(call)
    system = call.text("system")
    if system and call.all("coding"):
        raise InputError("the system belongs into the coding; leave one out", place=call.place("system"))
    (asked,) = call.coded(system, call.text("version"), named="system")
    concept = known_concept(store, asked)
    if concept is None:
        raise InputError(absent(store, asked), place=asked.place, code="not-found")
    wanted = set(call.all("property"))
    base = store.base(concept.system)
    return parameters(
        ("name", "valueString", base.head.title if base else concept.system),
        ("version", "valueString", concept.version),
        ("display", "valueString", concept.display),
        *(
            ("designation", "part", [("value", "valueString", text)])
            for text in (designations(store, concept) if not wanted or "designation" in wanted else ())
        ),
        *(("property", "part", parts) for parts in _properties(store, concept) if not wanted or parts[0][2] in wanted),
    )


def _properties(store: ConceptStore, concept: StoredConcept) -> Iterable[list[Parameter]]:
    """Yield the parts of each property; the description of a relative is its display."""
    yield [("code", "valueCode", "inactive"), ("value", "valueBoolean", concept.status == "retired")]
    if is_abstract(concept):
        yield [("code", "valueCode", "notSelectable"), ("value", "valueBoolean", True)]
    for name, relatives in (("parent", store.parents(concept)), ("child", store.children(concept))):
        for relative in relatives:
            yield [
                ("code", "valueCode", name),
                ("value", "valueCode", relative.code),
                ("description", "valueString", relative.display),
            ]
    for name, text in store.properties(concept):
        yield [("code", "valueCode", name), ("value", "valueString", text)]


def validate_in_code_system(store: ConceptStore, call: Call) -> dict[str, Any]:
    """CodeSystem/$validate-code: whether a code is in a code system, and its display one of its names."""
    url, version = call.text("url"), call.text("version")
    if url:
        loaded_version(store, url, None, call.place("url"))
        loaded_version(store, url, version, call.place("version"))
    return _validated(store, call, url, call.coded(url, version, named="url"))


def validate_in_value_set(store: ConceptStore, call: Call) -> dict[str, Any]:
    """ValueSet/$validate-code, of the value set of all codes of a system: so a bare code needs no system."""
    place = call.place("url")
    only = value_set_system(store, call.require("url"), call.text("valueSetVersion"), place)
    system = call.text("system")
    if system and not call.all("code"):
        raise InputError("the system belongs into the coding; leave it out", place=call.place("system"))
    return _validated(store, call, only, call.coded(system or only, call.text("systemVersion"), named="system"))


def _validated(store: ConceptStore, call: Call, only: str | None, codes: list[Coded]) -> dict[str, Any]:
    """Return the verdict on the first code that is right, else on the first; codes of systems other than `only` fail.

    Codings whose system or version is not loaded are passed over when another one can be judged.
    """
    require_english(call)
    verdicts: list[dict[str, Any]] = []
    unknown: list[InputError] = []
    for asked in codes:
        try:
            verdicts.append(_verdict_on(store, asked, only, abstract=call.truth("abstract")))
        except InputError as error:
            unknown.append(error)
    if not verdicts:
        raise unknown[0]
    return next((verdict for verdict in verdicts if verdict["parameter"][0]["valueBoolean"]), verdicts[0])


def _verdict_on(store: ConceptStore, asked: Coded, only: str | None, *, abstract: bool) -> dict[str, Any]:
    if only and asked.system != only:
        return _verdict(False, f"the code is of {asked.system}, not of {only}", None)
    concept = known_concept(store, asked)
    if concept is None:
        return _verdict(False, absent(store, asked), None)
    if asked.display and _folded(asked.display) not in map(_folded, _names(store, concept)):
        return _verdict(False, f"the display is not a name of {concept.code}", concept)
    if is_abstract(concept) and not abstract:
        message = f"{concept.code} only groups other codes; record one of them, or say abstract=true"
        return _verdict(False, message, concept)
    if concept.status == "retired":
        replacement = store.replacement(concept)
        said = f"; it was replaced by {replacement.code} ({replacement.display})" if replacement else ""
        return _verdict(True, f"{concept.code} is retired{said}", concept)
    return _verdict(True, None, concept)


def _names(store: ConceptStore, concept: StoredConcept) -> list[str]:
    """Return what the concept may be called. The brands of an ingredient are not what its code means."""
    names = [name.text for name in store.names_of(concept) if name.kind in ("preferred", "synonym")]
    return [concept.display, *names]


def _folded(text: str) -> str:
    """Return a display for comparison: case and the width of spaces do not matter, signs (<, -) do."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def absent(store: ConceptStore, asked: Coded) -> str:
    """Return the sentence that a code is not there."""
    return f"the code {asked.code} is not in {asked.system}, version {loaded_version(store, asked.system, None, '')}"


def _verdict(result: bool, message: str | None, concept: StoredConcept | None) -> dict[str, Any]:
    """Return the answer. R4 has result, message and display; code, system and version are R5's, which say the same.

    tx.fhir.org answers R4 clients with them, too: they tell which coding of a codeableConcept is meant.
    """
    return parameters(
        ("result", "valueBoolean", result),
        *([("message", "valueString", message)] if message else []),
        *(
            [
                ("display", "valueString", concept.display),
                ("code", "valueCode", concept.code),
                ("system", "valueUri", concept.system),
                ("version", "valueString", concept.version),
            ]
            if concept
            else []
        ),
    )


def parameters(*listed: Parameter) -> dict[str, Any]:
    """Return a Parameters resource."""
    return {"resourceType": "Parameters", "parameter": [_parameter(*each) for each in listed]}


def _parameter(name: str, element: str, value: Any) -> dict[str, Any]:
    if element == "part":
        return {"name": name, "part": [_parameter(*each) for each in value]}
    return {"name": name, element: value}
