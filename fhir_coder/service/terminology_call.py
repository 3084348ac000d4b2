"""What the terminology operations are called with: a query string, or a Parameters resource, read alike.

Source: https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.terminology.map_rules import PatientContext

_DAYS = {"a": 365.25, "mo": 30.4375, "wk": 7.0, "d": 1.0}  # UCUM units of age
_SEXES = {"female": "female", "male": "male", "248152002": "female", "248153007": "male"}


@dataclass(frozen=True, slots=True)
class Coded:
    """A code that an operation is asked about."""

    system: str
    code: str
    version: str | None = None
    display: str | None = None


class Call:
    """The parameters of a call by name. Raises `InputError` for one that the operation does not know."""

    def __init__(self, given: Iterable[tuple[str, Any]], known: Iterable[str]) -> None:
        self._known = frozenset(known)
        self._values: dict[str, list[Any]] = {}
        for name, value in given:
            if name not in self._known:
                raise UnsupportedError(
                    f"there is no parameter {name[:40]!r}; known are {', '.join(sorted(self._known))}",
                    place="Parameters",
                )
            self._values.setdefault(name, []).append(value)

    def all(self, name: str) -> list[Any]:
        """Return all values of a parameter."""
        return self._values.get(name, [])

    def text(self, name: str) -> str | None:
        """Return the only value of a parameter as a string, or None. Raises `InputError` when it is none."""
        values = self._values.get(name, [])
        if len(values) > 1 or (values and not isinstance(values[0], str)):
            raise InputError(f"{name} is one string", place=name, code="value")
        return values[0] if values else None

    def require(self, name: str) -> str:
        """Return the only value of a parameter. Raises `InputError` when it is missing or empty."""
        value = self.text(name)
        if not value:
            raise InputError(f"{name} is missing", place=name, code="required")
        return value

    def number(self, name: str, default: int, most: int) -> int:
        """Return a whole number from 0 to `most`. Raises `InputError`."""
        values = self._values.get(name, [default])
        try:
            number = int(values[0])
        except (TypeError, ValueError):
            number = -1
        if len(values) > 1 or not 0 <= number <= most:
            raise InputError(f"{name} is a whole number from 0 to {most}", place=name, code="value")
        return number

    def truth(self, name: str) -> bool:
        """Return a boolean, False when it is not given. Raises `InputError`."""
        values = self._values.get(name, [False])
        said = {True: True, False: False, "true": True, "false": False}
        if len(values) > 1 or not isinstance(values[0], bool | str) or values[0] not in said:
            raise InputError(f"{name} is true or false", place=name, code="value")
        return said[values[0]]

    def coded(self, system: str) -> list[Coded]:
        """Return the codes that are asked about: `code` with the system's parameter, `coding`, or `codeableConcept`.

        Raises `InputError` when none is given, or more than one way is used.
        """
        ways = [name for name in ("code", "coding", "codeableConcept") if name in self._values]
        if len(ways) != 1:
            raise InputError(
                f"give either code with {system}, coding or codeableConcept", place="code", code="required"
            )
        if ways == ["code"]:
            return [Coded(self.require(system), self.require("code"), self.text("version"), self.text("display"))]
        value = self._values[ways[0]][0]
        codings = [value] if ways == ["coding"] else value.get("coding") if isinstance(value, dict) else None
        if not isinstance(codings, list) or not codings:
            raise InputError(f"{ways[0]} holds no coding", place=ways[0], code="structure")
        return [_coded(coding, ways[0]) for coding in codings]

    def patient(self) -> PatientContext:
        """Return what `dependency` says of the patient: an element that ends in gender, sex or age, and its concept.

        The age is the text of the concept, a number and a UCUM unit: "28 d", "12 a".
        """
        sex, age = None, None
        for part in self._values.get("dependency", []):
            named = dict(part) if isinstance(part, list) else {}
            element = str(named.get("element", "")).rstrip("/").lower()
            concept = named.get("concept")
            if not isinstance(concept, dict):
                raise InputError("a dependency has the parts element and concept", place="dependency", code="structure")
            if element.endswith(("gender", "sex")):
                codings = concept.get("coding")
                code = codings[0].get("code") if isinstance(codings, list) and isinstance(codings[0], dict) else None
                sex = _SEXES.get(str(code or concept.get("text", "")).lower())
            elif element.endswith("age"):
                age = _days(str(concept.get("text", "")))
            else:
                raise UnsupportedError("only dependencies on gender and age are read", place="dependency.element")
        return PatientContext(sex=sex, age_days=age)  # type: ignore[arg-type]


def _days(text: str) -> int:
    number, _, unit = text.strip().partition(" ")
    if not number.isdigit() or len(number) > 5 or unit not in _DAYS:
        raise InputError("an age is a whole number and a, mo, wk or d: '12 a'", place="dependency", code="value")
    return int(int(number) * _DAYS[unit])


def _coded(coding: Any, place: str) -> Coded:
    if not isinstance(coding, dict):
        raise InputError("this is not a Coding", place=place, code="structure")
    values = [coding.get(name) for name in ("system", "code", "version", "display")]
    if any(value is not None and not isinstance(value, str) for value in values):
        raise InputError("system, code, version and display are strings", place=place, code="structure")
    if not values[0] or not values[1]:
        raise InputError("a coding has system and code", place=place, code="required")
    return Coded(values[0], values[1], values[2], values[3])


def given_parameters(resource: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the parameters of a Parameters resource as (name, value); parts are a list of (name, value).

    Raises `InputError` when it is none.
    """
    if resource.get("resourceType") != "Parameters":
        raise InputError("the body is no Parameters resource", place="resourceType", code="structure")
    return _pairs(resource.get("parameter", []), "parameter")


def _pairs(given: Any, place: str) -> list[tuple[str, Any]]:
    if not isinstance(given, list):
        raise InputError("this is not a list", place=place, code="structure")
    pairs = []
    for index, parameter in enumerate(given):
        here = f"{place}[{index}]"
        if not isinstance(parameter, dict) or not isinstance(parameter.get("name"), str):
            raise InputError("a parameter is an object with a name", place=here, code="structure")
        values = [value for name, value in parameter.items() if name.startswith("value") or name == "resource"]
        if "part" in parameter:
            values.append(_pairs(parameter["part"], f"{here}.part"))
        if len(values) != 1:
            raise InputError("a parameter has one value", place=here, code="structure")
        pairs.append((parameter["name"], values[0]))
    return pairs
