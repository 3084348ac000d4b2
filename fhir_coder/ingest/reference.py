"""References to the patient and the encounter of a note.

Source: https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fhir_coder.errors import InputError, UnsupportedError

_TYPE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?$")


def patient_reference(value: Mapping[str, Any], *, place: str) -> str | None:
    """Return the literal reference to a Patient, or None when others cannot use it (contained, `urn:`, no literal).

    Raises `UnsupportedError` when it refers to another type, and `InputError` when it is no string.
    """
    reference = _literal(value, place)
    if reference is not None and _type_of(reference) != "Patient":
        raise UnsupportedError("the subject is not a Patient; refer to Patient/<id>", place=f"{place}.reference")
    return reference


def encounter_reference(value: Mapping[str, Any], *, place: str) -> str | None:
    """Return the literal reference to an Encounter, or None when others cannot use it or it is an EpisodeOfCare."""
    reference = _literal(value, place)
    return reference if reference is not None and _type_of(reference) == "Encounter" else None


def _literal(value: Mapping[str, Any], place: str) -> str | None:
    reference = value.get("reference")
    if reference is None:
        return None
    if not isinstance(reference, str):
        raise InputError("reference is not a string", place=f"{place}.reference", code="structure")
    return None if reference.startswith(("#", "urn:")) else reference


def _type_of(reference: str) -> str | None:
    match = _TYPE.search(reference)
    return match[1] if match else None
