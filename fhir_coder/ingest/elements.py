"""Elements of a FHIR resource, by their JSON type. What has another type is an error with its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_coder.errors import InputError


def string_at(parent: Mapping[str, Any], name: str, place: str) -> str | None:
    """Return the string `parent.name`, or None. `place` is that of the parent. Raises `InputError`."""
    value = parent.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{name} is not a string", place=f"{place}.{name}", code="structure")
    return value


def list_at(parent: Mapping[str, Any], name: str, place: str) -> list[Any]:
    """Return the list `parent.name`, empty where there is none. Raises `InputError`."""
    value = parent.get(name, [])
    if not isinstance(value, list):
        raise InputError(f"{name} is not a list", place=f"{place}.{name}", code="structure")
    return value


def object_at(parent: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any] | None:
    """Return the object `parent.name`, or None. Raises `InputError`."""
    value = parent.get(name)
    return None if value is None else checked_object(value, f"{place}.{name}")


def checked_object(value: object, place: str) -> Mapping[str, Any]:
    """Return the value, which must be a JSON object. Raises `InputError`."""
    if not isinstance(value, dict):
        raise InputError("this is not a JSON object", place=place, code="structure")
    return value
