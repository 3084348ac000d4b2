"""A FHIR R4 DocumentReference with an inline text/plain attachment becomes a note.

Source: https://hl7.org/fhir/R4/documentreference.html and https://hl7.org/fhir/R4/datatypes.html#Attachment
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.patient import birth_date_of, sex_of
from fhir_coder.ingest.reference import encounter_reference, patient_reference
from fhir_coder.ingest.text import clean_text, content_type, decode_text, known_charset
from fhir_coder.model import LOINC, Note
from fhir_coder.settings import Settings

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_WITHDRAWN = "entered-in-error"


def note_from_document_reference(
    resource: Mapping[str, Any], settings: Settings, *, place: str = "DocumentReference"
) -> Note:
    """Return the note that the DocumentReference carries. `place` is its FHIRPath in what was sent.

    Without an id, `Note.document` stays None. A subject or encounter that is contained or given by
    `urn:` cannot be referred to from outside and stays None too.

    Raises `InputError` where the resource is wrong and `UnsupportedError` where it is right but not read:
    a withdrawn document, an attachment other than inline text/plain, a subject that is not a Patient.
    """
    if resource.get("resourceType") != "DocumentReference":
        raise InputError(
            "the resource is not a DocumentReference; send a DocumentReference or a Bundle of them",
            place=f"{place}.resourceType",
            code="structure",
        )
    for name in ("status", "docStatus"):
        if resource.get(name) == _WITHDRAWN:
            raise UnsupportedError(
                "the document is marked entered-in-error and is not coded; send its correction",
                place=f"{place}.{name}",
            )
    identifier = _resource_id(resource, place)
    patient = _contained_patient(resource)
    return Note(
        text=_attachment_text(resource, settings, place),
        id=identifier or _master_identifier(resource, place),
        subject=_subject(resource, place),
        encounter=_encounter(resource, place),
        sex=sex_of(patient),
        birth_date=birth_date_of(patient),
        document=f"DocumentReference/{identifier}" if identifier else None,
        date=_date(resource, place),
        type_code=_type_code(resource, place),
        doc_status=_string(resource, "docStatus", place),
    )


def _contained_patient(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the contained Patient that is the subject, or an empty one."""
    subject = resource.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    contained = resource.get("contained")
    for each in contained if isinstance(contained, list) else []:
        if isinstance(each, dict) and each.get("resourceType") == "Patient" and f"#{each.get('id')}" == reference:
            return each
    return {}


def _attachment_text(resource: Mapping[str, Any], settings: Settings, place: str) -> str:
    """The text of the first text/plain attachment; the others are the same document in other formats."""
    contents = _list(resource, "content", place)
    if not contents:
        raise InputError(
            "the document has no attachment; give content[0].attachment with contentType text/plain and data",
            place=f"{place}.content",
            code="required",
        )
    for index, content in enumerate(contents):
        here = f"{place}.content[{index}]"
        attachment = _object(_checked_object(content, here), "attachment", here)
        if attachment is None:
            raise InputError("the attachment is missing", place=f"{here}.attachment", code="required")
        here += ".attachment"
        stated = _string(attachment, "contentType", here)
        if stated is None:
            raise InputError(
                "the attachment's contentType is missing (att-1); give text/plain",
                place=f"{here}.contentType",
                code="required",
            )
        media_type, charset = content_type(stated)
        if media_type == "text/plain":
            charset = known_charset(charset, place=f"{here}.contentType")
            text = decode_text(_attachment_bytes(attachment, here), charset, place=f"{here}.data")
            return clean_text(text, settings, place=f"{here}.data")
    raise UnsupportedError(
        "no attachment is of a content type that is read; send the note as text/plain",
        place=f"{place}.content[0].attachment.contentType",
    )


def _attachment_bytes(attachment: Mapping[str, Any], place: str) -> bytes:
    """The attachment's inline data, checked against its size and SHA-1 hash where they are given."""
    data = _string(attachment, "data", place)
    if data is None:
        if "url" in attachment:
            raise UnsupportedError("an attachment by url is not read; send the text in data", place=f"{place}.url")
        raise InputError("the attachment has no data; send the text, base64", place=f"{place}.data", code="required")
    try:
        # White space is allowed inside base64Binary, anything else that is not base64 is not.
        raw = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InputError(
            "the data is not base64; encode the text's bytes as base64", place=f"{place}.data", code="value"
        ) from None
    size = attachment.get("size")
    if size is not None and (isinstance(size, bool) or size != len(raw)):
        raise InputError(
            f"the attachment's size is not that of its data, {len(raw)} bytes; the data may be cut off",
            place=f"{place}.size",
            code="value",
        )
    stated = _string(attachment, "hash", place)
    # SHA-1 is what FHIR R4 prescribes here; it guards against accidents, not against attackers.
    actual = base64.b64encode(hashlib.sha1(raw, usedforsecurity=False).digest()).decode("ascii")
    if stated is not None and stated.strip() != actual:
        raise InputError(
            "the attachment's hash is not the SHA-1 of its data; the data may be damaged",
            place=f"{place}.hash",
            code="value",
        )
    return raw


def _resource_id(resource: Mapping[str, Any], place: str) -> str | None:
    identifier = _string(resource, "id", place)
    if identifier is not None and not _ID.fullmatch(identifier):
        raise InputError(
            "the id is not a FHIR id: 1 to 64 letters, digits, '-' and '.'", place=f"{place}.id", code="value"
        )
    return identifier


def _master_identifier(resource: Mapping[str, Any], place: str) -> str | None:
    master = _object(resource, "masterIdentifier", place) or {}
    system, value = (_string(master, name, f"{place}.masterIdentifier") for name in ("system", "value"))
    # With its system: two hospitals may give two documents the same number.
    return f"{system}|{value}" if system and value else value


def _subject(resource: Mapping[str, Any], place: str) -> str | None:
    subject = _object(resource, "subject", place)
    return patient_reference(subject, place=f"{place}.subject") if subject else None


def _encounter(resource: Mapping[str, Any], place: str) -> str | None:
    context = _object(resource, "context", place)
    encounters = _list(context, "encounter", f"{place}.context") if context else []
    for index, encounter in enumerate(encounters):
        here = f"{place}.context.encounter[{index}]"
        reference = encounter_reference(_checked_object(encounter, here), place=here)
        if reference:
            return reference
    return None


def _date(resource: Mapping[str, Any], place: str) -> datetime | None:
    value = _string(resource, "date", place)
    if value is None:
        return None
    try:
        if _INSTANT.fullmatch(value):
            return datetime.fromisoformat(value)
    except ValueError:
        pass
    raise InputError(
        "the date is not an instant: a date, a time with seconds and a zone", place=f"{place}.date", code="value"
    )


def _type_code(resource: Mapping[str, Any], place: str) -> str | None:
    concept = _object(resource, "type", place)
    for index, coding in enumerate(_list(concept, "coding", f"{place}.type") if concept else []):
        here = f"{place}.type.coding[{index}]"
        if _checked_object(coding, here).get("system") == LOINC:
            return _string(coding, "code", here)
    return None


def _string(parent: Mapping[str, Any], name: str, place: str) -> str | None:
    value = parent.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{name} is not a string", place=f"{place}.{name}", code="structure")
    return value


def _list(parent: Mapping[str, Any], name: str, place: str) -> list[Any]:
    value = parent.get(name, [])
    if not isinstance(value, list):
        raise InputError(f"{name} is not a list", place=f"{place}.{name}", code="structure")
    return value


def _object(parent: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any] | None:
    value = parent.get(name)
    return None if value is None else _checked_object(value, f"{place}.{name}")


def _checked_object(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError("this is not a JSON object", place=place, code="structure")
    return value
