"""What `$code-note` is called with: a DocumentReference, or a Parameters resource.

Source: profiles/OperationDefinition-code-note.json and https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fhir_coder.attachments.fetch import Permit
from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.documentreference import note_from_document_reference
from fhir_coder.ingest.reference import encounter_reference, patient_reference
from fhir_coder.ingest.text import clean_text
from fhir_coder.model import Note
from fhir_coder.settings import Settings

# The element of Parameters.parameter that carries each parameter.
_VALUES = {
    "note": "resource",
    "text": "valueString",
    "subject": "valueReference",
    "encounter": "valueReference",
    "persist": "valueBoolean",
    "minConfidence": "valueDecimal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeNoteCall:
    """One call, checked."""

    note: Note
    persist: bool = False
    min_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class _Parameter:
    value: Any
    place: str


def read_call(
    resource: Mapping[str, Any] | None, settings: Settings, *, note: Note | None = None, permit: Permit | None = None
) -> CodeNoteCall:
    """Return the call that a `resource` makes. On the instance level the `note` is given and the resource may be None.

    `permit` says what may be read of the FHIR server for the caller (`attachments.fetch`); without it, all.

    Raises `InputError` with the FHIRPath of the parameter at fault, and what `permit` raises.
    """
    if resource is None:
        if note is None:
            raise InputError("the body is missing; send a DocumentReference or a Parameters resource", code="required")
        return CodeNoteCall(note=note)
    kind = resource.get("resourceType")
    if kind == "DocumentReference" and note is None:
        return CodeNoteCall(note=note_from_document_reference(resource, settings, permit=permit))
    if kind == "Bundle":
        raise _bundle_refused(resource)
    if kind != "Parameters":
        raise InputError(
            "the body is neither a DocumentReference nor a Parameters resource; send one of them",
            place="resourceType",
            code="structure",
        )
    parameters = _parameters(resource)
    if note is not None and not parameters.keys().isdisjoint(("note", "text")):
        raise InputError("the note is the one in the URL; leave out note and text", place="Parameters.parameter")
    return CodeNoteCall(
        note=_with_references(note or _note(parameters, settings, permit), parameters),
        persist=_persist(parameters),
        min_confidence=_min_confidence(parameters),
    )


def _bundle_refused(resource: Mapping[str, Any]) -> InputError:
    """One call codes one note, and answers with one transaction: however many notes a Bundle holds, it is refused."""
    entries = resource.get("entry")
    number = len(entries) if isinstance(entries, list) else 0
    return UnsupportedError(
        f"the body is a Bundle of {number} entries, and one call codes one note; send each DocumentReference by "
        "itself, or the file to 'fhir-coder code'",
        place="Bundle.entry",
    )


def _parameters(resource: Mapping[str, Any]) -> dict[str, _Parameter]:
    """The parameters by name; unknown, repeated or wrongly typed ones are refused, not ignored."""
    given = resource.get("parameter", [])
    if not isinstance(given, list):
        raise InputError("parameter is not a list", place="Parameters.parameter", code="structure")
    found: dict[str, _Parameter] = {}
    for index, parameter in enumerate(given):
        place = f"Parameters.parameter[{index}]"
        if not isinstance(parameter, dict):
            raise InputError("this is not a JSON object", place=place, code="structure")
        name = parameter.get("name")
        if not isinstance(name, str) or name not in _VALUES:
            raise UnsupportedError(f"there is no such parameter; known are {', '.join(_VALUES)}", place=f"{place}.name")
        if name in found:
            raise InputError("this parameter is given twice", place=place, code="value")
        element = _VALUES[name]
        if parameter.get(element) is None:
            raise InputError(f"{name} is given in {element}", place=f"{place}.{element}", code="required")
        found[name] = _Parameter(parameter[element], f"{place}.{element}")
    return found


def _note(parameters: Mapping[str, _Parameter], settings: Settings, permit: Permit | None) -> Note:
    document, text = parameters.get("note"), parameters.get("text")
    if (document is None) == (text is None):
        raise InputError("give either note or text", place="Parameters.parameter", code="required")
    if document is not None:
        return note_from_document_reference(_object(document), settings, place=document.place, permit=permit)
    assert text is not None  # noqa: S101 - told to the type checker: exactly one of the two is given
    if not isinstance(text.value, str):
        raise InputError("text is not a string", place=text.place, code="structure")
    return Note(text=clean_text(text.value, settings, place=text.place))


def _with_references(note: Note, parameters: Mapping[str, _Parameter]) -> Note:
    """The note with the patient and encounter of the call, which may not contradict its own."""
    subject, encounter = parameters.get("subject"), parameters.get("encounter")
    if subject is not None:
        reference = patient_reference(_object(subject), place=subject.place)
        note = replace(note, subject=_agreed(note.subject, reference, subject.place))
    if encounter is not None:
        reference = encounter_reference(_object(encounter), place=encounter.place)
        note = replace(note, encounter=_agreed(note.encounter, reference, encounter.place))
    return note


def _agreed(own: str | None, given: str | None, place: str) -> str:
    if given is None:
        raise InputError(
            "the reference cannot be followed; give Patient/<id> or Encounter/<id>", place=place, code="value"
        )
    if own is not None and own != given:
        raise InputError("the note names another one; leave the parameter out or correct it", place=place, code="value")
    return given


def _persist(parameters: Mapping[str, _Parameter]) -> bool:
    parameter = parameters.get("persist")
    if parameter is None:
        return False
    if not isinstance(parameter.value, bool):
        raise InputError("persist is true or false", place=parameter.place, code="value")
    return parameter.value


def _min_confidence(parameters: Mapping[str, _Parameter]) -> float | None:
    parameter = parameters.get("minConfidence")
    if parameter is None:
        return None
    value = parameter.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError("minConfidence is a number from 0 to 1", place=parameter.place, code="value")
    return float(value)


def _object(parameter: _Parameter) -> Mapping[str, Any]:
    if not isinstance(parameter.value, dict):
        raise InputError("this is not a JSON object", place=parameter.place, code="structure")
    return parameter.value
