"""The concepts of a FHIR R4 CodeSystem.

Source: https://hl7.org/fhir/R4/codesystem.html, and for the properties that FHIR itself defines
https://hl7.org/fhir/R4/codesystem-concept-properties.html

A CodeSystem does not say what its concepts are in a note. The property `entity-type` (ours, with an entity type as
value) does; of ICD-10-CM and HCPCS the code tells it and of LOINC the class, as where the publisher's files are read.
Of SNOMED CT and RxNorm nothing tells: without that property their concepts have no type, so that the dictionary does
not look for their names; import the publisher's files instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fhir_coder.model import HCPCS, ICD10CM, LOINC, EntityType
from fhir_coder.terminology.loaders.hcpcs import types as hcpcs_types
from fhir_coder.terminology.loaders.icd10cm_names import chapter
from fhir_coder.terminology.loaders.loinc_codes import types as loinc_types
from fhir_coder.terminology.release import Broader, Concept, Fact, Name, Property, Status
from fhir_coder.terminology.source import SourceFile

_DEEPEST = 50  # levels of a hierarchy
_LONGEST_MENTION = 6  # words
_TYPES = frozenset(EntityType)
_STANDARD = "http://hl7.org/fhir/concept-properties#"
_RETIRED = frozenset({"retired", "deprecated", "inactive", "withdrawn"})  # values of `status`

_Values = Mapping[str, str]
"""The properties of a concept by the name that FHIR defines, or else their own; one value of each."""
_Rule = Callable[[str, _Values], tuple[str, bool]]
"""From code and properties to entity type, and whether names may be looked for in notes."""


class CodeSystem:
    """The facts of one resource. Raises `TerminologyError` with the FHIRPath of the element at fault."""

    def __init__(self, file: SourceFile, resource: Mapping[str, Any], system: str, skipped: Counter[str]) -> None:
        self._file = file
        self._resource = resource
        self._skipped = skipped
        self._supplement = resource.get("content") == "supplement"
        self._is_a = resource.get("hierarchyMeaning") == "is-a"
        self._language = str(resource.get("language") or "en")
        self._rule = _rule("" if self._supplement else system)
        self._codes: set[str] = set()
        self._standard_names = {
            str(each.get("code")): str(each.get("uri")).removeprefix(_STANDARD)
            for each in objects(file, resource, "property", "CodeSystem")
            if str(each.get("uri")).startswith(_STANDARD)
        }

    def facts(self) -> Iterator[Fact]:
        """Yield the facts of all concepts, those of nested ones after those above them."""
        yield from self._concepts(self._resource, "CodeSystem", "", 0)

    def _concepts(self, holder: Mapping[str, Any], place: str, parent: str, depth: int) -> Iterator[Fact]:
        if depth > _DEEPEST:
            raise self._file.error(f"the hierarchy is deeper than {_DEEPEST} levels", None, place)
        for position, concept in enumerate(objects(self._file, holder, "concept", place)):
            here = f"{place}.concept[{position}]"
            code = self._code(concept, here)
            yield from self._concept(concept, code, here)
            if parent and self._is_a:
                yield Broader(code, parent)
            elif parent:
                self._skipped["steps of a hierarchy that is not stated to be is-a (hierarchyMeaning)"] += 1
            yield from self._concepts(concept, here, code, depth + 1)

    def _code(self, concept: Mapping[str, Any], here: str) -> str:
        code = concept.get("code")
        if not isinstance(code, str) or not code.strip():
            raise self._file.error("the code is missing", None, f"{here}.code")
        if code in self._codes:
            raise self._file.error(f"the code {code[:40]} stands there twice", None, f"{here}.code")
        self._codes.add(code)
        return code

    def _concept(self, concept: Mapping[str, Any], code: str, here: str) -> Iterator[Fact]:
        display = concept.get("display")
        if display is not None and (not isinstance(display, str) or not display.strip()):
            raise self._file.error("the display is no text", None, f"{here}.display")
        stated = [
            (self._standard_names.get(name, name), name, text)
            for each in objects(self._file, concept, "property", here)
            if isinstance(name := each.get("code"), str) and (text := _text(each)) is not None
        ]
        values = {standard: text for standard, _, text in reversed(stated)}  # of several the first
        status = _status(values)
        type_, mention = self._rule(code, values)
        if stated_type := values.get("entity-type"):
            if stated_type not in _TYPES:
                raise self._file.error(f"the entity-type is none of {', '.join(EntityType)}", None, f"{here}.property")
            type_ = stated_type
        mention = mention and status != "retired"
        yield Concept(code, "" if self._supplement else display or code, type_, status)
        if display:
            spoken = mention and _is_english(self._language) and _is_short(display, code)
            yield Name(code, display, "synonym" if self._supplement else "preferred", spoken)
        yield from self._designations(concept, code, here, mention)
        for standard, name, text in stated:
            if standard == "parent" and self._is_a:
                yield Broader(code, text)
            elif standard == "child" and self._is_a:
                yield Broader(text, code)
            else:
                yield Property(code, name, text)

    def _designations(self, concept: Mapping[str, Any], code: str, here: str, mention: bool) -> Iterator[Fact]:
        for position, designation in enumerate(objects(self._file, concept, "designation", here)):
            text = designation.get("value")
            if not isinstance(text, str) or not text.strip():
                raise self._file.error("the name is missing", None, f"{here}.designation[{position}].value")
            if _is_english(str(designation.get("language") or self._language)):
                yield Name(code, text, "synonym", mention and _is_short(text, code))
            else:
                self._skipped["names in other languages"] += 1


def objects(file: SourceFile, holder: Mapping[str, Any], name: str, place: str) -> list[dict[str, Any]]:
    """Return an element that is a list of objects, [] when it is not there."""
    value = holder.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise file.error("this is no list of objects", None, f"{place}.{name}")
    return value


def _rule(system: str) -> _Rule:
    if system == ICD10CM:
        return lambda code, _: (rules.type, rules.mention) if (rules := chapter(code[:3])) else ("", False)
    if system == HCPCS:
        type_of = hcpcs_types()
        return lambda code, _: (type_of(code), True)
    if system == LOINC:
        of_class = loinc_types()

        def rule(code: str, values: _Values) -> tuple[str, bool]:
            type_, _ = of_class(code, *(values.get(name, "") for name in ("CLASS", "CLASSTYPE", "SCALE_TYP")))
            return type_, True

        return rule
    return lambda _, __: ("", True)


def _text(property_: Mapping[str, Any]) -> str | None:
    """Return the value of a property as text; of a Coding its display, or else its code."""
    value = next((value for name, value in property_.items() if name.startswith("value")), None)
    if isinstance(value, dict):
        value = value.get("display") or value.get("code")
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) and str(value).strip() else None


def _status(values: _Values) -> Status:
    """Return the status by the properties of FHIR, and by `status`, which many code systems have."""
    if values.get("inactive") == "true" or values.get("status", "").lower() in _RETIRED:
        return "retired"
    if values.get("deprecated", "false") != "false" or "retirementDate" in values:  # a date, or true
        return "retired"
    return "header" if values.get("notSelectable") == "true" else "active"


def _is_english(language: str) -> bool:
    return language.lower().partition("-")[0] == "en"


def _is_short(text: str, code: str) -> bool:
    return len(text.split()) <= _LONGEST_MENTION and "," not in text and "(" not in text and text != code
