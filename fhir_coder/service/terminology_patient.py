"""What the `dependency` parameters of $translate say of the patient, for the rules of the maps.

R4 leaves open which elements there are: https://hl7.org/fhir/R4/conceptmap-operation-translate.html. Here it is the
patient's gender, as a code of FHIR, HL7 v2 or SNOMED CT or as text, age and age at onset as text ("12 a", with the UCUM
unit), and conditions by their SNOMED CT codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, cast

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.service.terminology_call import Call
from fhir_coder.terminology.map_rules import PatientContext

_SEXES: Mapping[str, Literal["female", "male"]] = MappingProxyType(
    {"female": "female", "male": "male", "f": "female", "m": "male", "248152002": "female", "248153007": "male"}
)
_UNTOLD_SEXES = frozenset({"other", "unknown", "o", "u", "a", "n"})  # FHIR's, and HL7 v2's table 0001
# The elements that a dependency may speak of, by the end of their URI; numbers are the attributes of map rules.
_ELEMENTS: Mapping[str, str] = MappingProxyType(
    {
        "gender": "sex",
        "patient.gender": "sex",
        "sex": "sex",
        "age": "age",
        "424144002": "age",
        "445518008": "onset",
        "condition": "condition",
        "condition.code": "condition",
    }
)
_AGE = re.compile(r"(?P<number>[0-9]{1,5}) ?(?P<unit>a|mo|wk|d)")
_DAYS = {"a": 365.25, "mo": 365.25 / 12, "wk": 7.0, "d": 1.0}  # of the UCUM units of age


def patient_of(call: Call) -> PatientContext:
    """Return what `dependency` says of the patient: sex, age, age at onset, and conditions by SNOMED CT codes."""
    said: dict[str, Any] = {}
    conditions: set[str] = set()
    place = call.place("dependency")
    for dependency in call.all("dependency"):
        if dependency.keys() != {"element", "concept"}:
            raise InputError("a dependency has an element and a concept", place=place, code="required")
        element = _ELEMENTS.get(re.split(r"[/#|:]", dependency["element"])[-1].lower())
        if element is None:
            raise UnsupportedError("a dependency is on gender, age or condition", place=place)
        values = _values(dependency["concept"], place)
        if element == "sex":
            said["sex"] = _sex(values, place)
        elif element == "condition":
            conditions.update(values)
        else:
            said["age_days" if element == "age" else "onset_age_days"] = _days(values[0], place)
    return PatientContext(conditions=frozenset(conditions), **said)


def _values(concept: Mapping[str, Any], place: str) -> list[str]:
    """Return the codes of a CodeableConcept, or else its text."""
    codings = concept.get("coding", [])
    listed = codings if isinstance(codings, list) else [None]
    values = [each.get("code") if isinstance(each, dict) else None for each in listed] or [concept.get("text")]
    if not all(isinstance(value, str) for value in values):
        raise InputError("the concept of a dependency has codings with codes, or a text", place=place, code="structure")
    return cast(list[str], values)


def _sex(values: list[str], place: str) -> Literal["female", "male"] | None:
    found = {_SEXES.get(value.lower()) for value in values}
    if found <= {None} and not _UNTOLD_SEXES.intersection(value.lower() for value in values):
        raise InputError("a gender is female, male, other or unknown", place=place, code="code-invalid")
    return next(iter(found)) if len(found) == 1 else None


def _days(text: str, place: str) -> int:
    """Return the age in days. Whole years, months and weeks are taken at their middle, as the rest is not told."""
    match = _AGE.fullmatch(text)
    if match is None or (match["unit"] in ("a", "mo") and not int(match["number"])):
        raise InputError(
            "an age is a whole number and a (years), mo, wk or d: '12 a'; under a month, wk or d",
            place=place,
            code="value",
        )
    half = 0.0 if match["unit"] == "d" else 0.5
    return int((int(match["number"]) + half) * _DAYS[match["unit"]])
