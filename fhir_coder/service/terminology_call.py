"""What the terminology operations are called with: a query string, or a Parameters resource, read alike.

Source: https://hl7.org/fhir/R4/operations.html#request, https://hl7.org/fhir/R4/parameters.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from fhir_coder.errors import InputError, UnsupportedError

Kind = Literal["string", "boolean", "integer", "Coding", "CodeableConcept", "parts"]
Kinds = Mapping[str, Kind]
"""The parameters of an operation, each with its kind; `string` is any primitive type that is written as one."""

_LONGEST = 1_000  # characters of a string
_MOST_CODINGS = 50  # of a CodeableConcept
_REPEATED = frozenset({"property", "dependency"})
# Clients differ in how they send a uri or a code (valueUri, valueUrl, valueCanonical, valueString); it reads the same.
_ELEMENTS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        "string": ("valueString", "valueUri", "valueCode", "valueCanonical", "valueUrl", "valueId"),
        "boolean": ("valueBoolean",),
        "integer": ("valueInteger", "valueUnsignedInt", "valuePositiveInt"),
        "Coding": ("valueCoding",),
        "CodeableConcept": ("valueCodeableConcept",),
        "parts": ("part",),
    }
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # https://hl7.org/fhir/R4/datatypes.html#string
_INTEGER = re.compile(r"[0-9]{1,9}")


class Given(NamedTuple):
    """A parameter as it was sent: `element` is what holds its value ("valueCode"), or "" in a query string."""

    name: str
    element: str
    value: Any
    place: str


@dataclass(frozen=True, slots=True)
class Coded:
    """A code that an operation is asked about."""

    system: str
    code: str
    version: str | None
    display: str | None
    place: str


class Call:
    """The parameters of a call by name.

    Raises `InputError` for one that the operation does not know, of the wrong type, or given twice.
    """

    def __init__(self, given: Iterable[Given], known: Kinds) -> None:
        self._values: dict[str, list[Any]] = {}
        self._places: dict[str, str] = {}
        for each in given:
            if each.name not in known:
                raise UnsupportedError(
                    f"there is no parameter {each.name[:40]!r} here; known are {', '.join(known)}", place=each.place
                )
            if each.name in self._values and each.name not in _REPEATED:
                raise InputError(f"{each.name} is given twice; give it once", place=each.place, code="value")
            value = _read(each, known[each.name])
            if value != "":  # FHIR has no empty strings; "filter=" gives none
                self._values.setdefault(each.name, []).append(value)
                self._places[each.name] = each.place

    def place(self, name: str) -> str:
        """Return where a parameter stands, or its name where it does not."""
        return self._places.get(name, name)

    def all(self, name: str) -> list[Any]:
        """Return all values of a parameter."""
        return self._values.get(name, [])

    def text(self, name: str) -> str | None:
        """Return the value of a string parameter, or None."""
        return next(iter(self.all(name)), None)

    def require(self, name: str) -> str:
        """Return the value of a string parameter. Raises `InputError` when it is missing."""
        value = self.text(name)
        if value is None:
            raise InputError(f"{name} is missing; give it", place=self.place(name), code="required")
        return value

    def number(self, name: str) -> int | None:
        """Return the value of an integer parameter, or None."""
        return next(iter(self.all(name)), None)

    def truth(self, name: str) -> bool:
        """Return the value of a boolean parameter, False when it is not given."""
        return next(iter(self.all(name)), False)

    def coded(self, system: str | None, version: str | None, *, named: str) -> list[Coded]:
        """Return the codes that are asked about: `code`, `coding` or `codeableConcept`.

        `system` and `version` are of a bare code, and `system` of a coding without one, too; `named` is the name of
        the parameter that says the system. Raises `InputError` when none of the three is given, or more than one.
        """
        ways = [name for name in ("code", "coding", "codeableConcept") if name in self._values]
        if len(ways) != 1:
            raise InputError(
                f"give one of code (with {named}), coding and codeableConcept",
                place=self.place(ways[-1]) if ways else "code",
                code="invalid" if ways else "required",
            )
        way, place = ways[0], self.place(ways[0])
        if way == "code":
            code = self.require("code")
            if system is None:
                raise InputError(f"{named} is missing; a code has a system", place=self.place(named), code="required")
            return [Coded(system, code, version, self.text("display"), place)]
        if "display" in self._values:
            raise InputError(f"the display belongs into the {way}", place=self.place("display"))
        (value,) = self._values[way]
        if way == "coding":
            return [_coded(value, system, version, place)]
        codings = value.get("coding")
        if not isinstance(codings, list) or not 1 <= len(codings) <= _MOST_CODINGS:
            raise InputError(
                f"a codeableConcept has from 1 to {_MOST_CODINGS} codings", place=f"{place}.coding", code="required"
            )
        return [_coded(each, system, version, f"{place}.coding[{index}]") for index, each in enumerate(codings)]


def _coded(coding: Any, system: str | None, version: str | None, place: str) -> Coded:
    if not isinstance(coding, dict):
        raise InputError("this is not a Coding, which is an object", place=place, code="structure")
    stated = {
        name: _string(coding[name], f"{place}.{name}")
        for name in ("system", "code", "version", "display")
        if name in coding
    }
    uri, code = stated.get("system") or system, stated.get("code")
    if not uri or not code:
        raise InputError("a coding has system and code; give both", place=place, code="required")
    return Coded(uri, code, stated.get("version") or version, stated.get("display") or None, place)


def from_query(items: Iterable[tuple[str, str]]) -> list[Given]:
    """Return the parameters of a query string."""
    return [Given(name, "", value, name[:40]) for name, value in items]


def from_resource(resource: dict[str, Any]) -> list[Given]:
    """Return the parameters of a Parameters resource. Raises `InputError` when it is none."""
    if resource.get("resourceType") != "Parameters":
        raise InputError("the body is no Parameters resource; send one", place="resourceType", code="structure")
    return _listed(resource.get("parameter", []), "Parameters.parameter")


def _listed(parameters: Any, place: str) -> list[Given]:
    if not isinstance(parameters, list):
        raise InputError("this is not a list", place=place, code="structure")
    return [_given(parameter, f"{place}[{index}]") for index, parameter in enumerate(parameters)]


def _given(parameter: Any, place: str) -> Given:
    if not isinstance(parameter, dict) or not isinstance(parameter.get("name"), str):
        raise InputError("a parameter is an object with a name", place=place, code="structure")
    elements = [name for name in parameter if name.startswith("value") or name in ("part", "resource")]
    if len(elements) != 1:
        raise InputError("a parameter has one value; give one value[x] or part", place=place, code="structure")
    return Given(parameter["name"], elements[0], parameter[elements[0]], place)


def _read(given: Given, kind: Kind) -> Any:
    """Return the value of a parameter in the Python type of its kind."""
    if given.element and given.element not in _ELEMENTS[kind]:
        raise InputError(f"{given.name} is sent as {_ELEMENTS[kind][0]}", place=given.place, code="value")
    place = f"{given.place}.{given.element}" if given.element else given.place
    if kind == "string":
        return _string(given.value, place)
    if kind == "boolean":
        said = {"true": True, "false": False}.get(given.value) if given.element == "" else given.value
        if not isinstance(said, bool):
            raise InputError(f"{given.name} is true or false", place=place, code="value")
        return said
    if kind == "integer":
        written = given.value if given.element == "" else str(given.value)
        if isinstance(given.value, bool | float) or not _INTEGER.fullmatch(written):
            raise InputError(f"{given.name} is a whole number from 0 to 999999999", place=place, code="value")
        return int(written)
    if not given.element:
        raise InputError(f"{given.name} does not fit into a query string; send Parameters by POST", place=place)
    if kind == "parts":
        return {each.name: _part(each) for each in _listed(given.value, place)}
    if not isinstance(given.value, dict):
        raise InputError(f"this is not a {kind}, which is an object", place=place, code="structure")
    return given.value


def _part(given: Given) -> Any:
    """Return a part of a dependency, the only parameter of these operations that has parts."""
    kinds: Kinds = {"element": "string", "concept": "CodeableConcept"}
    if given.name not in kinds:
        raise UnsupportedError(
            f"there is no part {given.name[:40]!r}; a dependency has element and concept", place=given.place
        )
    return _read(given, kinds[given.name])


def _string(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise InputError("this is not a string", place=place, code="structure")
    if len(value) > _LONGEST:
        raise InputError(f"this has more than {_LONGEST} characters; shorten it", place=place, code="too-long")
    if _CONTROL.search(value):
        raise InputError("this holds control characters, which no string of FHIR may; remove them", place=place)
    return value
