"""FHIR JSON in: one DocumentReference, or a Bundle of which every DocumentReference is read on its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from fhir_coder.errors import InputError
from fhir_coder.ingest.documentreference import note_from_document_reference
from fhir_coder.ingest.intake import Intake
from fhir_coder.settings import Settings

_BOM = b"\xef\xbb\xbf"


def parse_json(raw: bytes, settings: Settings) -> dict[str, Any]:
    """Return the JSON object in `raw`. orjson bounds the depth (1024) and refuses bad UTF-8.

    Raises `InputError` when it is too large, not JSON, or not an object.
    """
    if len(raw) > settings.max_body_bytes:
        raise InputError(
            f"the input has {len(raw)} bytes, more than the setting max_body_bytes ({settings.max_body_bytes}) allows; "
            "split it or raise the setting",
            code="too-long",
        )
    try:
        value = orjson.loads(raw.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        # The parser's own message is left out: it may quote the input.
        raise InputError(
            "the input is not JSON (RFC 8259, UTF-8); send a FHIR resource as JSON",
            place=f"line {error.lineno} column {error.colno}",
            code="structure",
        ) from None
    if not isinstance(value, dict):
        raise InputError("the JSON is not an object; send a FHIR resource", code="structure")
    return value


def intakes_from_json(raw: bytes, source: str, settings: Settings) -> Iterator[Intake]:
    """Yield an intake for the DocumentReference in `raw`, or for each one in the Bundle. Raises nothing."""
    try:
        resource = parse_json(raw, settings)
        if resource.get("resourceType") != "Bundle":
            yield Intake(source=source, note=note_from_document_reference(resource, settings))
            return
        entries, binaries = _document_entries(resource), _binaries(resource)
    except InputError as error:
        yield Intake(source=source, error=error)
        return
    for index, document in entries:
        entry = f"Bundle.entry[{index}]"
        try:
            note = note_from_document_reference(document, settings, place=f"{entry}.resource", binaries=binaries)
            yield Intake(source=f"{source} {entry}", note=note)
        except InputError as error:
            yield Intake(source=f"{source} {entry}", error=error)


def _binaries(bundle: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The Bundle's Binary resources, by what an attachment's url may call them: their fullUrl, or Binary/<id>."""
    found: dict[str, dict[str, Any]] = {}
    for entry in bundle["entry"]:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "Binary":
            names = (entry.get("fullUrl"), f"Binary/{resource.get('id')}")
            found |= {name: resource for name in names if isinstance(name, str)}
    return found


def _document_entries(bundle: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The Bundle's DocumentReferences with their places; its other resources are not notes and are skipped."""
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise InputError("entry is not a list", place="Bundle.entry", code="structure")
    resources = [entry.get("resource") if isinstance(entry, dict) else None for entry in entries]
    documents = [
        (index, resource)
        for index, resource in enumerate(resources)
        if isinstance(resource, dict) and resource.get("resourceType") == "DocumentReference"
    ]
    if not documents:
        raise InputError(
            "the Bundle holds no DocumentReference; add the notes as DocumentReferences",
            place="Bundle.entry",
            code="required",
        )
    return documents
