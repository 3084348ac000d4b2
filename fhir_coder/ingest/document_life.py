"""What a DocumentReference says of its place in the life of a document: its names, and what it is to others.

Source: https://hl7.org/fhir/R4/documentreference-definitions.html#DocumentReference.relatesTo. An addendum (appends)
is a document of its own, beside the other one; nothing follows from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_coder.ingest.elements import checked_object, list_at, object_at, string_at
from fhir_coder.ingest.identified import identified_url
from fhir_coder.settings import Settings

_DOCUMENT = "DocumentReference"
_RELATIVE = re.compile(r"(DocumentReference/[A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_REPEATS = frozenset({"transforms", "signs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """References as `Note.document` has them."""

    names: tuple[str, ...]
    replaces: tuple[str, ...]
    repeats: tuple[str, ...]


def read_life(resource: Mapping[str, Any], settings: Settings, *, place: str) -> Life:
    """Return what a DocumentReference says; `place` is its FHIRPath. Raises `InputError` for elements of a wrong type.

    A document without an id is known by its masterIdentifier alone: other identifiers may be those of several versions.
    """
    master = _named(object_at(resource, "masterIdentifier", place), f"{place}.masterIdentifier")
    others: list[str] = []
    if resource.get("id"):
        for index, each in enumerate(list_at(resource, "identifier", place)):
            here = f"{place}.identifier[{index}]"
            others += _named(checked_object(each, here), here)
    related: dict[str, list[str]] = {}
    for index, each in enumerate(list_at(resource, "relatesTo", place)):
        here = f"{place}.relatesTo[{index}]"
        code = string_at(checked_object(each, here), "code", here) or ""
        related.setdefault(code, []).extend(_target(object_at(each, "target", here), settings, f"{here}.target"))
    return Life(
        names=tuple(dict.fromkeys((*master, *others))),
        replaces=tuple(related.get("replaces", ())),
        repeats=tuple(each for code, found in related.items() if code in _REPEATS for each in found),
    )


def _target(target: Mapping[str, Any] | None, settings: Settings, place: str) -> list[str]:
    if target is None:
        return []
    reference = string_at(target, "reference", place) or ""
    # Of another server's documents nothing is known here, though their ids may be the same.
    local = reference.removeprefix(f"{str(settings.server).rstrip('/')}/") if settings.server else reference
    found = _RELATIVE.fullmatch(local)
    named = _named(object_at(target, "identifier", place), f"{place}.identifier")
    return ([found[1]] if found else []) + named


def _named(identifier: Mapping[str, Any] | None, place: str) -> list[str]:
    if identifier is None:
        return []
    system, value = (string_at(identifier, name, place) for name in ("system", "value"))
    return [identified_url(_DOCUMENT, system, value)] if system and value else []
